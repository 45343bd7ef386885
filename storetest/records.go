package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"latchkey"
)

// newRecord returns a record as a door makes it. Its ID is a UUIDv7 of about
// the same time.
func newRecord(at time.Time) latchkey.Record {
	id := uuid.New()
	ms := at.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6] = id[6]&0x0f | 0x70
	return latchkey.Record{
		RequestID: id.String(), Time: at, Node: "node-1", TeamID: "team_a", CredentialID: "key_a",
		Auth: latchkey.MethodBearer, Outcome: latchkey.OutcomeAccepted, Reason: latchkey.ReasonOK, Diagnosis: "none",
		Method: "GET", Host: "api.example.com", Path: "/v1/contacts", Status: 200, BytesIn: 1, BytesOut: 1 << 40, DurationUS: 321,
		ClientIP: "192.0.2.1", UserAgent: "curl/8", ClientRequestID: "mine", TraceID: strings.Repeat("ab", 16),
	}
}

func (x *exam) append(s Store, records ...latchkey.Record) {
	x.Helper()
	x.must("append records", s.AppendRecords(x.Context(), records))
}

func (x *exam) record(s Store, id string) latchkey.Record {
	x.Helper()
	r, err := s.Record(x.Context(), id)
	x.must("read record", err)
	return r
}

func examRecord(x *exam) {
	r := newRecord(x.clock.Now())
	empty := latchkey.Record{RequestID: newRecord(time.UnixMicro(0)).RequestID, Time: time.UnixMicro(0).UTC()}
	x.append(x.a, r, empty)
	x.must("append nothing", x.a.AppendRecords(x.Context(), nil))
	want := r
	want.Time = micros(r.Time)
	for _, s := range []Store{x.a, x.b} {
		equal(x, "a record is there, whole, when AppendRecords returns", x.record(s, r.RequestID), want)
		equal(x, "a request ID is compared without regard to case", x.record(s, strings.ToUpper(r.RequestID)), want)
		equal(x, "a record may be all but empty", x.record(s, empty.RequestID), empty)
		for _, id := range []string{"", "x", uuid.NewString(), r.RequestID[1:], r.RequestID + "0", "'" + r.RequestID, strings.Repeat("a", 64<<10)} {
			_, err := s.Record(x.Context(), id)
			x.rule(errors.Is(err, latchkey.ErrNotFound), "Record of an ID that is unknown, or is none, is ErrNotFound, not %v", err)
		}
	}
}

func examAppendTwice(x *exam) {
	at := x.clock.stop()
	first := newRecord(at)
	x.append(x.a, first)
	changed, second := first, newRecord(at)
	changed.Status, changed.Path, changed.Time = 500, "/other", at.Add(time.Hour)
	twin := second
	twin.Status = 500
	x.append(x.b, changed, second, twin)
	equal(x, "a record whose ID is there already is left as it is", x.record(x.a, first.RequestID), first)
	equal(x, "new records beside one that is there already are added; of twins the first", x.record(x.a, second.RequestID), second)
	list, err := x.a.Records(x.Context(), latchkey.RecordQuery{})
	x.must("read records", err)
	x.rule(len(list) == 2, "a record is there once: %d", len(list))

	third := newRecord(at)
	broken := newRecord(at)
	broken.RequestID = "no UUID"
	err = x.a.AppendRecords(x.Context(), []latchkey.Record{third, broken})
	x.rule(err != nil, "a record without a proper ID is an error")
	_, err = x.b.Record(x.Context(), third.RequestID)
	x.rule(errors.Is(err, latchkey.ErrNotFound), "AppendRecords is one transaction: after an error none is there, %v", err)
}

