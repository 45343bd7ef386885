package postgres

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"latchkey"
)

// BenchmarkTenDays looks records up among as many as LATCHKEY_RECORDS says (a
// million unless set), over ten days.
func BenchmarkTenDays(b *testing.B) {
	count := 1_000_000
	if n, err := strconv.Atoi(os.Getenv("LATCHKEY_RECORDS")); err == nil {
		count = n
	}
	const size = 2000 // as the journal appends them
	s := mustOpen(b, Config{URL: newURL(b)})
	g := newTraffic(firstDay, 10*24*time.Hour/time.Duration(count))
	var ids, teams []string
	var took time.Duration
	for range count / size {
		batch := g.batch(size)
		ids, teams = append(ids, batch[rand.IntN(size)].RequestID, batch[rand.IntN(size)].RequestID), append(teams, batch[0].TeamID)
		began := time.Now()
		mustAppend(b, s, batch)
		took += time.Since(began)
	}
	heap := number(b, s, `SELECT sum(pg_table_size(inhrelid))::bigint FROM pg_inherits WHERE inhparent = 'records'::regclass`)
	all := number(b, s, `SELECT sum(pg_total_relation_size(inhrelid))::bigint FROM pg_inherits WHERE inhparent = 'records'::regclass`)
	server.Server(b).Exec(b, s.pool.Config().ConnConfig.Database, `ANALYZE latchkey.records`) // as autovacuum does, in time
	var one, page []time.Duration
	for b.Loop() {
		at := time.Now()
		if _, err := s.Record(b.Context(), ids[rand.IntN(len(ids))]); err != nil {
			b.Fatal(err)
		}
		one = append(one, time.Since(at))
		at = time.Now()
		if _, err := s.Records(b.Context(), latchkey.RecordQuery{TeamID: teams[rand.IntN(len(teams))], Before: ids[rand.IntN(len(ids))]}); err != nil {
			b.Fatal(err)
		}
		page = append(page, time.Since(at))
	}
	report := func(name string, took []time.Duration) {
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, name+"-p50-ms")
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, name+"-p99-ms")
	}
	report("look-up", one)
	report("page", page)
	b.ReportMetric(float64(count)/took.Seconds(), "records/s")
	b.ReportMetric(float64(heap)/float64(count), "bytes/record")
	b.ReportMetric(float64(all)/float64(count), "bytes-indexed/record")
}
