package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"latchkey"
)

// checkTime is how long a start looks for damage in records.db at most.
const checkTime = 2 * time.Second

// restoredSpan is what is taken for the span when it is lost, in µs: queries read
// a day more than they need.
const restoredSpan = microsPerDay

// openRecords opens records.db, or makes it. One that is damaged is set aside for
// a new one: credentials hold whatever became of records.
func (s *Store) openRecords(ctx context.Context, path string) error {
	var err error
	s.records, err = openRecords(ctx, path)
	if !unreadable(err) {
		return err
	}
	s.logger.Error("a file of records is damaged, and is set aside", "file", path, "error", err)
	lost := onDisk(path, path+"-wal")
	if err := setAside(path); err != nil {
		return err
	}
	if s.records, err = openRecords(ctx, path); err != nil {
		return err
	}
	if err := s.restoreRecords(ctx, lost); err != nil {
		return errors.Join(fmt.Errorf("restore %s: %w", path, err), s.records.close())
	}
	return nil
}

func openRecords(ctx context.Context, path string) (*database, error) {
	version, err := inspect(ctx, path, recordsID)
	if err != nil {
		return nil, err
	}
	d, err := openMigrated(ctx, path, "NORMAL", version, "migrations/records")
	if err != nil {
		return nil, err
	}
	if err := d.check(ctx); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// check looks for damage, as far as there is time for it.
func (d *database) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	var found string
	err := d.read.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&found)
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return d.fault("check", err)
	case found != "ok":
		return fmt.Errorf("%s is %w: %s", d.path, errSpoilt, found)
	}
	return nil
}

// restoreRecords writes into a new records.db what can be said of one that was
// lost, which had so many bytes: when credentials were last used, by the days that
// there are; and, since nobody knows any more what was not kept, that all of their
// time may be a gap.
func (s *Store) restoreRecords(ctx context.Context, lost int64) error {
	err := s.records.change(ctx, func(c *sql.Conn) error {
		_, err := c.ExecContext(ctx, `UPDATE span SET lead = ?1, lag = ?1`, restoredSpan)
		return err
	})
	if err != nil {
		return err
	}
	numbers, err := s.days.numbers()
	if err != nil {
		return err
	}
	now := s.now()
	gap := latchkey.Gap{From: now, To: now, Count: lost/leastRecord + 1, AtMost: true, Node: "this node"}
	if len(numbers) > 0 {
		gap.From = fromMicros(min(now.UnixMicro(), numbers[len(numbers)-1]*microsPerDay))
		gap.Node = s.lastNode(ctx, numbers[0], gap.Node)
	}
	if err := s.AddGap(ctx, gap); err != nil {
		return err
	}
	if err := s.gatherLastUsed(ctx, len(numbers)); err != nil {
		s.logger.Error("when credentials were last used is not known of all", "error", err)
	}
	return nil
}

// lastNode returns the name of a node with a record of a day, or fallback.
func (s *Store) lastNode(ctx context.Context, number int64, fallback string) string {
	name := fallback
	_ = s.days.with(ctx, number, false, func(d *day) error {
		return d.read.QueryRowContext(ctx, `SELECT text FROM words WHERE kind = ? ORDER BY id DESC LIMIT 1`, int64(kindNode)).Scan(&name)
	})
	return name
}
