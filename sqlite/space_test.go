package sqlite

import (
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// A traffic makes records like those of an API in use: 50 teams, 100
// credentials, 2,000 addresses, 40 user agents; of the paths two thirds are
// fixed, the others name one of a million objects; of the requests 4 % are
// refused, a tenth have a trace, and a twentieth an ID of the caller's.
type traffic struct {
	random *rand.Rand
	at     time.Time
	step   time.Duration
	last   uuid.UUID
}

func (g *traffic) next() latchkey.Record {
	n := g.random.IntN
	g.at = g.at.Add(g.step)
	g.last = latchkey.RequestIDAt(g.at.UnixMilli(), 0)
	for i := 6; i < 16; i++ {
		g.last[i] = byte(n(256))
	}
	g.last[6], g.last[8] = g.last[6]&0x0f|0x70, g.last[8]&0x3f|0x80
	team := n(50)
	r := latchkey.Record{
		RequestID: g.last.String(), Time: g.at.Add(-time.Duration(n(900)) * time.Microsecond).Truncate(time.Microsecond), Node: "node-1",
		TeamID: fmt.Sprintf("team_%026d", team), CredentialID: fmt.Sprintf("key_%026d", team*2+n(2)),
		Auth: latchkey.MethodBearer, Outcome: latchkey.OutcomeAccepted, Reason: latchkey.ReasonOK,
		Method: []string{"GET", "GET", "GET", "POST"}[n(4)], Host: "api.example.com", Path: "/v1/contacts",
		Status: 200, BytesOut: int64(n(20_000)), DurationUS: int64(300 + n(50_000)),
		ClientIP: fmt.Sprintf("192.0.%d.%d", n(8), n(250)), UserAgent: fmt.Sprintf("example-client/1.%d (go1.26; linux)", n(40)),
	}
	if n(3) == 0 {
		r.Path = "/v1/contact/" + strconv.Itoa(n(1_000_000))
	}
	if r.Method == "POST" {
		r.BytesIn = int64(n(2000))
	}
	if n(25) == 0 {
		r.Outcome, r.Reason, r.Status, r.TeamID, r.CredentialID = latchkey.OutcomeDenied, latchkey.ReasonKeyUnknown, 401, "", ""
		r.Diagnosis = "No team has this API key, and none had it."
	}
	if n(10) == 0 {
		r.TraceID = hex.EncodeToString(g.last[:])
	}
	if n(20) == 0 {
		r.ClientRequestID = uuid.NewString()
	}
	return r
}

// fill appends records, and returns the IDs of one in a hundred: all of them
// would take more memory than what is measured.
func (g *traffic) fill(ctx context.Context, s *Store, count int) (ids []string, err error) {
	const size = 10_000
	batch := make([]latchkey.Record, 0, size)
	for i := range count {
		r := g.next()
		if i%100 == 0 {
			ids = append(ids, r.RequestID)
		}
		if batch = append(batch, r); len(batch) == size || i == count-1 {
			if err := s.AppendRecords(ctx, batch); err != nil {
				return nil, err
			}
			batch = batch[:0]
		}
	}
	return ids, nil
}

// TestSpace: a record takes at most 120 bytes on disk, and 300 with its indexes.
func TestSpace(t *testing.T) {
	const count = 20_000
	s := mustOpen(t, t.TempDir())
	g := &traffic{random: rand.New(rand.NewPCG(1, 2)), at: time.Date(2026, 3, 1, 1, 0, 0, 0, time.UTC), step: 500 * time.Microsecond}
	if _, err := g.fill(t.Context(), s, count); err != nil {
		t.Fatal(err)
	}
	err := s.days.with(t.Context(), latchkey.RequestIDDay(g.last), false, func(d *day) error {
		var records, all int
		err := d.write.QueryRowContext(t.Context(), `
			SELECT sum(pgsize) FILTER (WHERE name = 'records'), sum(pgsize) FROM dbstat`).Scan(&records, &all)
		t.Logf("%d records: %.1f bytes each, %.1f with indexes and words", count, float64(records)/count, float64(all)/count)
		if records > 120*count || all > 300*count {
			t.Errorf("a record takes too much room: %.1f bytes, may be 120; %.1f with indexes, may be 300",
				float64(records)/count, float64(all)/count)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// BenchmarkTenDays looks records up among as many as LATCHKEY_RECORDS says (a
// million unless set), over ten days.
func BenchmarkTenDays(b *testing.B) {
	count := 1_000_000
	if n, err := strconv.Atoi(os.Getenv("LATCHKEY_RECORDS")); err == nil {
		count = n
	}
	dir := b.TempDir()
	s := mustOpen(b, dir)
	const span = 10 * 24 * time.Hour
	g := &traffic{random: rand.New(rand.NewPCG(1, 2)), at: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), step: span / time.Duration(count)}
	began := time.Now()
	ids, err := g.fill(b.Context(), s, count)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%d records appended, %.1f µs each", count, float64(time.Since(began).Microseconds())/float64(count))
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	var bytes int64
	files, _ := filepath.Glob(filepath.Join(dir, recordsDir, "*.db"))
	for _, f := range files {
		if info, err := os.Stat(f); err == nil {
			bytes += info.Size()
		}
	}
	s = mustOpen(b, dir)
	var took []time.Duration
	for b.Loop() {
		id := ids[rand.IntN(len(ids))]
		at := time.Now()
		if _, err := s.Record(b.Context(), id); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(at))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "max-ms")
	b.ReportMetric(float64(bytes)/float64(count), "bytes/record")
}
