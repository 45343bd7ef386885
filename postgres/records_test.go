package postgres

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

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
}

func newTraffic(at time.Time, step time.Duration) *traffic {
	return &traffic{random: rand.New(rand.NewPCG(1, uint64(at.UnixMicro()))), at: at, step: step}
}

func (g *traffic) next() latchkey.Record {
	n := g.random.IntN
	g.at = g.at.Add(g.step)
	id := latchkey.RequestIDAt(g.at.UnixMilli(), 0)
	for i := 6; i < 16; i++ {
		id[i] = byte(n(256))
	}
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
	team := n(50)
	r := latchkey.Record{
		RequestID: id.String(), Time: g.at.Add(-time.Duration(n(900)) * time.Microsecond).Truncate(time.Microsecond).UTC(), Node: "node-1",
		TeamID: fmt.Sprintf("team_%022d", team), CredentialID: fmt.Sprintf("key_%022d", team*2+n(2)),
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
		r.TraceID = hex.EncodeToString(id[:])
	}
	if n(20) == 0 {
		r.ClientRequestID = uuid.NewString()
	}
	return r
}

func (g *traffic) batch(size int) (list []latchkey.Record) {
	for range size {
		list = append(list, g.next())
	}
	return list
}

// twoNodes returns two handles on a new database.
func twoNodes(tb testing.TB) (a, b *Store) {
	tb.Helper()
	url := newURL(tb)
	return mustOpen(tb, Config{URL: url}), mustOpen(tb, Config{URL: url})
}

func mustAppend(tb testing.TB, s *Store, records []latchkey.Record) {
	tb.Helper()
	if err := s.AppendRecords(tb.Context(), records); err != nil {
		tb.Fatal(err)
	}
}

// number returns the one number that a query asks for.
func number(tb testing.TB, s *Store, query string, args ...any) (n int64) {
	tb.Helper()
	if err := s.pool.QueryRow(tb.Context(), query, args...).Scan(&n); err != nil {
		tb.Fatal(err)
	}
	return n
}

var firstDay = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// TestRecordThatCannotBeKept: it is named as such, and holds up no other.
func TestRecordThatCannotBeKept(t *testing.T) {
	s := mustOpen(t, Config{URL: newURL(t)})
	g := newTraffic(firstDay, time.Millisecond)
	long := strings.Repeat("x", maxKey+1)
	for field, spoil := range map[string]func(r *latchkey.Record){
		"request_id":    func(r *latchkey.Record) { r.RequestID = "fffffff0-0000-7000-8000-000000000000" },
		"team_id":       func(r *latchkey.Record) { r.TeamID = long },
		"credential_id": func(r *latchkey.Record) { r.CredentialID = long },
		"outcome":       func(r *latchkey.Record) { r.Outcome = latchkey.Outcome(long) },
		"status":        func(r *latchkey.Record) { r.Status = math.MaxInt },
	} {
		batch := g.batch(3)
		spoil(&batch[1])
		err := s.AppendRecords(t.Context(), batch)
		if invalid := (*latchkey.InvalidError)(nil); !errors.As(err, &invalid) || invalid.Field != field {
			t.Errorf("a record whose %s cannot be kept is an InvalidError: %v", field, err)
		}
	}
	if n := number(t, s, `SELECT count(*) FROM records`); n != 0 {
		t.Errorf("of records with one that cannot be kept none is added: %d", n)
	}
	// What an index could not hold is kept and found all the same.
	r := g.next()
	r.ClientIP, r.TraceID, r.ClientRequestID = strings.Repeat("i", 9000), strings.Repeat("t", 9000), hex.EncodeToString([]byte(strings.Repeat(rand.N(time.Hour).String(), 999)))
	mustAppend(t, s, []latchkey.Record{r})
	for _, q := range []latchkey.RecordQuery{{ClientIP: r.ClientIP}, {TraceID: r.TraceID}, {ClientRequestID: r.ClientRequestID}} {
		if list, err := s.Records(t.Context(), q); err != nil || len(list) != 1 || list[0] != r {
			t.Errorf("a record is found by the longest text: %d, %v", len(list), err)
		}
	}
}

