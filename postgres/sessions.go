package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// FindCtx returns the data of a session that is not over.
func (s *Store) FindCtx(ctx context.Context, token string) (data []byte, found bool, err error) {
	err = s.pool.QueryRow(ctx,
		`SELECT data FROM sessions WHERE token = $1 AND expiry > coalesce($2, latchkey_now())`, text(token), s.now()).Scan(&data)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, false, nil
	case err != nil:
		return nil, false, fault("read session", err)
	}
	return data, true, nil
}

// sweep is how many sessions that are over are forgotten at a time.
const sweep = 100

// sweepSessions forgets the sessions that were over first. The clock is read once,
// and the order is that of the index: else all sessions would be read.
const sweepSessions = `
	DELETE FROM sessions WHERE token = ANY (ARRAY(
		SELECT token FROM sessions WHERE expiry <= (SELECT coalesce($1, latchkey_now()))
		ORDER BY expiry LIMIT $2 FOR UPDATE SKIP LOCKED))`

// CommitCtx keeps the data of a session, and forgets sessions that are over.
func (s *Store) CommitCtx(ctx context.Context, token string, data []byte, expiry time.Time) error {
	_, err := s.pool.Exec(ctx, `
		INSERT INTO sessions (token, data, expiry) VALUES ($1, $2, $3)
		ON CONFLICT (token) DO UPDATE SET data = excluded.data, expiry = excluded.expiry`,
		text(token), data, expiry.UnixMicro())
	if err != nil {
		return fault("write session", err)
	}
	// By itself, and around what others hold: nobody waits for it.
	_, err = s.pool.Exec(ctx, sweepSessions, s.now(), sweep)
	if err != nil {
		s.logger.Warn("sessions that are over are not forgotten yet", "error", err)
	}
	return nil
}

// DeleteCtx ends a session.
func (s *Store) DeleteCtx(ctx context.Context, token string) error {
	if _, err := s.pool.Exec(ctx, `DELETE FROM sessions WHERE token = $1`, text(token)); err != nil {
		return fault("end session", err)
	}
	return nil
}
