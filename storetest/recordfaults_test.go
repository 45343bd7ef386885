package storetest_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"latchkey"
	"latchkey/storetest"
)

// selecting returns a store that alters queries.
func selecting(f func(q *latchkey.RecordQuery)) func(storetest.Store) storetest.Store {
	return func(good storetest.Store) storetest.Store {
		return &patched{Store: good, records: func(ctx context.Context, q latchkey.RecordQuery) ([]latchkey.Record, error) {
			f(&q)
			return good.Records(ctx, q)
		}}
	}
}

var recordFaults = []fault{
	{"a request ID has case", "Record", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, record: func(ctx context.Context, id string) (latchkey.Record, error) {
			if id != strings.ToLower(id) {
				return latchkey.Record{}, latchkey.NotFound("request", id)
			}
			return good.Record(ctx, id)
		}}
	}},
	{"a malformed request ID is another error", "Record", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, record: func(ctx context.Context, id string) (latchkey.Record, error) {
			if len(id) != 36 {
				return latchkey.Record{}, errors.New("invalid UUID length")
			}
			return good.Record(ctx, id)
		}}
	}},
	{"a record is overwritten", "AppendRecordsTwice", func(good storetest.Store) storetest.Store {
		var last sync.Map
		return &patched{
			Store: good,
			appendRecords: func(ctx context.Context, records []latchkey.Record) error {
				for _, r := range records {
					last.Store(r.RequestID, r)
				}
				return good.AppendRecords(ctx, records)
			},
			record: func(ctx context.Context, id string) (latchkey.Record, error) {
				if r, ok := last.Load(id); ok {
					return r.(latchkey.Record), nil
				}
				return good.Record(ctx, id)
			},
		}
	}},
	{"records are appended one by one", "AppendRecordsTwice", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, appendRecords: func(ctx context.Context, records []latchkey.Record) error {
			for i := range records {
				if err := good.AppendRecords(ctx, records[i:i+1]); err != nil {
					return err
				}
			}
			return nil
		}}
	}},
	{"since is exclusive", "Records", selecting(func(q *latchkey.RecordQuery) {
		if !q.Since.IsZero() {
			q.Since = q.Since.Add(time.Microsecond)
		}
	})},
	{"the outcome is ignored", "Records", selecting(func(q *latchkey.RecordQuery) { q.Outcome = "" })},
	{"the status is ignored", "Records", selecting(func(q *latchkey.RecordQuery) { q.Status = 0 })},
	{"the credential is ignored", "Records", selecting(func(q *latchkey.RecordQuery) { q.CredentialID = "" })},
	{"the method has no case", "Records", selecting(func(q *latchkey.RecordQuery) { q.Method = strings.ToUpper(q.Method) })},
	{"the path is a pattern", "Records", selecting(func(q *latchkey.RecordQuery) { q.Path = strings.Trim(q.Path, "%*") })},
	{"the team is ignored", "Records", selecting(func(q *latchkey.RecordQuery) { q.TeamID = "" })},
	{"before has no case", "Records", selecting(func(q *latchkey.RecordQuery) { q.Before = strings.ToLower(q.Before) })},
	{"until is inclusive", "Records", selecting(func(q *latchkey.RecordQuery) {
		if !q.Until.IsZero() {
			q.Until = q.Until.Add(time.Microsecond)
		}
	})},
	{"the address is ignored", "Records", selecting(func(q *latchkey.RecordQuery) { q.ClientIP = "" })},
	{"the caller's request ID has no case", "Records", selecting(func(q *latchkey.RecordQuery) { q.ClientRequestID = strings.ToLower(q.ClientRequestID) })},
	{"the trace has no case", "Records", selecting(func(q *latchkey.RecordQuery) { q.TraceID = strings.ToLower(q.TraceID) })},
	{"nothing is forgotten", "Retention", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, retain: func(context.Context, latchkey.Retention) error { return nil }}
	}},
	{"usage is kept for ever", "UsageKept", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, retain: func(context.Context, latchkey.Retention) error { return nil }}
	}},
	{"a gap is counted twice", "Gaps", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, addGap: func(ctx context.Context, g latchkey.Gap) error {
			if old, err := good.Gaps(ctx, g.From, g.From); err == nil {
				for _, o := range old {
					if o.Node == g.Node && o.From.Equal(g.From) {
						g.Count += o.Count
					}
				}
			}
			return good.AddGap(ctx, g)
		}}
	}},
	{"pages begin anew", "RecordPages", selecting(func(q *latchkey.RecordQuery) { q.Before = "" })},
	{"the default limit is another", "RecordPages", selecting(func(q *latchkey.RecordQuery) {
		if q.Limit == 0 {
			q.Limit = 50
		}
	})},
	{"the oldest come first", "RecordPages", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, records: func(ctx context.Context, q latchkey.RecordQuery) ([]latchkey.Record, error) {
			list, err := good.Records(ctx, q)
			slices.Reverse(list)
			return list, err
		}}
	}},
	{"refused requests count as use", "LastUsed", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, lastUsed: func(ctx context.Context, ids []string) (map[string]time.Time, error) {
			used, err := good.LastUsed(ctx, ids)
			list, _ := good.Records(ctx, latchkey.RecordQuery{})
			for _, r := range list {
				if slices.Contains(ids, r.CredentialID) && r.Time.After(used[r.CredentialID]) {
					used[r.CredentialID] = r.Time
				}
			}
			return used, err
		}}
	}},
	{"texts are cut at a NUL", "HostileRecords", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, record: func(ctx context.Context, id string) (latchkey.Record, error) {
			r, err := good.Record(ctx, id)
			r.Path, _, _ = strings.Cut(r.Path, "\uFFFD")
			return r, err
		}}
	}},
	{"a batch is lost", "AppendRecordsConcurrently", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, appendRecords: func(ctx context.Context, records []latchkey.Record) error {
			return good.AppendRecords(ctx, records[:len(records)-1])
		}}
	}},
}