func examAppendConcurrently(x *exam) {
	const workers, batches, size = 4, 5, 40
	at := x.clock.stop()
	var all []latchkey.Record
	for range workers * batches * size / 2 {
		all = append(all, newRecord(at))
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			s := []Store{x.a, x.b}[w%2]
			// Pairs of workers append the same records, as after an error.
			for b := range batches {
				from := (w/2*batches + b) * size
				if err := s.AppendRecords(x.Context(), all[from:from+size]); err != nil {
					x.Errorf("append: %v", err)
				}
			}
		})
	}
	wg.Wait()
	list, err := x.a.Records(x.Context(), latchkey.RecordQuery{Limit: 10 * len(all)})
	x.must("read records", err)
	equal(x, "every record is there, once", list, newestFirst(all))
}

func newestFirst(records []latchkey.Record) []latchkey.Record {
	list := slices.Clone(records)
	slices.SortFunc(list, func(a, b latchkey.Record) int { return cmp.Compare(b.RequestID, a.RequestID) })
	return list
}

// examRecords holds queries against latchkey.RecordQuery.Matches.
func examRecords(x *exam) {
	at := x.clock.stop()
	pick := func(texts ...string) string { return texts[rand.IntN(len(texts))] }
	var all []latchkey.Record
	// Forms that a store may pack.
	theirs, trace := uuid.NewString()[:35]+"a", strings.Repeat("ab", 16)
	for range 300 {
		r := newRecord(at.Add(time.Duration(rand.IntN(72)) * time.Hour / 2))
		// A request may have begun long before its ID was made, or by another clock.
		r.Time = r.Time.Add(time.Duration(rand.Int64N(int64(time.Hour))) - 30*time.Minute).Truncate(time.Microsecond)
		r.TeamID, r.Status = pick("", "team_a", "team_b"), []int{200, 401, 503}[rand.IntN(3)]
		r.Outcome = latchkey.Outcome(pick("accepted", "denied", "unavailable"))
		r.ClientIP, r.ClientRequestID = pick("192.0.2.1", "2001:db8::1"), pick("", "mine", "MINE", theirs, strings.ToUpper(theirs))
		r.TraceID = pick("", trace, strings.ToUpper(trace), trace[1:])
		r.CredentialID, r.Method = pick("", "key_a", "key_b"), pick("GET", "POST", "get")
		r.Path = pick("/v1/contacts", "/v1/contact/7", "/V1/CONTACTS", "/100%_done", `/a\b*[c]?`, "/é", "/'\"")
		all = append(all, r)
	}
	x.append(x.a, all[:100]...)
	x.append(x.b, all[100:]...)
	all = newestFirst(all)

	for _, q := range loneFilters(&all[150]) {
		q.Limit = 1000
		if err := selectsWhatMatches(x, x.a, all, q); err != nil {
			x.Fatal(err)
		}
	}
	rapid.Check(x.T, func(rt *rapid.T) {
		s := []Store{x.a, x.b}[rapid.IntRange(0, 1).Draw(rt, "handle")]
		if err := selectsWhatMatches(x, s, all, drawQuery(rt, all)); err != nil {
			rt.Fatal(err)
		}
	})
}

