package storetest

import (
	"errors"
	"fmt"
	"maps"
	"sync"

	"latchkey"
)

// contact adds one.
func (x *exam) contact(s Store, team string, c latchkey.Contact) latchkey.Contact {
	x.Helper()
	made, err := s.CreateContact(x.Context(), team, c)
	x.must("create contact", err)
	return made
}

// sameContact holds two contacts against each other; no custom fields are the
// same as an empty map.
func (x *exam) sameContact(rule string, got, want latchkey.Contact) {
	x.Helper()
	x.rule(maps.Equal(got.Custom, want.Custom), "%s: custom fields %s, not %s", rule, abridge(got.Custom), abridge(want.Custom))
	got.Custom, want.Custom = nil, nil
	equal(x, rule, got, want)
}

func someone() latchkey.Contact {
	return latchkey.Contact{
		First: "Ada", Last: "Lovelace", DisplayName: "Countess", Email: "ada@example.com", Phone: "15550100",
		Custom: map[string]string{"plan": "gold", "": "nameless"},
	}
}

func examCreateContact(x *exam) {
	team := x.genesis.Holding.Team.ID
	at := x.clock.stop()
	asked := someone()
	asked.ID, asked.Rev, asked.Created, asked.Updated = 99, 7, at.AddDate(-1, 0, 0), at.AddDate(1, 0, 0)
	made := x.contact(x.a, team, asked)
	want := someone()
	want.ID, want.Rev, want.Created, want.Updated = made.ID, 1, at, at
	x.rule(made.ID > 0, "a contact's ID is above 0: %d", made.ID)
	x.sameContact("a new contact has Rev 1 and the store's time", made, want)
	for _, s := range []Store{x.a, x.b} {
		got, err := s.Contact(x.Context(), team, made.ID)
		x.must("read contact", err)
		x.sameContact("a contact is there when CreateContact returns", got, want)
	}
	bare := x.contact(x.b, team, latchkey.Contact{Phone: "15550101"})
	x.rule(bare.ID > made.ID, "contact IDs ascend: %d after %d", bare.ID, made.ID)
	got, err := x.a.Contact(x.Context(), team, bare.ID)
	x.must("read contact", err)
	x.sameContact("a contact may be all but empty", got, latchkey.Contact{ID: bare.ID, Phone: "15550101", Created: at, Updated: at, Rev: 1})
}

func examOtherTeam(x *exam) {
	mine, other := x.genesis.Holding.Team.ID, ""
	h, _ := x.create(x.a, "other")
	other = h.Team.ID
	made := x.contact(x.a, mine, someone())
	theirs := x.contact(x.b, other, latchkey.Contact{Phone: "15550199"})
	for _, team := range []string{other, "", "team_unknown", "default", "%", "' OR ''='"} {
		_, err := x.b.Contact(x.Context(), team, made.ID)
		x.rule(errors.Is(err, latchkey.ErrNotFound), "another team's contact is ErrNotFound, not %v", err)
		_, err = x.a.UpdateContact(x.Context(), team, made.ID, func(*latchkey.Contact) error {
			x.Error("rule broken: edit is not given another team's contact")
			return nil
		})
		x.rule(errors.Is(err, latchkey.ErrNotFound), "an update of another team's contact is ErrNotFound, not %v", err)
		err = x.a.DeleteContact(x.Context(), team, made.ID)
		x.rule(errors.Is(err, latchkey.ErrNotFound), "a deletion of another team's contact is ErrNotFound, not %v", err)
		list, err := x.b.Contacts(x.Context(), team, 0, 10)
		x.must("read contacts", err)
		for _, c := range list {
			x.rule(c.ID == theirs.ID && team == other, "another team's contact is not listed: %d", c.ID)
		}
	}
	got, err := x.a.Contact(x.Context(), mine, made.ID)
	x.must("read contact", err)
	x.sameContact("another team's attempts change nothing", got, made)
}

