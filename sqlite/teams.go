package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"latchkey"
)

const teamColumns = `id, name, disabled, created, deleted, revision`

// scanTeam reads teamColumns.
func scanTeam(row interface{ Scan(...any) error }) (latchkey.Team, error) {
	var (
		t       latchkey.Team
		created int64
		deleted sql.NullInt64
	)
	err := row.Scan(&t.ID, &t.Name, &t.Disabled, &created, &deleted, &t.Revision)
	t.Created, t.Deleted = fromMicros(created), fromNullable(deleted)
	return t, err
}

func scanTeams(rows *sql.Rows, err error) ([]latchkey.Team, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var teams []latchkey.Team
	for rows.Next() {
		t, err := scanTeam(rows)
		if err != nil {
			return nil, err
		}
		teams = append(teams, t)
	}
	return teams, rows.Err()
}

// Teams returns all teams that are not deleted, oldest first.
func (s *Store) Teams(ctx context.Context) ([]latchkey.Team, error) {
	teams, err := scanTeams(s.credentials.read.QueryContext(ctx,
		`SELECT `+teamColumns+` FROM teams WHERE deleted IS NULL ORDER BY seq`))
	if err != nil {
		return nil, s.credentials.fault("read teams", err)
	}
	return teams, nil
}

// Holding returns a team that is not deleted, with its live credentials, by its
// ID or its name.
func (s *Store) Holding(ctx context.Context, team string) (latchkey.Holding, error) {
	var h latchkey.Holding
	err := s.credentials.snapshot(ctx, func(tx *sql.Tx) (err error) {
		h, err = loadHolding(ctx, tx, team)
		return err
	})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return latchkey.Holding{}, latchkey.NotFound("team", team)
	case err != nil:
		return latchkey.Holding{}, s.credentials.fault("read team", err)
	}
	return h, nil
}

// CreateTeam adds the holding that build returns.
func (s *Store) CreateTeam(ctx context.Context, build func(now time.Time) (latchkey.Holding, error)) (latchkey.Holding, latchkey.Change, error) {
	var (
		after  latchkey.Holding
		change latchkey.Change
	)
	err := s.credentials.change(ctx, func(c *sql.Conn) error {
		now := s.now()
		h, err := build(now)
		if err != nil {
			return err
		}
		if change, err = nextRevision(ctx, c, now); err != nil {
			return s.credentials.fault("create team", err)
		}
		if after, err = insertHolding(ctx, c, h, change.Revision); err != nil {
			return s.credentials.fault("create team", err)
		}
		return nil
	})
	if err != nil {
		return latchkey.Holding{}, latchkey.Change{}, err
	}
	return after, change, nil
}

// UpdateTeam changes one team and its credentials.
func (s *Store) UpdateTeam(ctx context.Context, team string, edit func(now time.Time, h *latchkey.Holding) error) (latchkey.Holding, latchkey.Change, error) {
	var (
		after  latchkey.Holding
		change latchkey.Change
	)
	err := s.credentials.change(ctx, func(c *sql.Conn) error {
		before, err := loadHolding(ctx, c, team)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return latchkey.NotFound("team", team)
		case err != nil:
			return s.credentials.fault("read team", err)
		}
		now, h := s.now(), cloneHolding(before)
		if err := edit(now, &h); err != nil {
			return err
		}
		if h.Team.ID != before.Team.ID {
			return errors.New("an edit changed the ID of a team")
		}
		if change, err = nextRevision(ctx, c, now); err != nil {
			return s.credentials.fault("update team", err)
		}
		if after, err = updateHolding(ctx, c, before, h, change.Revision); err != nil {
			return s.credentials.fault("update team", err)
		}
		return nil
	})
	if err != nil {
		return latchkey.Holding{}, latchkey.Change{}, err
	}
	return after, change, nil
}

// loadHolding reads a team by its ID or its name; sql.ErrNoRows if it is not there.
func loadHolding(ctx context.Context, q querier, team string) (h latchkey.Holding, err error) {
	// An ID goes before a name that looks like it.
	h.Team, err = scanTeam(q.QueryRowContext(ctx, `
		SELECT `+teamColumns+` FROM teams
		WHERE deleted IS NULL AND (id = ?1 OR name_key = ?2)
		ORDER BY id = ?1 DESC LIMIT 1`, team, latchkey.Team{Name: text(team)}.NameKey()))
	if err != nil {
		return h, err
	}
	h.Credentials, err = liveCredentials(ctx, q, h.Team.ID)
	return h, err
}