// loneFilters is what chance meets too seldom: each filter by itself, in all its
// forms.
func loneFilters(r *latchkey.Record) (list []latchkey.RecordQuery) {
	for _, step := range []time.Duration{-time.Microsecond, -1, 0, 1, time.Microsecond} {
		list = append(list, latchkey.RecordQuery{Since: r.Time.Add(step)}, latchkey.RecordQuery{Until: r.Time.Add(step)},
			latchkey.RecordQuery{Since: r.Time, Until: r.Time.Add(step)})
	}
	id := r.RequestID
	for _, before := range []string{id, id + "x", strings.ToUpper(id), id[:12], id[:35], id[:35] + "g", id[:8] + "~", "0", "g", "~", "\x00"} {
		list = append(list, latchkey.RecordQuery{Before: before})
	}
	for _, path := range []string{"contact", "CONTACT", "%", "_", "*", "?", "[c]", `\b`, "é", "É", "'", `"`} {
		list = append(list, latchkey.RecordQuery{Path: path})
	}
	for _, text := range []string{r.ClientRequestID, "mine", "MINE", strings.ToUpper(r.ClientRequestID)} {
		list = append(list, latchkey.RecordQuery{ClientRequestID: text})
	}
	for _, text := range []string{strings.Repeat("ab", 16), strings.Repeat("AB", 16), strings.Repeat("ab", 16)[1:], "x"} {
		list = append(list, latchkey.RecordQuery{TraceID: text})
	}
	return append(list,
		latchkey.RecordQuery{ClientIP: "192.0.2.1"}, latchkey.RecordQuery{ClientIP: "192.0.2."}, latchkey.RecordQuery{ClientIP: "2001:DB8::1"},
		latchkey.RecordQuery{}, latchkey.RecordQuery{TeamID: "team_a"}, latchkey.RecordQuery{TeamID: "team_"},
		latchkey.RecordQuery{CredentialID: "key_a"}, latchkey.RecordQuery{CredentialID: "KEY_A"},
		latchkey.RecordQuery{Status: 401}, latchkey.RecordQuery{Outcome: latchkey.OutcomeDenied},
		latchkey.RecordQuery{Method: "GET"}, latchkey.RecordQuery{Method: "get"},
	)
}

// selectsWhatMatches holds the answer to q against all that is there.
func selectsWhatMatches(x *exam, s Store, all []latchkey.Record, q latchkey.RecordQuery) error {
	var want []latchkey.Record
	for i := range all {
		if q.Matches(&all[i]) && len(want) < cmp.Or(q.Limit, latchkey.DefaultRecordLimit) {
			want = append(want, all[i])
		}
	}
	got, err := s.Records(x.Context(), q)
	if err != nil {
		return fmt.Errorf("read records: %w", err)
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("rule broken: Records(%+v) returns what Matches, newest first: got %d, want %d\n got %s\nwant %s",
			q, len(got), len(want), abridge(ids(got)), abridge(ids(want)))
	}
	return nil
}

func drawQuery(rt *rapid.T, all []latchkey.Record) latchkey.RecordQuery {
	some := rapid.SampledFrom(all)
	q := latchkey.RecordQuery{
		TeamID:  rapid.SampledFrom([]string{"", "", "", "", "", "", "team_a", "team_b", "team_c", "team_", "' OR ''='"}).Draw(rt, "team"),
		Status:  rapid.SampledFrom([]int{0, 0, 0, 0, 200, 401, 404}).Draw(rt, "status"),
		Outcome: rapid.SampledFrom([]latchkey.Outcome{"", "", "", "", "accepted", "denied", "error"}).Draw(rt, "outcome"),
		// Whatever a pattern could mean, it is a text.
		CredentialID: rapid.SampledFrom([]string{"", "", "", "", "key_a", "key_", "KEY_A"}).Draw(rt, "credential"),
		Method:       rapid.SampledFrom([]string{"", "", "", "", "GET", "get", "G"}).Draw(rt, "method"),
		Path: rapid.SampledFrom([]string{"", "", "", "", "", "", "/", "contact", "CONTACT", "%", "_", "%_", "*", "?", "[c]", `\b`, "é", "É", "'"}).
			Draw(rt, "path"),
		ClientIP:        rapid.SampledFrom([]string{"", "", "", "", "", "192.0.2.1", "%"}).Draw(rt, "address"),
		ClientRequestID: rapid.SampledFrom([]string{"", "", "", "", "", "mine", "' --"}).Draw(rt, "client request"),
		TraceID:         rapid.SampledFrom([]string{"", "", "", "", "", all[0].TraceID, "'"}).Draw(rt, "trace"),
		Limit:           rapid.SampledFrom([]int{0, 1, 7, 100, 1000, 1000}).Draw(rt, "limit"),
	}
	if rapid.Bool().Draw(rt, "since") {
		q.Since = some.Draw(rt, "record").Time.Add(time.Duration(rapid.IntRange(-1, 1).Draw(rt, "ns")))
	}
	if rapid.Bool().Draw(rt, "until") {
		q.Until = some.Draw(rt, "record").Time.Add(time.Duration(rapid.IntRange(-1, 1).Draw(rt, "ns")))
	}
	id := some.Draw(rt, "before").RequestID
	switch rapid.IntRange(0, 5).Draw(rt, "form") {
	case 0, 1:
		q.Before = id
	case 2:
		q.Before = strings.ToUpper(id)
	case 3:
		q.Before = id[:rapid.IntRange(0, len(id)).Draw(rt, "cut")] + rapid.SampledFrom([]string{"", "0", "g", "-", "é", "\x00", "%"}).Draw(rt, "end")
	case 4:
		q.Before = rapid.OneOf(rapid.String(), rapid.Just(id+"x")).Draw(rt, "text")
	}
	return q
}

