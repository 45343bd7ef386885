package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"latchkey"
)

const credentialColumns = `id, team_id, kind, digest, sealed, created, created_by, until, ended, ended_by, ended_why, revision`

// scanCredential reads credentialColumns.
func scanCredential(row interface{ Scan(...any) error }) (latchkey.Credential, error) {
	var (
		c            latchkey.Credential
		digest       []byte
		created      int64
		until, ended sql.NullInt64
	)
	err := row.Scan(&c.ID, &c.TeamID, &c.Kind, &digest, &c.Sealed, &created, &c.CreatedBy,
		&until, &ended, &c.EndedBy, &c.EndedWhy, &c.Revision)
	copy(c.Digest[:], digest)
	c.Created, c.Until, c.Ended = fromMicros(created), fromNullable(until), fromNullable(ended)
	return c, err
}

func scanCredentials(rows *sql.Rows, err error) ([]latchkey.Credential, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []latchkey.Credential
	for rows.Next() {
		c, err := scanCredential(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, rows.Err()
}

// Credential returns a credential, alive or dead, by its ID.
func (s *Store) Credential(ctx context.Context, id string) (latchkey.Credential, error) {
	c, err := scanCredential(s.credentials.read.QueryRowContext(ctx,
		`SELECT `+credentialColumns+` FROM credentials WHERE id = ?`, id))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return latchkey.Credential{}, latchkey.NotFound("credential", id)
	case err != nil:
		return latchkey.Credential{}, s.credentials.fault("read credential", err)
	}
	return c, nil
}

// DueOverlaps returns the IDs of the teams with an old API key whose overlap is
// over, the longest due first.
func (s *Store) DueOverlaps(ctx context.Context) ([]string, error) {
	ids, err := s.dueOverlaps(ctx)
	if err != nil {
		return nil, s.credentials.fault("read overlaps", err)
	}
	return ids, nil
}

func (s *Store) dueOverlaps(ctx context.Context) ([]string, error) {
	rows, err := s.credentials.read.QueryContext(ctx, `
		SELECT team_id FROM credentials
		WHERE ended IS NULL AND until IS NOT NULL AND until <= ?
		GROUP BY team_id ORDER BY min(until)`, s.now().UnixMicro())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// liveCredentials returns those of a team, oldest first.
func liveCredentials(ctx context.Context, q querier, teamID string) ([]latchkey.Credential, error) {
	return scanCredentials(q.QueryContext(ctx,
		`SELECT `+credentialColumns+` FROM credentials WHERE team_id = ? AND ended IS NULL ORDER BY seq`, teamID))
}

func credentialsAfter(ctx context.Context, q querier, after latchkey.Revision) ([]latchkey.Credential, error) {
	return scanCredentials(q.QueryContext(ctx,
		`SELECT `+credentialColumns+` FROM credentials WHERE revision > ? ORDER BY revision, seq`, after))
}

// writeCredentials makes what a team held before into what it holds now, and
// returns those that live, as they are kept. What is altered or new gets rev.
func writeCredentials(ctx context.Context, q querier, teamID string, before, now []latchkey.Credential, rev latchkey.Revision) ([]latchkey.Credential, error) {
	old := make(map[string]*latchkey.Credential, len(before))
	for i := range before {
		old[before[i].ID] = &before[i]
	}
	var live []latchkey.Credential
	for _, c := range now {
		if c.TeamID != teamID {
			return nil, fmt.Errorf("%s %s belongs to another team", c.Kind, c.ID)
		}
		was := old[c.ID]
		delete(old, c.ID)
		kept := keptCredential(c)
		var err error
		switch {
		case was == nil:
			kept.Revision = rev
			err = insertCredential(ctx, q, &kept)
		case !same(was, &kept):
			kept.Revision = rev
			err = updateCredential(ctx, q, &kept)
		default:
			kept.Revision = was.Revision
		}
		if err != nil {
			return nil, credentialError(err, &kept)
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

func insertCredential(ctx context.Context, q querier, c *latchkey.Credential) error {
	_, err := q.ExecContext(ctx, `
		INSERT INTO credentials (`+credentialColumns+`)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		c.ID, c.TeamID, c.Kind, digest(c), sealed(c), c.Created.UnixMicro(), c.CreatedBy,
		nullable(c.Until), nullable(c.Ended), c.EndedBy, c.EndedWhy, c.Revision)
	return err
}

func updateCredential(ctx context.Context, q querier, c *latchkey.Credential) error {
	_, err := q.ExecContext(ctx, `
		UPDATE credentials SET kind = ?, digest = ?, sealed = ?, created = ?, created_by = ?,
			until = ?, ended = ?, ended_by = ?, ended_why = ?, revision = ?
		WHERE id = ?`,
		c.Kind, digest(c), sealed(c), c.Created.UnixMicro(), c.CreatedBy,
		nullable(c.Until), nullable(c.Ended), c.EndedBy, c.EndedWhy, c.Revision, c.ID)
	return err
}

// purgeCredentials removes those that ended before a time. It returns their
// number and the highest revision among them.
func purgeCredentials(ctx context.Context, q querier, end int64) (count int, highest int64, err error) {
	// ended NOT NULL lets the partial index serve both statements.
	err = q.QueryRowContext(ctx, `
		SELECT count(*), coalesce(max(revision), 0) FROM credentials WHERE ended IS NOT NULL AND ended < ?`, end).
		Scan(&count, &highest)
	if err != nil || count == 0 {
		return 0, 0, err
	}
	_, err = q.ExecContext(ctx, `DELETE FROM credentials WHERE ended IS NOT NULL AND ended < ?`, end)
	return count, highest, err
}

// digest is NULL for an API secret: only digests of keys are unique.
func digest(c *latchkey.Credential) any {
	if c.Kind != latchkey.KindAPIKey {
		return nil
	}
	return c.Digest[:]
}

// sealed is NULL in a tombstone, whatever an edit left there.
func sealed(c *latchkey.Credential) any {
	if !c.Live() || c.Sealed == nil {
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
