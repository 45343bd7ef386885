package postgres

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey"
)

// usageLock is the advisory lock under which callers are added: only so can a day
// have a hundred and no more, whoever adds them.
const usageLock = migrationLock + 3

// callerID is the key of a caller; that of all others is the nil UUID.
func callerID(c latchkey.Caller) (id uuid.UUID) {
	if c == (latchkey.Caller{}) {
		return uuid.Nil
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q", c.ClientIP, c.UserAgent, c.Auth))
	return uuid.UUID(sum[:16])
}

// addUsage places each caller: where it is already, or in the room that is left
// in the day, those that come first, or among all others.
const addUsage = `
	WITH given AS (
		SELECT credential_id, day, caller, client_ip, user_agent, auth, max(team_id) AS team_id,
			sum(accepted) AS accepted, sum(refused) AS refused, max(last) AS last, min(place) AS place
		FROM unnest($1::text[], $2::bigint[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::bigint[], $10::bigint[])
			WITH ORDINALITY AS g (credential_id, day, caller, client_ip, user_agent, auth, team_id, accepted, refused, last, place)
		GROUP BY credential_id, day, caller, client_ip, user_agent, auth
	), there AS (
		SELECT g.*, g.caller = $11 OR EXISTS (
			SELECT FROM usage AS u WHERE u.credential_id = g.credential_id AND u.day = g.day AND u.caller = g.caller) AS known
		FROM given AS g
	), counted AS (
		SELECT t.*, row_number() OVER (PARTITION BY credential_id, day, known ORDER BY place)
			+ (SELECT count(*) FROM usage AS u WHERE u.credential_id = t.credential_id AND u.day = t.day AND u.caller <> $11) AS callers
		FROM there AS t
	), placed AS (
		SELECT *, known OR callers <= $12 AS apart FROM counted
	)
	INSERT INTO usage (credential_id, day, caller, client_ip, user_agent, auth, team_id, accepted, refused, last)
	SELECT credential_id, day, CASE WHEN apart THEN caller ELSE $11 END AS caller,
		max(CASE WHEN apart THEN client_ip ELSE '' END), max(CASE WHEN apart THEN user_agent ELSE '' END), max(CASE WHEN apart THEN auth ELSE '' END),
		max(team_id), sum(accepted), sum(refused), max(last)
	FROM placed GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
	ON CONFLICT (credential_id, day, caller) DO UPDATE SET accepted = usage.accepted + excluded.accepted,
		refused = usage.refused + excluded.refused, last = greatest(usage.last, excluded.last)`

// AddUsage adds counts to what is there. A caller that finds a day full is
// counted among all others.
func (s *Store) AddUsage(ctx context.Context, add []latchkey.Usage) error {
	if len(add) == 0 {
		return nil
	}
	// A pipeline without BEGIN is one transaction, and one round trip: nobody
	// waits for a client that is stopped between its statements.
	b := &pgx.Batch{}
	args := usageArgs(add)
	b.Queue(lockUsage, int64(usageLock), args[0], args[1], args[2], uuid.Nil, latchkey.MaxCallers)
	b.Queue(addUsage, args...)
	err := s.pool.SendBatch(ctx, b).Close()
	switch {
	case err == nil:
		return nil
	case refused(err):
		return fault("write usage", err)
	}
	return fmt.Errorf("write usage: %w: %w", latchkey.ErrOutcomeUnknown, err)
}

// lockUsage makes those wait for each other who may add a caller to a day. The
// others, who are most, only add to what is there: on a full day that is all.
const lockUsage = `
	SELECT pg_advisory_xact_lock($1) WHERE EXISTS (
		SELECT FROM unnest($2::text[], $3::bigint[], $4::uuid[]) AS g (credential_id, day, caller)
		WHERE g.caller <> $5 AND NOT EXISTS (
			SELECT FROM usage AS u WHERE u.credential_id = g.credential_id AND u.day = g.day AND u.caller = g.caller)
		AND (SELECT count(*) FROM usage AS u WHERE u.credential_id = g.credential_id AND u.day = g.day AND u.caller <> $5) < $6)`

// usageArgs returns the arguments of addUsage.
func usageArgs(add []latchkey.Usage) []any {
	n := len(add)
	credentials, teams := make([]string, n), make([]string, n)
	addresses, agents, methods := make([]string, n), make([]string, n), make([]string, n)
	days, accepted, refusals, last := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	callers := make([]uuid.UUID, n)
	for i, u := range add {
		u.Caller = latchkey.Caller{ClientIP: text(u.Caller.ClientIP), UserAgent: text(u.Caller.UserAgent), Auth: latchkey.Method(text(string(u.Caller.Auth)))}
		credentials[i], teams[i], callers[i] = text(u.CredentialID), text(u.TeamID), callerID(u.Caller)
		addresses[i], agents[i], methods[i] = u.Caller.ClientIP, u.Caller.UserAgent, string(u.Caller.Auth)
		days[i], last[i] = u.Day.UTC().Truncate(24*time.Hour).UnixMicro(), u.Last.UnixMicro()
		accepted[i], refusals[i] = u.Accepted, u.Refused
	}
	return []any{credentials, days, callers, addresses, agents, methods, teams, accepted, refusals, last, uuid.Nil, latchkey.MaxCallers}
}

const usageColumns = `credential_id, max(team_id), max(day), max(client_ip), max(user_agent), max(auth), sum(accepted)::bigint, sum(refused)::bigint, max(last)`

// Usage returns the usage of credentials since a day, most used first.
func (s *Store) Usage(ctx context.Context, credentialIDs []string, since time.Time) ([]latchkey.Usage, error) {
	ids := make([]string, len(credentialIDs))
	for i, id := range credentialIDs {
		ids[i] = text(id)
	}
	return s.usage(ctx, `
		SELECT `+usageColumns+` FROM usage WHERE credential_id = ANY ($1) AND day >= $2
		GROUP BY credential_id, caller ORDER BY sum(accepted) + sum(refused) DESC, credential_id, caller`,
		ids, since.UTC().Truncate(24*time.Hour).UnixMicro())
}

// deadInUse asks for each credential, where a join could read all usage.
const deadInUse = `
	SELECT ` + usageColumns + ` FROM usage
	WHERE credential_id = ANY (ARRAY(SELECT id FROM credentials WHERE team_id = $1 AND ended IS NOT NULL)) AND day >= $2 AND last >= $3
	GROUP BY credential_id, caller HAVING sum(refused) > 0 ORDER BY max(last) DESC, credential_id, caller`

// DeadInUse returns the usage since a time of a team's dead credentials, those
// sent last first.
func (s *Store) DeadInUse(ctx context.Context, teamID string, since time.Time) ([]latchkey.Usage, error) {
	return s.usage(ctx, deadInUse, text(teamID), since.UTC().Truncate(24*time.Hour).UnixMicro(), since.UnixMicro())
}

func (s *Store) usage(ctx context.Context, query string, args ...any) ([]latchkey.Usage, error) {
	rows, err := s.pool.Query(ctx, query, args...)
	if err != nil {
		return nil, fault("read usage", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (u latchkey.Usage, err error) {
		var day, last int64
		err = row.Scan(&u.CredentialID, &u.TeamID, &day, &u.Caller.ClientIP, &u.Caller.UserAgent, &u.Caller.Auth,
			&u.Accepted, &u.Refused, &last)
		u.Day, u.Last = fromMicros(day), fromMicros(last)
		return u, err
	})
	if err != nil {
		return nil, fault("read usage", err)
	}
	return list, nil
}

// dropUsage removes the usage of days before one, in unix µs. It is done once for
// each day.
func (s *Store) dropUsage(ctx context.Context, conn *pgx.Conn, before int64) error {
	if s.usageFrom.Load() >= before {
		return nil
	}
	err := dropChunks(ctx, conn, dropUsageChunk, before)
	if err == nil {
		s.usageFrom.Store(before)
	}
	return err
}

// The order is that of an index: else all usage, or all tallies, would be read for
// each chunk.
const (
	dropUsageChunk = `DELETE FROM usage WHERE ctid = ANY (ARRAY(
		SELECT ctid FROM usage WHERE day < $1 ORDER BY day LIMIT $2))`
	dropTalliesChunk = `DELETE FROM tallies WHERE ctid = ANY (ARRAY(
		SELECT ctid FROM tallies WHERE hour < $1 ORDER BY hour LIMIT $2))`
)

// dropChunks removes what is before a time, in unix µs, in many short transactions:
// a statement that took too long would remove nothing.
func dropChunks(ctx context.Context, conn *pgx.Conn, statement string, before int64) error {
	const chunk = 10_000
	for {
		done, err := conn.Exec(ctx, statement, before, chunk)
		if err != nil || done.RowsAffected() == 0 {
			return err
		}
	}
}