func ids(records []latchkey.Record) (list []string) {
	for _, r := range records {
		list = append(list, r.RequestID)
	}
	return list
}

func examRecordPages(x *exam) {
	at := x.clock.stop()
	var all []latchkey.Record
	for i := range 250 {
		all = append(all, newRecord(at.Add(time.Duration(i%50)*time.Millisecond)))
	}
	x.append(x.a, all...)
	all = newestFirst(all)
	for limit, size := range map[int]int{0: latchkey.DefaultRecordLimit, 7: 7, 250: 250} {
		var got []latchkey.Record
		q := latchkey.RecordQuery{Limit: limit}
		for range len(all) + 1 {
			page, err := x.b.Records(x.Context(), q)
			x.must("read records", err)
			if len(page) == 0 {
				break
			}
			x.rule(len(page) == min(size, len(all)-len(got)), "a page with limit %d has %d records, not %d", limit, size, len(page))
			got = append(got, page...)
			q.Before = page[len(page)-1].RequestID
		}
		equal(x, "pages together hold each record once, newest first", ids(got), ids(all))
	}
}

func examLastUsed(x *exam) {
	at := x.clock.stop()
	use := func(credential string, outcome latchkey.Outcome, after time.Duration) latchkey.Record {
		r := newRecord(at.Add(after))
		r.CredentialID, r.Outcome = credential, outcome
		return r
	}
	twice := use("key_b", latchkey.OutcomeAccepted, time.Minute)
	x.append(x.a, use("key_a", latchkey.OutcomeAccepted, time.Hour), use("key_a", latchkey.OutcomeAccepted, time.Minute),
		use("key_a", latchkey.OutcomeDenied, 2*time.Hour), use("key_a", latchkey.OutcomeUnavailable, 2*time.Hour),
		use("key_never", latchkey.OutcomeDenied, time.Hour), use("", latchkey.OutcomeAccepted, time.Hour),
		use("key_other", latchkey.OutcomeAccepted, time.Hour), twice)
	x.append(x.b, use("key_a", latchkey.OutcomeAccepted, time.Second)) // a batch that comes late
	again := twice
	again.Time = at.Add(9 * time.Hour)
	x.append(x.a, again)
	want := map[string]time.Time{"key_a": at.Add(time.Hour), "key_b": at.Add(time.Minute)}
	for _, s := range []Store{x.a, x.b} {
		got, err := s.LastUsed(x.Context(), []string{"key_a", "key_b", "key_never", "key_unknown", "key_a", "KEY_OTHER"})
		x.must("read last use", err)
		equal(x, "LastUsed is the last time that a credential was accepted, of those asked for", got, want)
		got, err = s.LastUsed(x.Context(), nil)
		x.rule(err == nil && len(got) == 0, "LastUsed of none is empty: %v, %v", got, err)
	}
	many := []string{"key_b"}
	for i := range 5000 {
		many = append(many, fmt.Sprintf("key_%d", i))
	}
	got, err := x.a.LastUsed(x.Context(), many)
	x.rule(err == nil && len(got) == 1, "LastUsed takes any number of IDs: %d, %v", len(got), err)
}

