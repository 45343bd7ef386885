package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"latchkey"
)

const userColumns = `id, email, team_id, role, password, epoch, created, created_by, removed`

// scanUser reads userColumns.
func scanUser(row interface{ Scan(...any) error }) (latchkey.User, error) {
	var (
		u       latchkey.User
		created int64
		removed sql.NullInt64
	)
	err := row.Scan(&u.ID, &u.Email, &u.TeamID, &u.Role, &u.Password, &u.Epoch, &created, &u.CreatedBy, &removed)
	u.Created, u.Removed = fromMicros(created), fromNullable(removed)
	return u, err
}

// CreateUser adds a user, with the invitation and the events.
func (s *Store) CreateUser(ctx context.Context, u latchkey.User, invitation *latchkey.Invitation, events ...latchkey.Event) error {
	return s.credentials.change(ctx, func(c *sql.Conn) error {
		if err := s.insertUser(ctx, c, u); err != nil {
			return err
		}
		if invitation != nil {
			if err := s.insertInvitation(ctx, c, *invitation); err != nil {
				return err
			}
		}
		return s.insertEvents(ctx, c, events)
	})
}

func (s *Store) insertUser(ctx context.Context, q querier, u latchkey.User) error {
	_, err := q.ExecContext(ctx, `
		INSERT INTO users (id, email, team_id, role, password, epoch, created, created_by, removed)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		text(u.ID), text(u.Email), text(u.TeamID), string(u.Role), u.Password, u.Epoch,
		u.Created.UnixMicro(), text(u.CreatedBy), nullable(u.Removed))
	switch {
	case taken(err, "users.email"):
		return conflict(fmt.Sprintf("there is a user %s already", u.Email))
	case err != nil:
		return s.credentials.fault("write user", err)
	}
	return nil
}

// User returns a user by ID.
func (s *Store) User(ctx context.Context, id string) (latchkey.User, error) {
	return s.user(ctx, s.credentials.read, `id = ?`, id)
}

// UserByEmail returns a user by canonical address.
func (s *Store) UserByEmail(ctx context.Context, email string) (latchkey.User, error) {
	return s.user(ctx, s.credentials.read, `email = ?`, email)
}

func (s *Store) user(ctx context.Context, q querier, where, value string) (latchkey.User, error) {
	u, err := scanUser(q.QueryRowContext(ctx,
		`SELECT `+userColumns+` FROM users WHERE removed IS NULL AND `+where, text(value)))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return latchkey.User{}, latchkey.NotFound("user", value)
	case err != nil:
		return latchkey.User{}, s.credentials.fault("read user", err)
	}
	return u, nil
}

// Users returns the users of a team, oldest first.
func (s *Store) Users(ctx context.Context, teamID string) ([]latchkey.User, error) {
	users, err := scanUsers(s.credentials.read.QueryContext(ctx,
		`SELECT `+userColumns+` FROM users WHERE removed IS NULL AND team_id = ? ORDER BY seq`, text(teamID)))
	if err != nil {
		return nil, s.credentials.fault("read users", err)
	}
	return users, nil
}

func scanUsers(rows *sql.Rows, err error) (users []latchkey.User, _ error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		u, err := scanUser(rows)
		if err != nil {
			return nil, err
		}
		users = append(users, u)
	}
	return users, rows.Err()
}

// UpdateUser alters a user in one transaction.
func (s *Store) UpdateUser(ctx context.Context, id string, edit func(*latchkey.User) error, events ...latchkey.Event) (latchkey.User, error) {
	var after latchkey.User
	err := s.credentials.change(ctx, func(c *sql.Conn) error {
		before, err := s.user(ctx, c, `id = ?`, id)
		if err != nil {
			return err
		}
		if after, err = s.updateUser(ctx, c, before, edit); err != nil {
			return err
		}
		return s.insertEvents(ctx, c, events)
	})
	if err != nil {
		return latchkey.User{}, err
	}
	return after, nil
}

func (s *Store) updateUser(ctx context.Context, q querier, before latchkey.User, edit func(*latchkey.User) error) (latchkey.User, error) {
	after := before
	if err := edit(&after); err != nil {
		return latchkey.User{}, err
	}
	after.ID, after.Email, after.Created, after.CreatedBy = before.ID, before.Email, before.Created, before.CreatedBy
	after.TeamID, after.Removed = text(after.TeamID), micros(after.Removed)
	_, err := q.ExecContext(ctx, `
		UPDATE users SET team_id = ?, role = ?, password = ?, epoch = ?, removed = ? WHERE id = ?`,
		after.TeamID, string(after.Role), after.Password, after.Epoch, nullable(after.Removed), after.ID)
	if err != nil {
		return latchkey.User{}, s.credentials.fault("write user", err)
	}
	return after, nil
}

// Invite adds an invitation, and ends earlier ones of the same user.
func (s *Store) Invite(ctx context.Context, invitation latchkey.Invitation, events ...latchkey.Event) error {
	return s.credentials.change(ctx, func(c *sql.Conn) error {
		if err := s.insertInvitation(ctx, c, invitation); err != nil {
			return err
		}
		return s.insertEvents(ctx, c, events)
	})
}

func (s *Store) insertInvitation(ctx context.Context, q querier, i latchkey.Invitation) error {
	_, err := q.ExecContext(ctx, `
		INSERT INTO invitations (digest, user_id, expires) VALUES (?, ?, ?)
		ON CONFLICT (user_id) DO UPDATE SET digest = excluded.digest, expires = excluded.expires`,
		i.Digest[:], i.UserID, i.Expires.UnixMicro())
	if err != nil {
		return s.credentials.fault("write invitation", err)
	}
	return nil
}

// Invitation returns an invitation that is neither used nor over.
func (s *Store) Invitation(ctx context.Context, digest latchkey.Digest) (latchkey.Invitation, error) {
	return s.invitation(ctx, s.credentials.read, digest)
}

func (s *Store) invitation(ctx context.Context, q querier, digest latchkey.Digest) (latchkey.Invitation, error) {
	i := latchkey.Invitation{Digest: digest}
	var expires int64
	err := q.QueryRowContext(ctx, `SELECT user_id, expires FROM invitations WHERE digest = ? AND expires > ?`,
		digest[:], s.now().UnixMicro()).Scan(&i.UserID, &expires)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return i, fmt.Errorf("invitation: %w", latchkey.ErrNotFound)
	case err != nil:
		return i, s.credentials.fault("read invitation", err)
	}
	i.Expires = fromMicros(expires)
	return i, nil
}

// Redeem uses an invitation.
func (s *Store) Redeem(ctx context.Context, digest latchkey.Digest, edit func(*latchkey.User) error, events ...latchkey.Event) (latchkey.User, error) {
	var after latchkey.User
	err := s.credentials.change(ctx, func(c *sql.Conn) error {
		i, err := s.invitation(ctx, c, digest)
		if err != nil {
			return err
		}
		if _, err := c.ExecContext(ctx, `DELETE FROM invitations WHERE digest = ?`, digest[:]); err != nil {
			return s.credentials.fault("use invitation", err)
		}
		if i.UserID == "" {
			after = latchkey.User{}
			if err := edit(&after); err != nil {
				return err
			}
			after.Created = micros(after.Created)
			err = s.insertUser(ctx, c, after)
		} else {
			var before latchkey.User
			if before, err = s.user(ctx, c, `id = ?`, i.UserID); err == nil {
				after, err = s.updateUser(ctx, c, before, edit)
			}
		}
		if err != nil {
			return err
		}
		return s.insertEvents(ctx, c, events)
	})
	if err != nil {
		return latchkey.User{}, err
	}
	return after, nil
}

// FindCtx returns the data of a session that is not over.
func (s *Store) FindCtx(ctx context.Context, token string) (data []byte, found bool, err error) {
	err = s.credentials.read.QueryRowContext(ctx,
		`SELECT data FROM sessions WHERE token = ? AND expiry > ?`, token, s.now().UnixMicro()).Scan(&data)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, false, nil
	case err != nil:
		return nil, false, s.credentials.fault("read session", err)
	}
	return data, true, nil
}

// CommitCtx keeps the data of a session, and forgets sessions that are over.
func (s *Store) CommitCtx(ctx context.Context, token string, data []byte, expiry time.Time) error {
	return s.credentials.change(ctx, func(c *sql.Conn) error {
		_, err := c.ExecContext(ctx, `DELETE FROM sessions WHERE expiry <= ?`, s.now().UnixMicro())
		if err == nil {
			_, err = c.ExecContext(ctx, `
				INSERT INTO sessions (token, data, expiry) VALUES (?, ?, ?)
				ON CONFLICT (token) DO UPDATE SET data = excluded.data, expiry = excluded.expiry`,
				token, data, expiry.UnixMicro())
		}
		if err != nil {
			return s.credentials.fault("write session", err)
		}
		return nil
	})
}

// DeleteCtx ends a session.
func (s *Store) DeleteCtx(ctx context.Context, token string) error {
	return s.credentials.change(ctx, func(c *sql.Conn) error {
		if _, err := c.ExecContext(ctx, `DELETE FROM sessions WHERE token = ?`, token); err != nil {
			return s.credentials.fault("end session", err)
		}
		return nil
	})
}