// insertHolding adds a new team, and returns it as [Store.Holding] will.
func insertHolding(ctx context.Context, q querier, h latchkey.Holding, rev latchkey.Revision) (latchkey.Holding, error) {
	t := keptTeam(h.Team, rev)
	_, err := q.ExecContext(ctx, `
		INSERT INTO teams (id, name, name_key, disabled, created, deleted, revision)
		VALUES (?, ?, ?, ?, ?, ?, ?)`,
		t.ID, t.Name, t.NameKey(), t.Disabled, t.Created.UnixMicro(), nullable(t.Deleted), rev)
	if err != nil {
		return latchkey.Holding{}, teamError(err, &t)
	}
	after := latchkey.Holding{Team: t}
	if after.Credentials, err = writeCredentials(ctx, q, t.ID, nil, h.Credentials, rev); err != nil {
		return latchkey.Holding{}, err
	}
	return after, writeEvents(ctx, q, h.Events)
}

// updateHolding writes what an edit made of a team, and returns it as
// [Store.Holding] will.
func updateHolding(ctx context.Context, q querier, before, h latchkey.Holding, rev latchkey.Revision) (latchkey.Holding, error) {
	t := keptTeam(h.Team, rev)
	_, err := q.ExecContext(ctx, `
		UPDATE teams SET name = ?, name_key = ?, disabled = ?, created = ?, deleted = ?, revision = ?
		WHERE id = ?`,
		t.Name, t.NameKey(), t.Disabled, t.Created.UnixMicro(), nullable(t.Deleted), rev, t.ID)
	if err != nil {
		return latchkey.Holding{}, teamError(err, &t)
	}
	after := latchkey.Holding{Team: t}
	if after.Credentials, err = writeCredentials(ctx, q, t.ID, before.Credentials, h.Credentials, rev); err != nil {
		return latchkey.Holding{}, err
	}
	return after, writeEvents(ctx, q, h.Events)
}

// keptTeam returns t as it is kept.
func keptTeam(t latchkey.Team, rev latchkey.Revision) latchkey.Team {
	t.ID, t.Name = text(t.ID), text(t.Name)
	t.Created, t.Deleted, t.Revision = micros(t.Created), micros(t.Deleted), rev
	return t
}

func teamsAfter(ctx context.Context, q querier, after latchkey.Revision) ([]latchkey.Team, error) {
	return scanTeams(q.QueryContext(ctx,
		`SELECT `+teamColumns+` FROM teams WHERE revision > ? ORDER BY revision, seq`, after))
}

// PurgeTombstones forgets the teams and credentials that ended longer ago than
// age, and with a team what else it held; nothing while the clock is in doubt.
func (s *Store) PurgeTombstones(ctx context.Context, age time.Duration) (int, error) {
	now := s.now()
	if s.doubts(ctx, now) {
		return 0, nil
	}
	end := now.UnixMicro() - age.Microseconds()
	var count int
	err := s.credentials.change(ctx, func(c *sql.Conn) error {
		credentials, horizon, err := purgeCredentials(ctx, c, end)
		if err != nil {
			return s.credentials.fault("purge credentials", err)
		}
		teams, err := purgeTeams(ctx, c, end)
		if err != nil {
			return s.credentials.fault("purge teams", err)
		}
		count = credentials
		_, err = c.ExecContext(ctx, `UPDATE meta SET purge_horizon = max(purge_horizon, ?)`, max(horizon, teams))
		if err != nil {
			return s.credentials.fault("move purge horizon", err)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return count, nil
}

// purgeTeams returns the highest revision among the teams that it removed.
func purgeTeams(ctx context.Context, q querier, end int64) (highest int64, err error) {
	rows, err := q.QueryContext(ctx, `
		DELETE FROM teams
		WHERE deleted < ? AND NOT EXISTS (SELECT 1 FROM credentials WHERE team_id = teams.id)
		RETURNING id, revision`, end)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var (
			id  string
			rev int64
		)
		if err := rows.Scan(&id, &rev); err != nil {
			return 0, err
		}
		ids, highest = append(ids, id), max(highest, rev)
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	for _, id := range ids {
		if _, err := q.ExecContext(ctx, `DELETE FROM contacts WHERE team_id = ?`, id); err != nil {
			return 0, fmt.Errorf("contacts of %s: %w", id, err)
		}
	}
	return highest, nil
}
