package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"latchkey"
)

// usersLock is the advisory lock under which a user is altered: one at a time,
// in all processes, so that what an edit reads of the store stays true until it
// is committed. Two admins cannot end each other.
const usersLock = migrationLock + 4

const userColumns = `id, email, team_id, role, password, epoch, created, created_by, removed`

// scanUser reads userColumns.
func scanUser(row pgx.Row) (u latchkey.User, err error) {
	var (
		created int64
		removed *int64
	)
	err = row.Scan(&u.ID, &u.Email, &u.TeamID, &u.Role, &u.Password, &u.Epoch, &created, &u.CreatedBy, &removed)
	u.Created, u.Removed = fromMicros(created), fromNullable(removed)
	return u, err
}

// CreateUser adds a user, with the invitation and the events.
func (s *Store) CreateUser(ctx context.Context, u latchkey.User, invitation *latchkey.Invitation, events ...latchkey.Event) error {
	return s.change(ctx, func(tx pgx.Tx) error {
		if err := insertUser(ctx, tx, u); err != nil {
			return err
		}
		if invitation != nil {
			if err := insertInvitation(ctx, tx, *invitation); err != nil {
				return err
			}
		}
		return writeEvents(ctx, tx, events)
	})
}

func insertUser(ctx context.Context, q querier, u latchkey.User) error {
	_, err := q.Exec(ctx, `
		INSERT INTO users (id, email, team_id, role, password, epoch, created, created_by, removed)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		text(u.ID), text(u.Email), text(u.TeamID), text(string(u.Role)), text(u.Password), u.Epoch,
		u.Created.UnixMicro(), text(u.CreatedBy), nullable(u.Removed))
	switch {
	case taken(err, "users_email"):
		return conflict(fmt.Sprintf("there is a user %s already", u.Email))
	case err != nil:
		return fault("write user", err)
	}
	return nil
}

// User returns a user by ID.
func (s *Store) User(ctx context.Context, id string) (latchkey.User, error) {
	return user(ctx, s.pool, `id = $1`, id)
}

// UserByEmail returns a user by canonical address.
func (s *Store) UserByEmail(ctx context.Context, email string) (latchkey.User, error) {
	return user(ctx, s.pool, `email = $1`, email)
}

func user(ctx context.Context, q querier, where, value string) (latchkey.User, error) {
	u, err := scanUser(q.QueryRow(ctx, `SELECT `+userColumns+` FROM users WHERE removed IS NULL AND `+where, text(value)))
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return latchkey.User{}, latchkey.NotFound("user", value)
	case err != nil:
		return latchkey.User{}, fault("read user", err)
	}
	return u, nil
}

// Users returns the users of a team, oldest first.
func (s *Store) Users(ctx context.Context, teamID string) ([]latchkey.User, error) {
	rows, err := s.pool.Query(ctx,
		`SELECT `+userColumns+` FROM users WHERE removed IS NULL AND team_id = $1 ORDER BY seq`, text(teamID))
	if err != nil {
		return nil, fault("read users", err)
	}
	users, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (latchkey.User, error) { return scanUser(row) })
	if err != nil {
		return nil, fault("read users", err)
	}
	return users, nil
}

// UpdateUser alters a user in one transaction. No user is altered between edit
// and its end, so that edit may read the store.
func (s *Store) UpdateUser(ctx context.Context, id string, edit func(*latchkey.User) error, events ...latchkey.Event) (latchkey.User, error) {
	return s.alterUser(ctx, func(tx pgx.Tx) (latchkey.User, error) {
		before, err := user(ctx, tx, `id = $1`, id)
		if err != nil {
			return latchkey.User{}, err
		}
		return updateUser(ctx, tx, before, edit)
	}, events)
}

// alterUser runs f, and then writes the events, with no other that alters users.
func (s *Store) alterUser(ctx context.Context, f func(tx pgx.Tx) (latchkey.User, error), events []latchkey.Event) (latchkey.User, error) {
	// The others of this process wait here, and not with a connection each:
	// an edit may need one.
	s.managing.Lock()
	defer s.managing.Unlock()
	var after latchkey.User
	err := s.change(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(usersLock))
		if err != nil {
			return fault("lock users", err)
		}
		if after, err = f(tx); err != nil {
			return err
		}
		return writeEvents(ctx, tx, events)
	})
	if err != nil {
		return latchkey.User{}, err
	}
	return after, nil
}

func updateUser(ctx context.Context, q querier, before latchkey.User, edit func(*latchkey.User) error) (latchkey.User, error) {
	after := before
	if err := edit(&after); err != nil {
		return latchkey.User{}, err
	}
	after, err := scanUser(q.QueryRow(ctx, `
		UPDATE users SET team_id = $2, role = $3, password = $4, epoch = $5, removed = $6 WHERE id = $1 RETURNING `+userColumns,
		before.ID, text(after.TeamID), text(string(after.Role)), text(after.Password), after.Epoch, nullable(after.Removed)))
	if err != nil {
		return latchkey.User{}, fault("write user", err)
	}
	return after, nil
}

// Invite adds an invitation, and ends earlier ones of the same user.
func (s *Store) Invite(ctx context.Context, invitation latchkey.Invitation, events ...latchkey.Event) error {
	return s.change(ctx, func(tx pgx.Tx) error {
		if err := insertInvitation(ctx, tx, invitation); err != nil {
			return err
		}
		return writeEvents(ctx, tx, events)
	})
}

func insertInvitation(ctx context.Context, q querier, i latchkey.Invitation) error {
	_, err := q.Exec(ctx, `
		INSERT INTO invitations (digest, user_id, expires) VALUES ($1, $2, $3)
		ON CONFLICT (user_id) DO UPDATE SET digest = excluded.digest, expires = excluded.expires`,
		i.Digest[:], text(i.UserID), i.Expires.UnixMicro())
	if err != nil {
		return fault("write invitation", err)
	}
	return nil
}

// Invitation returns an invitation that is neither used nor over.
func (s *Store) Invitation(ctx context.Context, digest latchkey.Digest) (latchkey.Invitation, error) {
	return s.invitation(ctx, s.pool, digest,
		`SELECT user_id, expires FROM invitations WHERE digest = $1 AND expires > coalesce($2, latchkey_now())`)
}

func (s *Store) invitation(ctx context.Context, q querier, digest latchkey.Digest, query string) (latchkey.Invitation, error) {
	i := latchkey.Invitation{Digest: digest}
	var expires int64
	err := q.QueryRow(ctx, query, digest[:], s.now()).Scan(&i.UserID, &expires)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return i, fmt.Errorf("invitation: %w", latchkey.ErrNotFound)
	case err != nil:
		return i, fault("read invitation", err)
	}
	i.Expires = fromMicros(expires)
	return i, nil
}

// Redeem uses an invitation.
func (s *Store) Redeem(ctx context.Context, digest latchkey.Digest, edit func(*latchkey.User) error, events ...latchkey.Event) (latchkey.User, error) {
	return s.alterUser(ctx, func(tx pgx.Tx) (latchkey.User, error) {
		i, err := s.invitation(ctx, tx, digest,
			`DELETE FROM invitations WHERE digest = $1 AND expires > coalesce($2, latchkey_now()) RETURNING user_id, expires`)
		if err != nil {
			return latchkey.User{}, err
		}
		if i.UserID != "" {
			before, err := user(ctx, tx, `id = $1`, i.UserID)
			if err != nil {
				return latchkey.User{}, err
			}
			return updateUser(ctx, tx, before, edit)
		}
		var added latchkey.User
		if err := edit(&added); err != nil {
			return latchkey.User{}, err
		}
		if err := insertUser(ctx, tx, added); err != nil {
			return latchkey.User{}, err
		}
		return user(ctx, tx, `id = $1`, added.ID)
	}, events)
}
