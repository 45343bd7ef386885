package sqlite

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// TestQueriesUseIndexes: a listing reads a page's worth, and sorts nothing.
func TestQueriesUseIndexes(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	now := time.Now()
	id := uuid.Must(uuid.NewV7())
	err := s.AppendRecords(t.Context(), []latchkey.Record{{RequestID: id.String(), Time: now, TeamID: "t", CredentialID: "c"}})
	if err != nil {
		t.Fatal(err)
	}
	const primary, between = "PRIMARY KEY (id>? AND id<?)", " AND id>? AND id<?)"
	for _, c := range []struct {
		q    latchkey.RecordQuery
		want string
	}{
		{latchkey.RecordQuery{}, primary},
		{latchkey.RecordQuery{Before: "019a"}, primary},
		{latchkey.RecordQuery{Since: now, Until: now}, primary},
		{latchkey.RecordQuery{Path: "/v1"}, primary},
		{latchkey.RecordQuery{TeamID: "t"}, "INDEX records_team (team_id=?" + between},
		{latchkey.RecordQuery{TeamID: "t", Since: now, Before: "019a", Status: 200}, "INDEX records_team (team_id=?" + between},
		{latchkey.RecordQuery{CredentialID: "c", Outcome: "denied"}, "INDEX records_credential (credential_id=?" + between},
		{latchkey.RecordQuery{ClientRequestID: "mine"}, "INDEX records_client_request (client_request_id=?" + between},
		{latchkey.RecordQuery{TraceID: strings.Repeat("ab", 16)}, "INDEX records_trace (trace_id=?" + between},
	} {
		err := s.days.with(t.Context(), latchkey.RequestIDDay(id), false, func(d *day) error {
			where, args, err := d.conditions(t.Context(), &c.q, c.q.Bounds(0, 0))
			if err != nil {
				return err
			}
			plan, err := planOf(t, d, `SELECT * FROM records `+where+` ORDER BY id DESC`, args...)
			if len(plan) == 0 || plan[0] != "SEARCH records USING "+c.want || strings.Contains(strings.Join(plan, "\n"), "TEMP B-TREE") {
				t.Errorf("%+v is answered by %q, not %q", c.q, plan, c.want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func planOf(t *testing.T, d *day, query string, args ...any) (plan []string, err error) {
	rows, err := d.read.QueryContext(t.Context(), `EXPLAIN QUERY PLAN `+query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			return nil, err
		}
		plan = append(plan, step)
	}
	return plan, rows.Err()
}

// TestLastUsedAfterKill: a process that wrote the day and was killed before it
// gathered when credentials were last used loses nothing.
func TestLastUsedAfterKill(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	r := latchkey.Record{RequestID: uuid.Must(uuid.NewV7()).String(), Time: time.Now(), CredentialID: "key", Outcome: latchkey.OutcomeAccepted}
	if err := s.AppendRecords(t.Context(), []latchkey.Record{r}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.records.write.ExecContext(t.Context(), `DELETE FROM last_used`); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir)
	if used, err := s.LastUsed(t.Context(), []string{"key"}); err != nil || len(used) != 1 {
		t.Errorf("the last use is gathered when the store is opened: %v, %v", used, err)
	}
}

// TestDaysStayBounded: however many days are asked for, few files stay open, and
// a file that is read is not removed.
func TestDaysStayBounded(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	var ids []string
	for age := range 2 * maxOpenDays {
		id := latchkey.RequestIDAt(time.Now().Add(-time.Duration(age)*24*time.Hour).UnixMilli(), 0x77)
		ids = append(ids, id.String())
		if err := s.AppendRecords(t.Context(), []latchkey.Record{{RequestID: id.String(), Time: time.Now()}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range ids {
		if _, err := s.Record(t.Context(), id); err != nil {
			t.Errorf("a record of each day is found: %v", err)
		}
	}
	if len(s.days.open) > maxOpenDays {
		t.Errorf("%d files are open, must be at most %d", len(s.days.open), maxOpenDays)
	}
	oldest := uuid.MustParse(ids[len(ids)-1])
	err := s.days.with(t.Context(), latchkey.RequestIDDay(oldest), false, func(d *day) error {
		if err := s.Retain(t.Context(), latchkey.Retention{Age: 48 * time.Hour}); err != nil {
			return err
		}
		if list, err := d.query(t.Context(), `WHERE TRUE`); err != nil || len(list) != 1 {
			t.Errorf("a file that is read stays while it is: %d records, %v", len(list), err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Retain(t.Context(), latchkey.Retention{Age: 48 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	if numbers, err := s.days.numbers(); err != nil || len(numbers) > 4 {
		t.Errorf("%d days are left of two, %v", len(numbers), err)
	}
}

// TestStrangersWords: a stranger who sends another path and user agent each time
// fills the file, but neither its words nor the memory; and all of it is found.
func TestStrangersWords(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	var batch []latchkey.Record
	now := time.Now()
	for i := range maxWords + 500 {
		id := latchkey.RequestIDAt(now.UnixMilli(), 0x77)
		id[14], id[15] = byte(i>>8), byte(i)
		batch = append(batch, latchkey.Record{RequestID: id.String(), Time: fromMicros(now.UnixMicro()), Path: "/" + strconv.Itoa(i), UserAgent: strconv.Itoa(i), ClientIP: "192.0.2.1"})
	}
	if err := s.AppendRecords(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	for _, r := range []latchkey.Record{batch[0], batch[maxWords-1], batch[maxWords], batch[len(batch)-1]} {
		if got, err := s.Record(t.Context(), r.RequestID); err != nil || got != r {
			t.Errorf("a text without a number is kept as it is: %+v, %v", got, err)
		}
		list, err := s.Records(t.Context(), latchkey.RecordQuery{Path: r.Path + "", ClientIP: "192.0.2.1", Limit: 10_000})
		if err != nil || !slices.ContainsFunc(list, func(o latchkey.Record) bool { return o == r }) {
			t.Errorf("a text without a number is searched: %v", err)
		}
	}
	err := s.days.with(t.Context(), latchkey.RequestIDDay(uuid.MustParse(batch[0].RequestID)), false, func(d *day) error {
		var words int
		err := d.read.QueryRowContext(t.Context(), `SELECT count(*) FROM words`).Scan(&words)
		if words > 2*maxWords+10 {
			t.Errorf("%d words, must be at most %d of a kind", words, maxWords)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestFullWordsInNewProcess: a process whose first text is of a kind that is full
// appends it as it is.
func TestFullWordsInNewProcess(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	of := func(i int) latchkey.Record {
		now := time.Now()
		id := latchkey.RequestIDAt(now.UnixMilli(), 0x77)
		id[14], id[15] = byte(i>>8), byte(i)
		return latchkey.Record{RequestID: id.String(), Time: fromMicros(now.UnixMicro()), TeamID: "team_" + strconv.Itoa(i)}
	}
	var batch []latchkey.Record
	for i := range maxWords + 1 {
		batch = append(batch, of(i))
	}
	if err := s.AppendRecords(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir)
	another := of(maxWords + 1)
	if err := s.AppendRecords(t.Context(), []latchkey.Record{another}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Record(t.Context(), another.RequestID); err != nil || got != another {
		t.Errorf("a text beyond the words is kept as it is: %+v, %v", got, err)
	}
}

// TestAppendManyWithTwins: what is there already stays as it is and counts once,
// also where it comes among many, which go into one statement.
func TestAppendManyWithTwins(t *testing.T) {
	begins := time.Now().UTC().Truncate(24 * time.Hour)
	for _, n := range []int{1, rowsAtOnce - 1, rowsAtOnce, rowsAtOnce + 1, 3*rowsAtOnce + 5} {
		s := mustOpen(t, t.TempDir())
		records, lastUsed := manyRecords(n, begins)
		early := []latchkey.Record{records[n/2]}
		twin := records[n/2]
		twin.Status, twin.Time, twin.CredentialID, twin.Path = 599, twin.Time.Add(time.Hour), "another", "/another"
		for _, batch := range [][]latchkey.Record{early, append(slices.Clone(records), twin, twin), records} {
			if err := s.AppendRecords(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
		}
		mustHold(t, s, records, lastUsed)
	}
}

// TestAppendManyCancelled: a batch that is given up half way leaves nothing, and can
// be appended again.
func TestAppendManyCancelled(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	records, lastUsed := manyRecords(10*rowsAtOnce, time.Now().UTC().Truncate(24*time.Hour))
	for after := range int64(10) {
		err := s.AppendRecords(&tired{Context: t.Context(), after: after}, records)
		if list, listErr := s.Records(t.Context(), latchkey.RecordQuery{Limit: 1}); !errors.Is(err, context.Canceled) || listErr != nil || len(list) > 0 {
			t.Fatalf("given up at look %d: %v; %d records are there, %v", after, err, len(list), listErr)
		}
	}
	if err := s.AppendRecords(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	mustHold(t, s, records, lastUsed)
}

// A tired context ends after it was looked at so many times.
type tired struct {
	context.Context
	after int64
	looks atomic.Int64 // what watches it does so from goroutines of its own
}

func (c *tired) Err() error {
	if c.looks.Add(1) > c.after {
		return context.Canceled
	}
	return nil
}

// manyRecords returns records of credentials each of which is used twice, the later
// time first, and when each was used last.
func manyRecords(n int, begins time.Time) ([]latchkey.Record, map[string]time.Time) {
	records, last := make([]latchkey.Record, n), make(map[string]time.Time)
	for i := range records {
		r := latchkey.Record{
			RequestID: uuid.Must(uuid.NewV7()).String(), Time: begins.Add(time.Duration(n-i) * time.Second), TeamID: "team",
			CredentialID: "key" + strconv.Itoa(i/2), Outcome: latchkey.OutcomeAccepted, Path: "/" + strconv.Itoa(i), Status: 200 + i,
		}
		if r.Time.After(last[r.CredentialID]) {
			last[r.CredentialID] = r.Time
		}
		records[i] = r
	}
	return records, last
}

// mustHold holds that a store has these records of one team, no others, and what
// they say of their credentials.
func mustHold(t *testing.T, s *Store, records []latchkey.Record, lastUsed map[string]time.Time) {
	t.Helper()
	n := len(records)
	listed, err := s.Records(t.Context(), latchkey.RecordQuery{Limit: n + 2})
	if err != nil || len(listed) != n {
		t.Fatalf("of %d records %d are there: %v", n, len(listed), err)
	}
	for _, want := range records {
		got, err := s.Record(t.Context(), want.RequestID)
		if err != nil || got.Status != want.Status || got.Path != want.Path || got.CredentialID != want.CredentialID {
			t.Errorf("of %d records, one is %+v, not %+v: %v", n, got, want, err)
		}
	}
	tallies, err := s.Tallies(t.Context(), "team", records[0].Time.Add(-24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	var counted int64
	for _, tally := range tallies {
		counted += tally.Count
	}
	if counted != int64(n) {
		t.Errorf("of %d records %d are counted", n, counted)
	}
	used, err := s.LastUsed(t.Context(), append(slices.Collect(maps.Keys(lastUsed)), "another"))
	if err != nil || !maps.EqualFunc(used, lastUsed, time.Time.Equal) {
		t.Errorf("of %d records, credentials were used last at %v, not %v: %v", n, used, lastUsed, err)
	}
}
