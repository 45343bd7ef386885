package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"latchkey"
)

// HandIn says that a node's records up to a time are in the store.
func (s *Store) HandIn(ctx context.Context, h latchkey.HandIn) error {
	_, err := s.pool.Exec(ctx, `
		INSERT INTO hand_ins (node, until) VALUES ($1, $2)
		ON CONFLICT (node) DO UPDATE SET until = excluded.until WHERE excluded.until > hand_ins.until`,
		text(h.Node), h.Until.UnixMicro()) // rounded down: never more than is true
	if err != nil {
		return fault("write hand-in", err)
	}
	return nil
}

// HandIns returns the latest of each node, by name.
func (s *Store) HandIns(ctx context.Context) ([]latchkey.HandIn, error) {
	rows, err := s.pool.Query(ctx, `SELECT node, until FROM hand_ins ORDER BY node`)
	if err != nil {
		return nil, fault("read hand-ins", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (h latchkey.HandIn, err error) {
		var until int64
		err = row.Scan(&h.Node, &until)
		h.Until = fromMicros(until)
		return h, err
	})
	if err != nil {
		return nil, fault("read hand-ins", err)
	}
	return list, nil
}

// ForgetHandIn forgets a node.
func (s *Store) ForgetHandIn(ctx context.Context, node string) error {
	if _, err := s.pool.Exec(ctx, `DELETE FROM hand_ins WHERE node = $1`, text(node)); err != nil {
		return fault("forget hand-in", err)
	}
	return nil
}
