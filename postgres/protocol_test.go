package postgres

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey"
)

// named makes a team.
func named(name string) func(time.Time) (latchkey.Holding, error) {
	return func(now time.Time) (latchkey.Holding, error) { return newHolding(name, now), nil }
}

// TestAnotherProtocol holds that a node gets no lease, confirms nothing and makes no
// change where the others keep a protocol that it does not know, says what to do,
// and goes on when they keep its own again.
func TestAnotherProtocol(t *testing.T) {
	pg := server.Server(t)
	name := pg.NewDatabase(t)
	log := &bytes.Buffer{}
	config := Config{URL: pg.URL(name), Genesis: genesis, Logger: slog.New(slog.NewTextHandler(log, nil))}
	s := mustOpen(t, config)
	ctx := t.Context()
	r := latchkey.Registration{ID: "r1", Node: "n1", Lease: time.Minute}
	if err := s.Register(ctx, r); err != nil {
		t.Fatal(err)
	}
	renewed, err := s.Renew(ctx, latchkey.Renewal{ID: r.ID})
	if err != nil {
		t.Fatal(err)
	}
	at := latchkey.Position{Revision: renewed.Changes.Revision, ChangeID: renewed.Changes.ChangeID}
	row := func() (line string) {
		t.Helper()
		err := s.pool.QueryRow(ctx, `SELECT concat(r.renewals, ' ', r.renewal, ' ', r.applied, ' ', r.renewed, ' ', m.revision, ' ', (SELECT count(*) FROM teams))
			FROM registrations r, meta m`).Scan(&line)
		if err != nil {
			t.Fatal(err)
		}
		return line
	}
	before := row()
	deeds := func() map[string]error {
		_, renewal := s.Renew(ctx, latchkey.Renewal{ID: r.ID})
		_, listing := s.Registrations(ctx, at)
		_, _, creation := s.CreateTeam(ctx, named("acme"))
		_, _, update := s.UpdateTeam(ctx, "default", func(_ time.Time, h *latchkey.Holding) error { h.Team.Disabled = true; return nil })
		return map[string]error{"a renewal": renewal, "an acknowledgement": s.Acknowledge(ctx, r.ID, at),
			"a list that must have a position": listing, "a new team": creation, "a change": update}
	}
	pg.Exec(t, name, `UPDATE latchkey.meta SET protocol = 2`)
	for range 2 {
		for deed, err := range deeds() {
			if alien := (*protocolError)(nil); !errors.As(err, &alien) || !strings.Contains(err.Error(), "keep protocol 2, and this latchkey knows protocol 1 alone: stop it") {
				t.Errorf("%s on a database of another protocol: %v", deed, err)
			}
			if errors.Is(err, latchkey.ErrOutcomeUnknown) {
				t.Errorf("%s has no unknown outcome: %v", deed, err)
			}
		}
	}
	renewal := strings.Fields(before)[1]
	for deed, err := range map[string]error{
		"a registration":       s.Register(ctx, latchkey.Registration{ID: "r2", Node: "n2", Lease: time.Minute}),
		"a removal of another": s.Reap(ctx, r.ID, renewal),
		"a purge":              second(s.PurgeTombstones(ctx, 0)),
		"an acceptance":        s.AcceptHistory(ctx, latchkey.System),
	} {
		if err == nil {
			t.Errorf("%s on a database of another protocol is made", deed)
		}
	}
	if after := row(); after != before {
		t.Errorf("the database has %q, must have %q as before", after, before)
	}
	if count := strings.Count(log.String(), "THIS NODE ANSWERS UNAVAILABLE"); count != 1 {
		t.Errorf("the log says it %d times, must be once: %s", count, log)
	}
	refuse(t, "a database of another protocol", config, "keep protocol 2")
	pg.Exec(t, name, `UPDATE latchkey.meta SET protocol = 1`)
	for deed, err := range deeds() {
		if err != nil {
			t.Errorf("%s when the others keep this protocol again: %v", deed, err)
		}
	}
}

// TestNewerSchema holds that a running node goes on while a newer version has added
// to the tables, and that none of its own version starts any more.
func TestNewerSchema(t *testing.T) {
	pg := server.Server(t)
	name := pg.NewDatabase(t)
	config := Config{URL: pg.URL(name), Genesis: genesis}
	s := mustOpen(t, config)
	ctx := t.Context()
	r := latchkey.Registration{ID: "r1", Node: "n1", Lease: time.Minute}
	if err := s.Register(ctx, r); err != nil {
		t.Fatal(err)
	}
	for i, add := range []string{``, `
		ALTER TABLE latchkey.meta ADD COLUMN more integer NOT NULL DEFAULT 7;
		ALTER TABLE latchkey.registrations ADD COLUMN more text NOT NULL DEFAULT '';
		ALTER TABLE latchkey.credentials ADD COLUMN more text NOT NULL DEFAULT '';
		ALTER TABLE latchkey.teams ADD COLUMN more text NOT NULL DEFAULT '';
		INSERT INTO latchkey.goose_db_version (version_id, is_applied) VALUES (99, true)`} {
		if add != "" {
			pg.Exec(t, name, add)
		}
		_, renewal := s.Renew(ctx, latchkey.Renewal{ID: r.ID})
		_, _, creation := s.CreateTeam(ctx, named(string(rune('a'+i))))
		if renewal != nil || creation != nil {
			t.Errorf("with the newer schema (%v), a renewal: %v; a new team: %v", i == 1, renewal, creation)
		}
	}
	refuse(t, "a newer schema", config, "made by a newer latchkey (schema 99")
}

// TestUpgradeWaitsForNobody holds that the migration gives up rather than keep
// running nodes from their renewals, and is made when nobody is in its way.
func TestUpgradeWaitsForNobody(t *testing.T) {
	pg := server.Server(t)
	name := pg.NewDatabase(t)
	config := Config{URL: pg.URL(name), Genesis: genesis}
	s, err := Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	pg.Exec(t, name, `ALTER TABLE latchkey.meta DROP COLUMN protocol`, `DROP FUNCTION latchkey.latchkey_keeps`,
		`DELETE FROM latchkey.goose_db_version WHERE version_id = 4`)
	other, err := pgx.Connect(t.Context(), pg.URL(name))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(t.Context())
	tx, err := other.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT FROM latchkey.meta`); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	refuse(t, "an upgrade while a transaction is open", config, "make schema 4", "lock timeout")
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("an upgrade waits %v for a lock that keeps renewals waiting", took)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, config)
	var number int
	if err := other.QueryRow(t.Context(), `SELECT protocol FROM latchkey.meta`).Scan(&number); err != nil || number != protocol {
		t.Errorf("after the upgrade the protocol is %d (%v), must be %d", number, err, protocol)
	}
}

func second[T any](_ T, err error) error { return err }
