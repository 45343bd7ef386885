package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey"
)

const (
	credentialColumns = `id, team_id, kind, digest, sealed, created, created_by, until, ended, ended_by, ended_why, revision`
)

// scanCredential reads credentialColumns.
func scanCredential(row pgx.CollectableRow) (c latchkey.Credential, err error) {
	var (
		digest       []byte
		created      int64
		until, ended *int64
	)
	err = row.Scan(&c.ID, &c.TeamID, &c.Kind, &digest, &c.Sealed, &created, &c.CreatedBy,
		&until, &ended, &c.EndedBy, &c.EndedWhy, &c.Revision)
	copy(c.Digest[:], digest)
	c.Created, c.Until, c.Ended = fromMicros(created), fromNullable(until), fromNullable(ended)
	return c, err
}

// Credential returns a credential, alive or dead, by its ID.
func (s *Store) Credential(ctx context.Context, id string) (latchkey.Credential, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+credentialColumns+` FROM credentials WHERE id = $1`, text(id))
	if err != nil {
		return latchkey.Credential{}, fault("read credential", err)
	}
	c, err := pgx.CollectExactlyOneRow(rows, scanCredential)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return latchkey.Credential{}, latchkey.NotFound("credential", id)
	case err != nil:
		return latchkey.Credential{}, fault("read credential", err)
	}
	return c, nil
}

// dueOverlaps first looks whether the overlap that ends first is over: mostly it is
// not. A scan along the index marks there what is dead, for all that follow; a bitmap
// scan does not, and would visit each overlap that ended since the last VACUUM.
const dueOverlaps = `
	SELECT team_id FROM credentials
	WHERE ended IS NULL AND until IS NOT NULL AND until <= (SELECT coalesce($1, latchkey_now()))
		AND (SELECT min(until) FROM credentials WHERE ended IS NULL) <= (SELECT coalesce($1, latchkey_now()))
	GROUP BY team_id ORDER BY min(until)`

