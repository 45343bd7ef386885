package storetest_test

import (
	"context"
	"time"

	"latchkey"
	"latchkey/storetest"
)

type (
	buildFunc  = func(now time.Time) (latchkey.Holding, error)
	editFunc   = func(now time.Time, h *latchkey.Holding) error
	updateFunc = func(ctx context.Context, teamID string, edit editFunc) (latchkey.Holding, latchkey.Change, error)
)

// A patched store does as the store below it, but where a function is set.
type patched struct {
	storetest.Store
	createTeam    func(ctx context.Context, build buildFunc) (latchkey.Holding, latchkey.Change, error)
	updateTeam    updateFunc
	holding       func(ctx context.Context, team string) (latchkey.Holding, error)
	teams         func(ctx context.Context) ([]latchkey.Team, error)
	credential    func(ctx context.Context, id string) (latchkey.Credential, error)
	changes       func(ctx context.Context, after latchkey.Revision) (latchkey.Changes, error)
	dueOverlaps   func(ctx context.Context) ([]string, error)
	purge         func(ctx context.Context, before time.Duration) (int, error)
	probe         func(ctx context.Context) ([]byte, error)
	appendRecords func(ctx context.Context, records []latchkey.Record) error
	record        func(ctx context.Context, id string) (latchkey.Record, error)
	records       func(ctx context.Context, q latchkey.RecordQuery) ([]latchkey.Record, error)
	lastUsed      func(ctx context.Context, ids []string) (map[string]time.Time, error)
	retain        func(ctx context.Context, r latchkey.Retention) error
	addGap        func(ctx context.Context, g latchkey.Gap) error
	createContact func(ctx context.Context, team string, c latchkey.Contact) (latchkey.Contact, error)
	contact       func(ctx context.Context, team string, id int64) (latchkey.Contact, error)
	updateContact func(ctx context.Context, team string, id int64, edit func(*latchkey.Contact) error) (latchkey.Contact, error)
	deleteContact func(ctx context.Context, team string, id int64) error
	contacts      func(ctx context.Context, team string, before int64, limit int) ([]latchkey.Contact, error)
}

func (p *patched) CreateTeam(ctx context.Context, build buildFunc) (latchkey.Holding, latchkey.Change, error) {
	if p.createTeam != nil {
		return p.createTeam(ctx, build)
	}
	return p.Store.CreateTeam(ctx, build)
}

func (p *patched) UpdateTeam(ctx context.Context, id string, edit editFunc) (latchkey.Holding, latchkey.Change, error) {
	if p.updateTeam != nil {
		return p.updateTeam(ctx, id, edit)
	}
	return p.Store.UpdateTeam(ctx, id, edit)
}

func (p *patched) Holding(ctx context.Context, team string) (latchkey.Holding, error) {
	if p.holding != nil {
		return p.holding(ctx, team)
	}
	return p.Store.Holding(ctx, team)
}

func (p *patched) Teams(ctx context.Context) ([]latchkey.Team, error) {
	if p.teams != nil {
		return p.teams(ctx)
	}
	return p.Store.Teams(ctx)
}

func (p *patched) Credential(ctx context.Context, id string) (latchkey.Credential, error) {
	if p.credential != nil {
		return p.credential(ctx, id)
	}
	return p.Store.Credential(ctx, id)
}

func (p *patched) Changes(ctx context.Context, after latchkey.Revision) (latchkey.Changes, error) {
	if p.changes != nil {
		return p.changes(ctx, after)
	}
	return p.Store.Changes(ctx, after)
}

func (p *patched) DueOverlaps(ctx context.Context) ([]string, error) {
	if p.dueOverlaps != nil {
		return p.dueOverlaps(ctx)
	}
	return p.Store.DueOverlaps(ctx)
}

func (p *patched) PurgeTombstones(ctx context.Context, age time.Duration) (int, error) {
	if p.purge != nil {
		return p.purge(ctx, age)
	}
	return p.Store.PurgeTombstones(ctx, age)
}

func (p *patched) Probe(ctx context.Context) ([]byte, error) {
	if p.probe != nil {
		return p.probe(ctx)
	}
	return p.Store.Probe(ctx)
}

func (p *patched) AppendRecords(ctx context.Context, records []latchkey.Record) error {
	if p.appendRecords != nil {
		return p.appendRecords(ctx, records)
	}
	return p.Store.AppendRecords(ctx, records)
}

func (p *patched) Record(ctx context.Context, id string) (latchkey.Record, error) {
	if p.record != nil {
		return p.record(ctx, id)
	}
	return p.Store.Record(ctx, id)
}

func (p *patched) Records(ctx context.Context, q latchkey.RecordQuery) ([]latchkey.Record, error) {
	if p.records != nil {
		return p.records(ctx, q)
	}
	return p.Store.Records(ctx, q)
}

func (p *patched) LastUsed(ctx context.Context, ids []string) (map[string]time.Time, error) {
	if p.lastUsed != nil {
		return p.lastUsed(ctx, ids)
	}
	return p.Store.LastUsed(ctx, ids)
}

func (p *patched) Retain(ctx context.Context, r latchkey.Retention) error {
	if p.retain != nil {
		return p.retain(ctx, r)
	}
	return p.Store.Retain(ctx, r)
}

func (p *patched) AddGap(ctx context.Context, g latchkey.Gap) error {
	if p.addGap != nil {
		return p.addGap(ctx, g)
	}
	return p.Store.AddGap(ctx, g)
}

func (p *patched) CreateContact(ctx context.Context, team string, c latchkey.Contact) (latchkey.Contact, error) {
	if p.createContact != nil {
		return p.createContact(ctx, team, c)
	}
	return p.Store.CreateContact(ctx, team, c)
}

func (p *patched) Contact(ctx context.Context, team string, id int64) (latchkey.Contact, error) {
	if p.contact != nil {
		return p.contact(ctx, team, id)
	}
	return p.Store.Contact(ctx, team, id)
}

func (p *patched) UpdateContact(ctx context.Context, team string, id int64, edit func(*latchkey.Contact) error) (latchkey.Contact, error) {
	if p.updateContact != nil {
		return p.updateContact(ctx, team, id, edit)
	}
	return p.Store.UpdateContact(ctx, team, id, edit)
}

func (p *patched) DeleteContact(ctx context.Context, team string, id int64) error {
	if p.deleteContact != nil {
		return p.deleteContact(ctx, team, id)
	}
	return p.Store.DeleteContact(ctx, team, id)
}

func (p *patched) Contacts(ctx context.Context, team string, before int64, limit int) ([]latchkey.Contact, error) {
	if p.contacts != nil {
		return p.contacts(ctx, team, before, limit)
	}
	return p.Store.Contacts(ctx, team, before, limit)
}
