package postgres

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey"
)

const teamColumns = `id, name, disabled, created, deleted, revision`

// scanTeam reads teamColumns.
func scanTeam(row pgx.CollectableRow) (t latchkey.Team, err error) {
	var (
		created int64
		deleted *int64
	)
	err = row.Scan(&t.ID, &t.Name, &t.Disabled, &created, &deleted, &t.Revision)
	t.Created, t.Deleted = fromMicros(created), fromNullable(deleted)
	return t, err
}

// Teams returns all teams that are not deleted, oldest first.
func (s *Store) Teams(ctx context.Context) ([]latchkey.Team, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+teamColumns+` FROM teams WHERE deleted IS NULL ORDER BY seq`)
	if err != nil {
		return nil, fault("read teams", err)
	}
	teams, err := pgx.CollectRows(rows, scanTeam)
	if err != nil {
		return nil, fault("read teams", err)
	}
	return teams, nil
}

// What a team is chosen by is its ID or its name; see chosen. An ID goes before a
// name that looks like it.
const (
	fromChosen        = ` FROM teams WHERE deleted IS NULL AND (id = $1 OR name_key = $2) ORDER BY id = $1 DESC LIMIT 1`
	chosenTeam        = `SELECT ` + teamColumns + fromChosen
	chosenCredentials = `SELECT ` + credentialColumns + ` FROM credentials
		WHERE team_id = (SELECT id` + fromChosen + `) AND ended IS NULL ORDER BY seq`
)

// chosen are the arguments of statements that choose a team.
func chosen(team string) []any { return []any{text(team), latchkey.Team{Name: text(team)}.NameKey()} }

// Holding returns a team that is not deleted, with its live credentials, by its
// ID or its name.
func (s *Store) Holding(ctx context.Context, team string) (latchkey.Holding, error) {
	ctx, cancel := context.WithTimeout(ctx, s.patience())
	defer cancel()
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return latchkey.Holding{}, fault("read team", err)
	}
	defer conn.Release()
	var h latchkey.Holding
	args := chosen(team)
	err = transact(ctx, conn, []query{
		{sql: `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`},
		{sql: chosenTeam, args: args, read: func(answers pgx.BatchResults) error {
			rows, err := answers.Query()
			if err == nil {
				h.Team, err = pgx.CollectExactlyOneRow(rows, scanTeam)
			}
			return err
		}},
		{sql: chosenCredentials, args: args, read: func(answers pgx.BatchResults) error {
			rows, err := answers.Query()
			if err == nil {
				h.Credentials, err = pgx.CollectRows(rows, scanCredential)
			}
			return err
		}},
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return latchkey.Holding{}, latchkey.NotFound("team", team)
	case err != nil:
		return latchkey.Holding{}, fault("read team", err)
	}
	return h, nil
}

// CreateTeam adds the holding that build returns.
func (s *Store) CreateTeam(ctx context.Context, build func(now time.Time) (latchkey.Holding, error)) (latchkey.Holding, latchkey.Change, error) {
	none := func(err error) (latchkey.Holding, latchkey.Change, error) {
		return latchkey.Holding{}, latchkey.Change{}, err
	}
	now, err := s.readClock(ctx)
	if err != nil {
		return none(fault("read the clock", err))
	}
	h, err := build(now)
	if err != nil {
		return none(err)
	}
	c, after, err := createChange(h)
	if err != nil {
		return none(fault("create team", err))
	}
	if err := s.write(ctx, c); err != nil {
		return none(fault("create team", err))
	}
	return stamp(after, c.revision), c.made(now), nil
}

// readClock reads the clock that changes go by.
func (s *Store) readClock(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, s.patience())
	defer cancel()
	var us int64
	err := reread(ctx, func() error {
		return s.writer.QueryRow(ctx, `SELECT coalesce($1, latchkey_now())`, s.now()).Scan(&us)
	})
	return fromMicros(us), err
}

// UpdateTeam changes one team and its credentials. Nothing is locked while edit
// runs: if the team was changed meanwhile, through another process, the change
// is not written, and edit is asked again.
func (s *Store) UpdateTeam(ctx context.Context, team string, edit func(now time.Time, h *latchkey.Holding) error) (latchkey.Holding, latchkey.Change, error) {
	none := func(err error) (latchkey.Holding, latchkey.Change, error) {
		return latchkey.Holding{}, latchkey.Change{}, err
	}
	// Changes of one process to one team need not compete.
	unlock, err := s.teams.lock(ctx, text(team))
	if err != nil {
		return none(fault("update team", err))
	}
	defer unlock()
	for {
		before, now, err := s.loadHolding(ctx, team)
		if err != nil {
			return none(err)
		}
		h := cloneHolding(before)
		if err := edit(now, &h); err != nil {
			return none(err)
		}
		if h.Team.ID != before.Team.ID {
			return none(errors.New("an edit changed the ID of a team"))
		}
		c, after, err := updateChange(before, h)
		if err != nil {
			return none(fault("update team", err))
		}
		err = s.write(ctx, c)
		if state(err) == statePremise {
			continue
		}
		if err != nil {
			return none(fault("update team", err))
		}
		return stamp(after, c.revision), c.made(now), nil
	}
}

