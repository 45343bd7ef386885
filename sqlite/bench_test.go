package sqlite

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// BenchmarkRoll is one durable change of a key; what it costs is mostly fsync.
func BenchmarkRoll(b *testing.B) {
	s := mustOpen(b, b.TempDir())
	id := mustChanges(b, s).Teams[0].ID
	for b.Loop() {
		if _, _, err := s.UpdateTeam(b.Context(), id, roll); err != nil {
			b.Fatal(err)
		}
	}
}

func someRecord(b *testing.B) latchkey.Record {
	id, err := uuid.NewV7()
	if err != nil {
		b.Fatal(err)
	}
	return latchkey.Record{
		RequestID: id.String(), Time: time.Now(), Node: "node-1", TeamID: "team_1234567890123456789012", CredentialID: "key_1234567890123456789012",
		Auth: latchkey.MethodBearer, Outcome: latchkey.OutcomeAccepted, Reason: latchkey.ReasonOK,
		Method: "GET", Host: "api.example.com", Path: "/v1/contacts/12345", Status: 200, BytesOut: 1234, DurationUS: 321,
		ClientIP: "192.0.2.1", UserAgent: "curl/8.14.1", TraceID: "0af7651916cd43dd8448eb211c80319c",
	}
}

// BenchmarkAppendRecords counts records, appended a thousand at a time.
func BenchmarkAppendRecords(b *testing.B) {
	s := mustOpen(b, b.TempDir())
	batch := make([]latchkey.Record, 0, 1000)
	flush := func() {
		if err := s.AppendRecords(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
		batch = batch[:0]
	}
	b.ReportAllocs()
	for b.Loop() {
		if batch = append(batch, someRecord(b)); len(batch) == cap(batch) {
			flush()
		}
	}
	flush()
}

func fill(b *testing.B, s *Store, n int) (ids []string) {
	b.Helper()
	batch := make([]latchkey.Record, 0, 2000)
	for i := range n {
		batch = append(batch, someRecord(b))
		ids = append(ids, batch[len(batch)-1].RequestID)
		if len(batch) == cap(batch) || i == n-1 {
			if err := s.AppendRecords(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
			batch = batch[:0]
		}
	}
	return ids
}

// BenchmarkRecord looks one of 100,000 records up.
func BenchmarkRecord(b *testing.B) {
	s := mustOpen(b, b.TempDir())
	ids := fill(b, s, 100_000)
	i := 0
	for b.Loop() {
		i = (i + 7919) % len(ids)
		if _, err := s.Record(b.Context(), ids[i]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRecordsSince finds nothing among 100,000 records: what is selected
// is refused, in the last minute.
func BenchmarkRecordsSince(b *testing.B) {
	s := mustOpen(b, b.TempDir())
	fill(b, s, 100_000)
	q := latchkey.RecordQuery{Outcome: latchkey.OutcomeDenied, Since: time.Now().Add(time.Second)}
	for b.Loop() {
		if _, err := s.Records(b.Context(), q); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkChanges is a renewal that finds nothing new.
func BenchmarkChanges(b *testing.B) {
	s := mustOpen(b, b.TempDir())
	for b.Loop() {
		if _, err := s.Changes(b.Context(), 1); err != nil {
			b.Fatal(err)
		}
	}
}
