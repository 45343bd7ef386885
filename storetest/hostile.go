package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"latchkey"
)

// hostile are texts that a store could stumble over. Those that callers send
// can be anything; a store keeps them as kept says.
var hostile = []string{
	`'; DROP TABLE credentials; --`, `" OR ""="`, `\'; SELECT 1; --`, `%_*?[a-z]\`, `$1 ?1 :a @b {{.}} ${x}`,
	"\x00", "a\x00b", "\xff\xfe", "caf\xe9", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\u202eevil", "e\u0301", "\U0001F511",
	" ", "\t\r\n", "NULL", "null", "0x41", "1e400", "\ufeffbom", `{"a":1}`,
}

var long = strings.Repeat("long' \x00\xff", 8<<10) // 64 KiB

// printable asks that a value can be written as JSON, and holds proper text.
func (x *exam) printable(v any) {
	x.Helper()
	out, err := json.Marshal(v)
	x.must("write JSON", err)
	x.rule(utf8.Valid(out) && json.Valid(out), "what a store gives back can be written as JSON")
}

func examHostileNames(x *exam) {
	want := map[string]string{}
	for i, s := range hostile {
		name := fmt.Sprintf("%d%s", i, s)
		h, _ := x.create(x.a, name)
		want[h.Team.ID] = kept(name)
		equal(x, "a hostile name is found", x.holding(x.b, name), h)
		after, _ := x.update(x.b, h.Team.ID, func(now time.Time, h *latchkey.Holding) {
			h.Credentials[0].CreatedBy = s + long
			h.Credentials[1].End(now, long+s, latchkey.Ending(s))
		})
		equal(x, "hostile texts are kept", after.Credentials[0].CreatedBy, kept(s+long))
		equal(x, "UpdateTeam returns texts as they are kept", x.holding(x.a, h.Team.ID), after)
		dead, err := x.a.Credential(x.Context(), h.Credentials[1].ID)
		x.must("read credential", err)
		x.rule(dead.EndedBy == kept(long+s) && dead.EndedWhy == latchkey.Ending(kept(s)), "hostile texts are kept: %q", s)
		x.printable(after.Team)
	}
	for _, t := range x.changes(x.b, 1).Teams {
		equal(x, "a hostile name is kept", t.Name, want[t.ID])
	}
	x.rule(len(x.changes(x.b, 1).Teams) == len(hostile), "hostile names make no more and no fewer teams")
}

func examHostileLookups(x *exam) {
	before := x.changes(x.a, 0)
	for _, s := range append([]string{long}, hostile...) {
		for _, text := range []string{s, "default" + s, x.genesis.Holding.Team.ID + s} {
			_, err := x.a.Holding(x.Context(), text)
			x.rule(errors.Is(err, latchkey.ErrNotFound), "Holding(%.40q) is ErrNotFound, not %v", text, err)
			_, err = x.b.Credential(x.Context(), text)
			x.rule(errors.Is(err, latchkey.ErrNotFound), "Credential(%.40q) is ErrNotFound, not %v", text, err)
			_, _, err = x.a.UpdateTeam(x.Context(), text, func(time.Time, *latchkey.Holding) error { return nil })
			x.rule(errors.Is(err, latchkey.ErrNotFound), "UpdateTeam(%.40q) is ErrNotFound, not %v", text, err)
			_, err = x.b.Record(x.Context(), text)
			x.rule(errors.Is(err, latchkey.ErrNotFound), "Record(%.40q) is ErrNotFound, not %v", text, err)
			list, err := x.a.Records(x.Context(), latchkey.RecordQuery{TeamID: text, Outcome: latchkey.Outcome(text), Before: text})
			x.rule(err == nil && len(list) == 0, "Records by %.40q are none: %v", text, err)
			used, err := x.b.LastUsed(x.Context(), []string{text})
			x.rule(err == nil && len(used) == 0, "LastUsed of %.40q is none: %v", text, err)
			contacts, err := x.b.Contacts(x.Context(), text, 0, 10)
			x.rule(err == nil && len(contacts) == 0, "Contacts of %.40q are none: %v", text, err)
		}
	}
	x.unchanged("look-ups with hostile texts", before)
}

func examHostileRecords(x *exam) {
	at := x.clock.stop()
	var sent []latchkey.Record
	for i, s := range append([]string{long}, hostile...) {
		r := newRecord(at)
		r.Diagnosis, r.Host, r.Path, r.UserAgent = s, s, "/"+s, s+long
		if i > 0 { // of a length that an index can hold
			r.Node, r.TeamID, r.CredentialID, r.Auth, r.Reason = s, s, s, latchkey.Method(s), latchkey.Reason(s)
			r.Method, r.ClientIP, r.ClientRequestID, r.TraceID = s, s, s, s
		}
		sent = append(sent, r)
	}
	x.append(x.a, sent...)
	for _, r := range sent {
		got := x.record(x.b, r.RequestID)
		x.printable(got)
		for _, s := range []*string{&r.Node, &r.TeamID, &r.CredentialID, &r.Diagnosis, &r.Method, &r.Host, &r.Path,
			&r.ClientIP, &r.UserAgent, &r.ClientRequestID, &r.TraceID, (*string)(&r.Auth), (*string)(&r.Reason)} {
			*s = kept(*s)
		}
		equal(x, "hostile texts are kept in records", got, r)
		list, err := x.a.Records(x.Context(), latchkey.RecordQuery{TeamID: r.TeamID})
		x.must("read records", err)
		x.rule(len(list) > 0 && list[0].TeamID == r.TeamID, "records are found by a hostile team")
	}
}

func examHostileContacts(x *exam) {
	team := x.genesis.Holding.Team.ID
	for _, s := range append([]string{long}, hostile...) {
		asked := latchkey.Contact{First: s, Last: s, DisplayName: s, Email: s, Phone: s, Custom: map[string]string{s: s, "k": s + long}}
		made := x.contact(x.a, team, asked)
		want := latchkey.Contact{
			ID: made.ID, First: kept(s), Last: kept(s), DisplayName: kept(s), Email: kept(s), Phone: kept(s),
			Custom: map[string]string{kept(s): kept(s), "k": kept(s + long)}, Created: made.Created, Updated: made.Updated, Rev: 1,
		}
		x.sameContact("hostile texts are kept in contacts", made, want)
		got, err := x.b.Contact(x.Context(), team, made.ID)
		x.must("read contact", err)
		x.sameContact("hostile texts are kept in contacts", got, want)
		x.printable(got)
		got, err = x.b.UpdateContact(x.Context(), team, made.ID, func(c *latchkey.Contact) error {
			c.First, c.Custom = "a"+s, asked.Custom
			return nil
		})
		x.must("update contact", err)
		equal(x, "hostile texts are kept in contacts", got.First, kept("a"+s))
	}
}