// DueOverlaps returns the IDs of the teams with an old API key whose overlap is
// over, the longest due first.
func (s *Store) DueOverlaps(ctx context.Context) ([]string, error) {
	rows, err := s.pool.Query(ctx, dueOverlaps, s.now())
	if err != nil {
		return nil, fault("read overlaps", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fault("read overlaps", err)
	}
	return ids, nil
}

// addCredentials makes what a team held before into what it holds now, and
// returns those that live, as they are kept. What is altered or new has the
// revision 0, until the change has one.
func (c *change) addCredentials(teamID string, before, now []latchkey.Credential) ([]latchkey.Credential, error) {
	old := make(map[string]*latchkey.Credential, len(before))
	for i := range before {
		old[before[i].ID] = &before[i]
	}
	var live []latchkey.Credential
	for _, credential := range now {
		if credential.TeamID != teamID {
			return nil, fmt.Errorf("%s %s belongs to another team", credential.Kind, credential.ID)
		}
		was := old[credential.ID]
		delete(old, credential.ID)
		kept := keptCredential(credential)
		switch {
		case was == nil:
			kept.Revision = 0
			c.addCredential(insertCredential, kept)
		case !same(was, &kept):
			kept.Revision = 0
			c.addCredential(updateCredential, kept)
		default:
			kept.Revision = was.Revision
		}
		if kept.Live() {
			live = append(live, kept)
		}
	}
	if len(old) > 0 {
		return nil, errors.New("an edit removed a credential: it must be ended instead")
	}
	return live, nil
}

const (
	insertCredential = `
		INSERT INTO credentials (` + credentialColumns + `)
		SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, revision FROM meta`
	updateCredential = `
		UPDATE credentials SET kind = $3, digest = $4, sealed = $5, created = $6, created_by = $7,
			until = $8, ended = $9, ended_by = $10, ended_why = $11, revision = (SELECT revision FROM meta)
		WHERE id = $1 AND team_id = $2`
)

func (c *change) addCredential(query string, kept latchkey.Credential) {
	c.add(query, func(err error) error { return credentialError(err, &kept) },
		kept.ID, kept.TeamID, string(kept.Kind), digest(&kept), sealed(&kept), kept.Created.UnixMicro(), kept.CreatedBy,
		nullable(kept.Until), nullable(kept.Ended), kept.EndedBy, string(kept.EndedWhy))
}

// digest is NULL for an API secret: only digests of keys are unique.
func digest(c *latchkey.Credential) []byte {
	if c.Kind != latchkey.KindAPIKey {
		return nil
	}
	return c.Digest[:]
}

// sealed is NULL in a tombstone, whatever an edit left there.
func sealed(c *latchkey.Credential) []byte {
	if !c.Live() {
		return nil
	}
	return c.Sealed
}

// keptCredential returns c as it is kept.
func keptCredential(c latchkey.Credential) latchkey.Credential {
	c.ID, c.CreatedBy, c.EndedBy = text(c.ID), text(c.CreatedBy), text(c.EndedBy)
	c.EndedWhy = latchkey.Ending(text(string(c.EndedWhy)))
	c.Created, c.Until, c.Ended = micros(c.Created), micros(c.Until), micros(c.Ended)
	if c.Kind != latchkey.KindAPIKey {
		c.Digest = latchkey.Digest{}
	}
	if !c.Live() {
		c.Sealed = nil
	}
	return c
}

// same reports whether two states of a credential differ in nothing that an
// edit can alter.
func same(a, b *latchkey.Credential) bool {
	return a.Kind == b.Kind && a.Digest == b.Digest && bytes.Equal(a.Sealed, b.Sealed) &&
		a.Created.Equal(b.Created) && a.CreatedBy == b.CreatedBy && a.Until.Equal(b.Until) &&
		a.Ended.Equal(b.Ended) && a.EndedBy == b.EndedBy && a.EndedWhy == b.EndedWhy
}

// cloneHolding returns a copy for an edit to alter.
func cloneHolding(h latchkey.Holding) latchkey.Holding {
	h.Credentials = slices.Clone(h.Credentials)
	for i := range h.Credentials {
		h.Credentials[i].Sealed = bytes.Clone(h.Credentials[i].Sealed)
	}
	return h
}

// changesKept is for how long the positions of the past are kept, at least.
const changesKept = 90 * 24 * time.Hour

// PurgeTombstones forgets the teams and credentials that ended longer ago than
// age, and with a team what else it held. It locks the counter's row last, and sends
// its COMMIT with it: changes go on meanwhile.
func (s *Store) PurgeTombstones(ctx context.Context, age time.Duration) (int, error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return 0, fault("purge", err)
	}
	defer conn.Release()
	b := new(pgx.Batch)
	b.Queue(`BEGIN ISOLATION LEVEL READ COMMITTED`)
	b.Queue(`SELECT set_config('statement_timeout', $1, true), latchkey_keeps(protocol, $2) FROM meta`,
		strconv.FormatInt(bulkTime.Milliseconds(), 10), protocol)
	b.Queue(`
		WITH gone AS (
			DELETE FROM credentials WHERE ended IS NOT NULL AND ended < (SELECT coalesce($1, latchkey_now()) - $2)
			RETURNING revision)
		SELECT count(*), set_config('latchkey.horizon', coalesce(max(revision), 0)::text, true) FROM gone`, s.now(), age.Microseconds())
	b.Queue(`
		WITH gone AS (
			DELETE FROM teams WHERE deleted < (SELECT coalesce($1, latchkey_now()) - $2)
				AND NOT EXISTS (SELECT FROM credentials WHERE team_id = teams.id)
			RETURNING id, revision),
		others AS (DELETE FROM contacts WHERE team_id IN (SELECT id FROM gone))
		SELECT set_config('latchkey.horizon', greatest(current_setting('latchkey.horizon')::bigint, max(revision))::text, true) FROM gone`, s.now(), age.Microseconds())
	b.Queue(`DELETE FROM changes WHERE at < latchkey_now() - $1 AND revision < (SELECT purge_horizon FROM meta)`, changesKept.Microseconds())
	b.Queue(`
		UPDATE meta SET purge_horizon = current_setting('latchkey.horizon')::bigint
		WHERE purge_horizon < current_setting('latchkey.horizon')::bigint`)
	b.Queue(`COMMIT`)
	takeWarning(conn.Conn())
	answers := conn.SendBatch(ctx, b)
	var count int
	for i := range b.Len() {
		if i == 2 {
			err = answers.QueryRow().Scan(&count, nil)
		} else {
			_, err = answers.Exec()
		}
		if err != nil {
			break
		}
	}
	_ = answers.Close()
	if err != nil && !conn.Conn().IsClosed() {
		_, _ = conn.Exec(ctx, `ROLLBACK`)
	}
	switch warning := takeWarning(conn.Conn()); {
	case err != nil && refused(err):
		return 0, fault("purge", err)
	case err != nil:
		return 0, fmt.Errorf("purge: %w: %w", latchkey.ErrOutcomeUnknown, err)
	case warning != "":
		return 0, fmt.Errorf("purge: %w: the database warned: %s", latchkey.ErrOutcomeUnknown, warning)
	}
	return count, nil
}

// Probe returns the value that was sealed when the store was created.
func (s *Store) Probe(ctx context.Context) ([]byte, error) {
	var probe []byte
	if err := s.pool.QueryRow(ctx, `SELECT probe FROM meta`).Scan(&probe); err != nil {
		return nil, fault("read probe", err)
	}
	return probe, nil
}