func examRetention(x *exam) {
	at := x.clock.stop()
	var all []latchkey.Record
	for age := range 10 {
		r := newRecord(at.Add(-time.Duration(age) * 24 * time.Hour))
		r.CredentialID = fmt.Sprintf("key_%d", age)
		all = append(all, r)
	}
	x.append(x.a, all...)
	before, err := x.a.Retention(x.Context())
	x.must("read retention", err)
	equal(x, "a new store keeps everything", before, latchkey.Retention{})
	want := latchkey.Retention{Age: 5 * 24 * time.Hour, Bytes: 1 << 40}
	x.must("retain", x.a.Retain(x.Context(), want))
	got, err := x.b.Retention(x.Context())
	x.must("read retention", err)
	equal(x, "Retention is what Retain was called with", got, want)
	list, err := x.a.Records(x.Context(), latchkey.RecordQuery{})
	x.must("read records", err)
	x.rule(len(list) >= 5 && len(list) <= 7, "records are kept for their age, and at most some day longer: %d days of 5", len(list))
	equal(x, "Retain forgets the oldest", ids(list), ids(all[:len(list)]))
	_, err = x.a.Record(x.Context(), all[9].RequestID)
	x.rule(errors.Is(err, latchkey.ErrNotFound), "a record that was forgotten is ErrNotFound, not %v", err)
	used, err := x.a.LastUsed(x.Context(), []string{"key_0", "key_9"})
	x.must("read last use", err)
	x.rule(len(used) == 2, "LastUsed outlives the records: %v", used)
	x.must("retain by size", x.a.Retain(x.Context(), latchkey.Retention{Bytes: 1}))
	list, err = x.a.Records(x.Context(), latchkey.RecordQuery{})
	x.must("read records", err)
	equal(x, "the newest day is kept, whatever its size, and nothing else where there is no room", ids(list), ids(all[:1]))

	future := newRecord(at.Add(24 * time.Hour))
	x.append(x.a, future)
	x.must("retain by size", x.a.Retain(x.Context(), latchkey.Retention{Bytes: 1}))
	list, err = x.a.Records(x.Context(), latchkey.RecordQuery{})
	x.must("read records", err)
	equal(x, "a record of tomorrow, by a clock that was ahead, takes the place of none of today", ids(list), []string{future.RequestID, all[0].RequestID})
}

func examGaps(x *exam) {
	at := x.clock.stop()
	second := func(n int) time.Time { return at.Add(time.Duration(n) * time.Second) }
	first := latchkey.Gap{Node: "node-1", From: second(0), To: second(10), Count: 3}
	other := latchkey.Gap{Node: "node-2", From: second(0), To: second(5), Count: 1, AtMost: true}
	later := latchkey.Gap{Node: "node-1", From: second(20), To: second(20), Count: 1204}
	for _, g := range []latchkey.Gap{later, first, other, first} {
		x.must("add gap", x.a.AddGap(x.Context(), g))
	}
	grown := first
	grown.To, grown.Count = second(11), 4
	x.must("add gap", x.b.AddGap(x.Context(), grown))
	for _, c := range []struct {
		from, to int
		want     []latchkey.Gap
	}{
		{-10, 100, []latchkey.Gap{grown, other, later}}, {6, 8, []latchkey.Gap{grown}}, {11, 11, []latchkey.Gap{grown}},
		{12, 19, nil}, {20, 20, []latchkey.Gap{later}}, {12, 20, []latchkey.Gap{later}}, {21, 30, nil}, {-2, -1, nil},
	} {
		got, err := x.b.Gaps(x.Context(), second(c.from), second(c.to))
		x.must("read gaps", err)
		x.rule(slices.Equal(got, c.want), "gaps that touch %d to %d: %v, not %v", c.from, c.to, got, c.want)
	}
}