// TestAppendByManyAtOnce: nodes that begin the same days at the same moment, with
// some of the same records, neither fail nor add one twice; and what is counted
// with the records is counted once.
func TestAppendByManyAtOnce(t *testing.T) {
	a, b := twoNodes(t)
	const days, size = 3, 200
	var batches [][]latchkey.Record
	for d := range days {
		g := newTraffic(firstDay.AddDate(0, 0, d).Add(23*time.Hour+59*time.Minute+50*time.Second), 100*time.Millisecond)
		batches = append(batches, g.batch(size), g.batch(size)) // each ends on the next day
	}
	var wg sync.WaitGroup
	for w := range 6 {
		wg.Go(func() {
			s := []*Store{a, b}[w%2]
			for i := range batches {
				if err := s.AppendRecords(t.Context(), batches[(i+w/2)%len(batches)]); err != nil {
					t.Errorf("append: %v", err)
				}
			}
		})
	}
	wg.Wait()
	var teams, all int64
	hours := map[string]int64{}
	for _, batch := range batches {
		for _, r := range batch {
			all++
			if r.TeamID != "" {
				teams++
				hours[r.TeamID]++
			}
		}
	}
	if n := number(t, a, `SELECT count(*) FROM records`); n != all {
		t.Errorf("each record is there once: %d, not %d", n, all)
	}
	if n := number(t, a, `SELECT sum(count)::bigint FROM tallies`); n != teams {
		t.Errorf("each record is counted once: %d, not %d", n, teams)
	}
	for team, want := range hours {
		list, err := b.Tallies(t.Context(), team, firstDay)
		if err != nil {
			t.Fatal(err)
		}
		var sum int64
		for _, tally := range list {
			sum += tally.Count
		}
		if sum != want {
			t.Errorf("the tallies of %s are %d, not %d", team, sum, want)
		}
	}
	list, err := partitions(t.Context(), a.pool, false)
	if err != nil || len(list) != days+1 {
		t.Errorf("there is a partition for each day: %d, %v", len(list), err)
	}
}

// TestAppendWhileConnectionsDie: whatever becomes of an append, to append again
// is safe, and what is counted with the records is counted once.
func TestAppendWhileConnectionsDie(t *testing.T) {
	a, b := twoNodes(t)
	const batches, size, kills = 30, 50, 20
	g := newTraffic(firstDay, time.Millisecond)
	var all [][]latchkey.Record
	var kept, counted int64
	for range batches {
		all = append(all, g.batch(size))
		for _, r := range all[len(all)-1] {
			kept++
			if r.TeamID != "" {
				counted++
			}
		}
	}
	var work, kill sync.WaitGroup
	done := make(chan struct{})
	kill.Go(func() { endConnections(t, a.pool.Config().ConnConfig.Database, kills, done) })
	for w := range 4 {
		work.Go(func() {
			for i := w / 2; i < batches; i += 2 { // pairs append the same
				for try := 0; ; try++ {
					err := []*Store{a, b}[w%2].AppendRecords(t.Context(), all[i])
					if err == nil {
						break
					}
					if try == 3*kills {
						t.Errorf("append: %v", err)
						break
					}
				}
			}
		})
	}
	work.Wait()
	close(done)
	kill.Wait()
	s := mustOpen(t, Config{URL: server.Server(t).URL(a.pool.Config().ConnConfig.Database)})
	if n := number(t, s, `SELECT count(*) FROM records`); n != kept {
		t.Errorf("each record is there once: %d, not %d", n, kept)
	}
	if n := number(t, s, `SELECT sum(count)::bigint FROM tallies`); n != counted {
		t.Errorf("each record is counted once: %d, not %d", n, counted)
	}
}

// endConnections ends so many connections to a database while they append.
func endConnections(t *testing.T, database string, count int, done <-chan struct{}) {
	conn, err := pgx.Connect(t.Context(), server.Server(t).URL(database))
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close(context.Background())
	for ended := 0; ended < count; {
		select {
		case <-done:
			t.Logf("%d connections were ended", ended)
			return
		case <-time.After(5 * time.Millisecond):
		}
		tag, err := conn.Exec(t.Context(), `
			SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'
				AND query ~* '(^BEGIN|^COPY|INSERT INTO records|^COMMIT)' ORDER BY random() LIMIT 1`)
		if err != nil {
			t.Errorf("end a connection: %v", err)
			return
		}
		ended += int(tag.RowsAffected())
	}
}

// TestStoppedClientHoldsUpNobody: a node that was stopped between copying its
// records and merging them has no lock that another could wait for, though that
// one appends the very same records, and drops their day.
func TestStoppedClientHoldsUpNobody(t *testing.T) {
	a, b := twoNodes(t)
	batch := newTraffic(firstDay, time.Millisecond).batch(10)
	mustAppend(t, a, batch[:1])
	conn, err := a.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	items, err := itemsOf(batch)
	if err != nil {
		t.Fatal(err)
	}
	if err := stage(t.Context(), conn.Conn(), items); err != nil {
		t.Fatal(err)
	}
	if status := conn.Conn().PgConn().TxStatus(); status != 'T' {
		t.Fatalf("the stopped client is not within its transaction: %c", status)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := b.AppendRecords(ctx, batch); err != nil {
		t.Errorf("another appends the same records: %v", err)
	}
	if err := b.Retain(ctx, latchkey.Retention{Age: time.Hour}); err != nil {
		t.Errorf("another drops their day: %v", err)
	}
	if n := number(t, b, `SELECT count(*) FROM records`); n != 0 {
		t.Errorf("%d records are left", n)
	}
}
