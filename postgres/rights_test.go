package postgres

import (
	"strings"
	"testing"
	"time"

	"latchkey"
)

// TestRights: what docs/cluster.md says that the role needs is enough, and a role
// with less is told what it lacks.
func TestRights(t *testing.T) {
	s := server.Server(t)
	name := s.NewDatabase(t)
	s.Exec(t, name, `CREATE ROLE plain LOGIN`, `REVOKE ALL ON DATABASE `+name+` FROM PUBLIC`, `GRANT CONNECT, TEMPORARY ON DATABASE `+name+` TO plain`)
	t.Cleanup(func() { s.Exec(t, name, `DROP OWNED BY plain`, `DROP ROLE plain`) })
	config := Config{URL: strings.Replace(s.URL(name), "user=postgres", "user=plain", 1), Genesis: genesis}
	const mend = `GRANT CONNECT, CREATE, TEMPORARY ON DATABASE`
	refuse(t, "a role that may not make a schema", config, "42501", "make schema latchkey", mend)
	s.Exec(t, name, `CREATE SCHEMA latchkey`)
	refuse(t, "a role that may not use the schema", config, "42501", mend, "ALTER SCHEMA latchkey OWNER TO")
	s.Exec(t, name, `DROP SCHEMA latchkey`, `REVOKE TEMPORARY ON DATABASE `+name+` FROM plain`, `GRANT CREATE ON DATABASE `+name+` TO plain`)
	refuse(t, "a role that may make no temporary table", config, mend)

	s.Exec(t, name, `GRANT TEMPORARY ON DATABASE `+name+` TO plain`)
	store := mustOpen(t, config)
	mustRoll(t, store, mustChanges(t, store).Teams[0].ID)
	node := latchkey.Registration{ID: "node", Node: "node-1", Lease: time.Second}
	if err := store.Register(t.Context(), node); err != nil {
		t.Errorf("the role may register a node: %v", err)
	}
	if _, err := store.Renew(t.Context(), latchkey.Renewal{ID: node.ID}); err != nil {
		t.Errorf("the role may renew a lease: %v", err)
	}
	if err := store.AppendRecords(t.Context(), newTraffic(firstDay, time.Second).batch(20)); err != nil {
		t.Errorf("the role may append records: %v", err)
	}
	if err := store.Retain(t.Context(), latchkey.Retention{Age: time.Hour, Bytes: 1}); err != nil {
		t.Errorf("the role may remove records: %v", err)
	}
	if _, err := store.PurgeTombstones(t.Context(), 0); err != nil {
		t.Errorf("the role may purge: %v", err)
	}
}