// loadHolding is what an edit sees, and the time of the store's clock.
func (s *Store) loadHolding(ctx context.Context, team string) (h latchkey.Holding, now time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.patience())
	defer cancel()
	err = reread(ctx, func() (err error) {
		for err = errRenamed; errors.Is(err, errRenamed); {
			h, now, err = s.loadOnce(ctx, team)
		}
		return err
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return h, now, latchkey.NotFound("team", team)
	case err != nil:
		return h, now, fault("read team", err)
	}
	return h, now, nil
}

// loadOnce reads a team and its credentials from two snapshots: if the team
// changed between them, it has not the revision any more that the first of them
// gives.
func (s *Store) loadOnce(ctx context.Context, team string) (h latchkey.Holding, now time.Time, err error) {
	b := new(pgx.Batch)
	b.Queue(`SELECT coalesce($1, latchkey_now())`, s.now())
	b.Queue(chosenTeam, chosen(team)...)
	b.Queue(chosenCredentials, chosen(team)...)
	answers := s.writer.SendBatch(ctx, b)
	defer func() {
		if closed := answers.Close(); err == nil {
			err = closed
		}
	}()
	var us int64
	if err := answers.QueryRow().Scan(&us); err != nil {
		return h, now, err
	}
	rows, err := answers.Query()
	if err != nil {
		return h, now, err
	}
	if h.Team, err = pgx.CollectExactlyOneRow(rows, scanTeam); err != nil {
		return h, now, err
	}
	if rows, err = answers.Query(); err != nil {
		return h, now, err
	}
	h.Credentials, err = pgx.CollectRows(rows, scanCredential)
	if err == nil && slices.ContainsFunc(h.Credentials, func(c latchkey.Credential) bool { return c.TeamID != h.Team.ID }) {
		err = errRenamed
	}
	return h, fromMicros(us), err
}

// errRenamed: a name went from one team to another between two snapshots.
var errRenamed = errors.New("the team was renamed meanwhile")

// createChange returns the change that adds a team, and the team as
// [Store.Holding] will return it, but for the revision.
func createChange(h latchkey.Holding) (*change, latchkey.Holding, error) {
	t := keptTeam(h.Team)
	c := newChange(t.ID)
	c.add(`
		INSERT INTO teams (id, name, name_key, disabled, created, deleted, revision)
		SELECT $1, $2, $3, $4, $5, $6, revision FROM meta`,
		func(err error) error { return teamError(err, &t) },
		t.ID, t.Name, t.NameKey(), t.Disabled, t.Created.UnixMicro(), nullable(t.Deleted))
	return c.hold(t, nil, h)
}

// updateChange returns the change that an edit made of a team. Its premise is
// that the team is still as the edit saw it: every change of a team or of its
// credentials gives the team a revision of its own.
func updateChange(before, h latchkey.Holding) (*change, latchkey.Holding, error) {
	t := keptTeam(h.Team)
	c := newChange(t.ID)
	c.add(`
		WITH updated AS (
			UPDATE teams SET name = $3, name_key = $4, disabled = $5, created = $6, deleted = $7, revision = (SELECT revision FROM meta)
			WHERE id = $1 AND revision = $2 AND deleted IS NULL RETURNING 1)
		SELECT latchkey_expect(EXISTS (SELECT FROM updated))`,
		func(err error) error { return teamError(err, &t) },
		t.ID, int64(before.Team.Revision), t.Name, t.NameKey(), t.Disabled, t.Created.UnixMicro(), nullable(t.Deleted))
	return c.hold(t, before.Credentials, h)
}

// hold adds a team's credentials and the events to a change.
func (c *change) hold(t latchkey.Team, before []latchkey.Credential, h latchkey.Holding) (*change, latchkey.Holding, error) {
	after := latchkey.Holding{Team: t}
	var err error
	if after.Credentials, err = c.addCredentials(t.ID, before, h.Credentials); err != nil {
		return nil, latchkey.Holding{}, err
	}
	for _, e := range h.Events {
		args, err := eventArgs(e)
		if err != nil {
			return nil, latchkey.Holding{}, err
		}
		c.add(insertEvent, func(err error) error { return fault("write audit", err) }, args...)
	}
	return c, after, nil
}

// stamp gives what a change wrote its revision.
func stamp(h latchkey.Holding, rev latchkey.Revision) latchkey.Holding {
	h.Team.Revision = rev
	for i := range h.Credentials {
		if h.Credentials[i].Revision == 0 {
			h.Credentials[i].Revision = rev
		}
	}
	return h
}

// keptTeam returns t as it is kept.
func keptTeam(t latchkey.Team) latchkey.Team {
	t.ID, t.Name = text(t.ID), text(t.Name)
	t.Created, t.Deleted = micros(t.Created), micros(t.Deleted)
	return t
}