var contactFaults = []fault{
	{"another team's contact is visible", "ContactsOfAnotherTeam", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, contact: func(ctx context.Context, team string, id int64) (latchkey.Contact, error) {
			teams, _ := good.Teams(ctx)
			for _, t := range teams {
				if c, err := good.Contact(ctx, t.ID, id); err == nil {
					return c, nil
				}
			}
			return good.Contact(ctx, team, id)
		}}
	}},
	{"another team's contact can be deleted", "ContactsOfAnotherTeam", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, deleteContact: func(ctx context.Context, team string, id int64) (err error) {
			teams, _ := good.Teams(ctx)
			for _, t := range teams {
				err = errors.Join(err, good.DeleteContact(ctx, t.ID, id))
			}
			return nil
		}}
	}},
	{"a new contact has the caller's times", "CreateContact", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, createContact: func(ctx context.Context, team string, c latchkey.Contact) (latchkey.Contact, error) {
			made, err := good.CreateContact(ctx, team, c)
			made.Created = c.Created
			return made, err
		}}
	}},
	{"edit may move Created", "UpdateContact", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, updateContact: func(ctx context.Context, team string, id int64, edit func(*latchkey.Contact) error) (latchkey.Contact, error) {
			var created time.Time
			c, err := good.UpdateContact(ctx, team, id, func(c *latchkey.Contact) error {
				err := edit(c)
				created = c.Created
				return err
			})
			c.Created = created
			return c, err
		}}
	}},
	{"contact updates are lost", "ConcurrentContactUpdates", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, updateContact: func(ctx context.Context, team string, id int64, edit func(*latchkey.Contact) error) (latchkey.Contact, error) {
			early, err := good.Contact(ctx, team, id)
			if err == nil {
				err = edit(&early)
			}
			if err != nil {
				return latchkey.Contact{}, err
			}
			return good.UpdateContact(ctx, team, id, func(c *latchkey.Contact) error {
				*c = early
				return nil
			})
		}}
	}},
	{"a contact is deleted twice", "DeleteContact", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, deleteContact: func(ctx context.Context, team string, id int64) error {
			if err := good.DeleteContact(ctx, team, id); !errors.Is(err, latchkey.ErrNotFound) {
				return err
			}
			return nil
		}}
	}},
	{"contact pages overlap", "ContactPages", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, contacts: func(ctx context.Context, team string, before int64, limit int) ([]latchkey.Contact, error) {
			if before > 0 {
				before++
			}
			return good.Contacts(ctx, team, before, limit)
		}}
	}},
	{"bytes that are no text come back", "HostileContacts", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, contact: func(ctx context.Context, team string, id int64) (latchkey.Contact, error) {
			c, err := good.Contact(ctx, team, id)
			c.First = string(bytes.ReplaceAll([]byte(c.First), []byte("\uFFFD"), []byte("\xff")))
			return c, err
		}}
	}},
}
