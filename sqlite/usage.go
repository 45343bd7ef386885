package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"latchkey"
)

// AddUsage adds counts to what is there. A caller that finds a day full is
// counted among all others.
func (s *Store) AddUsage(ctx context.Context, add []latchkey.Usage) error {
	return s.records.change(ctx, func(c *sql.Conn) error {
		for _, u := range add {
			if err := addUsage(ctx, c, u); err != nil {
				return s.records.fault("write usage", err)
			}
		}
		return nil
	})
}

func addUsage(ctx context.Context, q querier, u latchkey.Usage) error {
	u.Caller.ClientIP, u.Caller.UserAgent = text(u.Caller.ClientIP), text(u.Caller.UserAgent)
	day := u.Day.UTC().Truncate(24 * time.Hour).UnixMicro()
	var there, count int
	err := q.QueryRowContext(ctx, `
		SELECT count(*) FILTER (WHERE client_ip = ?3 AND user_agent = ?4 AND auth = ?5),
			count(*) FILTER (WHERE client_ip || user_agent || auth <> '')
		FROM usage WHERE credential_id = ?1 AND day = ?2`,
		u.CredentialID, day, u.Caller.ClientIP, u.Caller.UserAgent, string(u.Caller.Auth)).Scan(&there, &count)
	if err != nil {
		return err
	}
	if there == 0 && count >= latchkey.MaxCallers {
		u.Caller = latchkey.Caller{}
	}
	_, err = q.ExecContext(ctx, `
		INSERT INTO usage (credential_id, day, client_ip, user_agent, auth, team_id, accepted, refused, last)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET accepted = accepted + excluded.accepted, refused = refused + excluded.refused,
			last = max(last, excluded.last)`,
		u.CredentialID, day, u.Caller.ClientIP, u.Caller.UserAgent, string(u.Caller.Auth), u.TeamID,
		u.Accepted, u.Refused, u.Last.UnixMicro())
	return err
}

// Usage returns the usage of credentials since a day, most used first.
func (s *Store) Usage(ctx context.Context, credentialIDs []string, since time.Time) ([]latchkey.Usage, error) {
	return s.usage(ctx, credentialIDs, since.UTC().Truncate(24*time.Hour), time.Time{}, `sum(accepted) + sum(refused) DESC`)
}

// DeadInUse returns the usage since a time of a team's dead credentials, those
// sent last first.
func (s *Store) DeadInUse(ctx context.Context, teamID string, since time.Time) ([]latchkey.Usage, error) {
	ids, err := s.deadCredentials(ctx, teamID)
	if err != nil {
		return nil, s.credentials.fault("read dead credentials", err)
	}
	all, err := s.usage(ctx, ids, since.UTC().Truncate(24*time.Hour), since, `max(last) DESC`)
	if err != nil {
		return nil, err
	}
	var refused []latchkey.Usage
	for _, u := range all {
		if u.Refused > 0 {
			refused = append(refused, u)
		}
	}
	return refused, nil
}

func (s *Store) deadCredentials(ctx context.Context, teamID string) (ids []string, err error) {
	rows, err := s.credentials.read.QueryContext(ctx,
		`SELECT id FROM credentials WHERE team_id = ? AND ended IS NOT NULL`, teamID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

func (s *Store) usage(ctx context.Context, ids []string, day, last time.Time, order string) ([]latchkey.Usage, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	list, err := json.Marshal(ids)
	if err != nil {
		return nil, err
	}
	rows, err := s.records.read.QueryContext(ctx, `
		SELECT credential_id, max(team_id), max(day), client_ip, user_agent, auth, sum(accepted), sum(refused), max(last)
		FROM usage WHERE day >= ? AND last >= ? AND credential_id IN (SELECT value FROM json_each(?))
		GROUP BY credential_id, client_ip, user_agent, auth ORDER BY `+order, day.UnixMicro(), last.UnixMicro(), string(list))
	if err != nil {
		return nil, s.records.fault("read usage", err)
	}
	defer rows.Close()
	var found []latchkey.Usage
	for rows.Next() {
		var (
			u         latchkey.Usage
			day, last int64
		)
		err := rows.Scan(&u.CredentialID, &u.TeamID, &day, &u.Caller.ClientIP, &u.Caller.UserAgent, &u.Caller.Auth,
			&u.Accepted, &u.Refused, &last)
		if err != nil {
			return nil, s.records.fault("read usage", err)
		}
		u.Day, u.Last = fromMicros(day), fromMicros(last)
		found = append(found, u)
	}
	return found, rows.Err()
}

// dropUsage removes the usage of days before one, in unix µs: each credential's
// by itself, so that nothing is read that stays. It is done once for each day.
func (s *Store) dropUsage(ctx context.Context, before int64) error {
	if s.usageFrom.Load() >= before {
		return nil
	}
	err := s.records.change(ctx, func(c *sql.Conn) error {
		_, err := c.ExecContext(ctx, `
			WITH RECURSIVE ids (id) AS (
				SELECT min(credential_id) FROM usage
				UNION ALL
				SELECT (SELECT min(credential_id) FROM usage WHERE credential_id > id) FROM ids WHERE id IS NOT NULL
			)
			DELETE FROM usage WHERE credential_id IN (SELECT id FROM ids) AND day < ?`, before)
		if err != nil {
			return s.records.fault("remove old usage", err)
		}
		return nil
	})
	if err == nil {
		s.usageFrom.Store(before)
	}
	return err
}
