package postgres

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"latchkey"
)

// TestUsageCapOfManyNodes: of two nodes that add callers at the same time, one
// waits for the other: a day has so many and one for all others.
func TestUsageCapOfManyNodes(t *testing.T) {
	a, b := twoNodes(t)
	use := func(agent string) latchkey.Usage {
		return latchkey.Usage{CredentialID: "key_a", TeamID: "team_a", Day: firstDay, Last: firstDay.Add(time.Hour), Accepted: 1,
			Caller: latchkey.Caller{UserAgent: agent, Auth: latchkey.MethodBearer}}
	}
	var full []latchkey.Usage
	for i := range latchkey.MaxCallers {
		full = append(full, use(strconv.Itoa(i)))
	}
	tx, err := a.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(t.Context(), `SELECT pg_advisory_xact_lock($1)`, int64(usageLock)); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), addUsage, usageArgs(full)...); err != nil {
		t.Fatal(err)
	}
	added := make(chan error, 1)
	go func() { added <- b.AddUsage(t.Context(), []latchkey.Usage{use("one more"), use("0")}) }()
	select {
	case err := <-added:
		t.Errorf("a node adds callers while another does: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-added; err != nil {
		t.Fatal(err)
	}
	list, err := a.Usage(t.Context(), []string{"key_a"}, firstDay)
	if err != nil || len(list) != latchkey.MaxCallers+1 {
		t.Fatalf("a day has %d callers and one for all others: %d, %v", latchkey.MaxCallers, len(list), err)
	}
	if !slices.ContainsFunc(list, func(u latchkey.Usage) bool { return u.Caller == latchkey.Caller{} }) {
		t.Errorf("who comes when the day is full is counted among all others")
	}
	if list[0].Caller.UserAgent != "0" || list[0].Accepted != 2 {
		t.Errorf("who is there is still told apart: %+v", list[0])
	}
}

// TestUsageOfKnownCallers: a node whose callers are there already does not wait for
// one that adds some; nor does the row of all others.
func TestUsageOfKnownCallers(t *testing.T) {
	a, b := twoNodes(t)
	use := func(agent string, accepted int64) latchkey.Usage {
		u := latchkey.Usage{CredentialID: "key_a", TeamID: "team_a", Day: firstDay, Last: firstDay.Add(time.Hour), Accepted: accepted}
		if agent != "" {
			u.Caller = latchkey.Caller{UserAgent: agent, Auth: latchkey.MethodBearer}
		}
		return u
	}
	if err := a.AddUsage(t.Context(), []latchkey.Usage{use("known", 1)}); err != nil {
		t.Fatal(err)
	}
	full := make([]latchkey.Usage, latchkey.MaxCallers)
	for i := range full {
		full[i] = use(strconv.Itoa(i), 1)
		full[i].CredentialID = "key_full"
	}
	if err := a.AddUsage(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	another := use("another", 1)
	another.CredentialID = "key_full"
	tx, err := a.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(t.Context(), `SELECT pg_advisory_xact_lock($1), set_config('idle_in_transaction_session_timeout', '0', true)`,
		int64(usageLock)); err != nil {
		t.Fatal(err)
	}
	if err := b.AddUsage(t.Context(), []latchkey.Usage{use("known", 2), use("", 4), another}); err != nil {
		t.Errorf("a node that adds no caller waits for one that does: %v", err)
	}
	list, err := a.Usage(t.Context(), []string{"key_a"}, firstDay)
	if err != nil || len(list) != 2 || list[0].Accepted != 4 || list[1].Accepted != 3 {
		t.Errorf("what it added is there: %+v, %v", list, err)
	}
}