func examUpdateContact(x *exam) {
	team := x.genesis.Holding.Team.ID
	made := x.contact(x.a, team, someone())
	at := x.clock.stop()
	after, err := x.b.UpdateContact(x.Context(), team, made.ID, func(c *latchkey.Contact) error {
		x.sameContact("edit is given the contact as it stands", *c, made)
		c.Last = "Byron"
		c.Custom = map[string]string{"plan": "silver"}
		c.ID, c.Rev, c.Created, c.Updated = 1234, 55, at.AddDate(1, 0, 0), at.AddDate(2, 0, 0)
		return nil
	})
	x.must("update contact", err)
	want := made
	want.Last, want.Custom, want.Rev, want.Updated = "Byron", map[string]string{"plan": "silver"}, 2, at
	x.sameContact("an update keeps ID and Created, adds one to Rev, and sets Updated", after, want)
	got, err := x.a.Contact(x.Context(), team, made.ID)
	x.must("read contact", err)
	x.sameContact("an update is there when UpdateContact returns", got, want)

	failure := errors.New("thought better of it")
	_, err = x.a.UpdateContact(x.Context(), team, made.ID, func(c *latchkey.Contact) error {
		c.First = "changed"
		c.Custom["plan"] = "changed"
		return failure
	})
	x.rule(err == failure, "an error of edit comes back as it is, not as %v", err)
	got, err = x.b.Contact(x.Context(), team, made.ID)
	x.must("read contact", err)
	x.sameContact("an edit that failed changes nothing", got, want)
	_, err = x.a.UpdateContact(x.Context(), team, made.ID+1000, func(*latchkey.Contact) error { return nil })
	x.rule(errors.Is(err, latchkey.ErrNotFound), "an update of an unknown contact is ErrNotFound, not %v", err)
}

func examConcurrentContacts(x *exam) {
	const workers, times = 4, 20
	team := x.genesis.Holding.Team.ID
	made := x.contact(x.a, team, latchkey.Contact{First: "0", Phone: "15550100"})
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		revs = map[int64]int{}
	)
	for w := range workers {
		wg.Go(func() {
			s := []Store{x.a, x.b}[w%2]
			for range times {
				after, err := s.UpdateContact(x.Context(), team, made.ID, func(c *latchkey.Contact) error {
					var n int
					_, err := fmt.Sscan(c.First, &n)
					c.First = fmt.Sprint(n + 1)
					return err
				})
				if err != nil {
					x.Errorf("concurrent update: %v", err)
					return
				}
				mu.Lock()
				revs[after.Rev]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for rev := int64(2); rev <= workers*times+1; rev++ {
		x.rule(revs[rev] == 1, "each update makes a Rev of its own: %d was made %d times", rev, revs[rev])
	}
	got, err := x.b.Contact(x.Context(), team, made.ID)
	x.must("read contact", err)
	equal(x, "no update is lost", got.First, fmt.Sprint(workers*times))
}

func examDeleteContact(x *exam) {
	team := x.genesis.Holding.Team.ID
	kept, made := x.contact(x.a, team, someone()), x.contact(x.a, team, someone())
	x.must("delete contact", x.b.DeleteContact(x.Context(), team, made.ID))
	for _, id := range []int64{made.ID, made.ID + 1000, 0, -1} {
		_, err := x.a.Contact(x.Context(), team, id)
		x.rule(errors.Is(err, latchkey.ErrNotFound), "a contact that is not there is ErrNotFound, not %v", err)
		err = x.a.DeleteContact(x.Context(), team, id)
		x.rule(errors.Is(err, latchkey.ErrNotFound), "a deletion of a contact that is not there is ErrNotFound, not %v", err)
	}
	next := x.contact(x.a, team, someone())
	x.rule(next.ID > made.ID, "a contact's ID is never used twice: %d came after %d", next.ID, made.ID)
	got, err := x.b.Contact(x.Context(), team, kept.ID)
	x.must("read contact", err)
	x.sameContact("a deletion leaves the others", got, kept)
}

func examContactPages(x *exam) {
	h, _ := x.create(x.a, "other")
	teams := []string{x.genesis.Holding.Team.ID, h.Team.ID}
	want := map[string][]int64{}
	last := int64(0)
	for i := range 30 {
		team := teams[i%3%2] // two of three are the first team's
		c := x.contact([]Store{x.a, x.b}[i%2], team, someone())
		x.rule(c.ID > last, "IDs ascend among all teams: %d after %d", c.ID, last)
		last = c.ID
		want[team] = append([]int64{c.ID}, want[team]...)
	}
	for _, team := range teams {
		for _, limit := range []int{1, 4, 100} {
			var got []int64
			before := int64(0)
			for range 31 {
				page, err := x.b.Contacts(x.Context(), team, before, limit)
				x.must("read contacts", err)
				x.rule(len(page) == min(limit, len(want[team])-len(got)), "a page has at most %d contacts, and as many as there are: %d", limit, len(page))
				if len(page) == 0 {
					break
				}
				for _, c := range page {
					got = append(got, c.ID)
				}
				before = got[len(got)-1]
			}
			equal(x, "pages together hold each contact of the team once, newest first", got, want[team])
		}
	}
	for _, limit := range []int{0, -1} {
		page, err := x.a.Contacts(x.Context(), teams[0], 0, limit)
		x.rule(err == nil && len(page) == 0, "at most %d contacts are none: %d, %v", limit, len(page), err)
	}
}
