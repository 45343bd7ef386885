package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"os"

	"latchkey"
)

// dropChunk is how many records one transaction removes at most: what is
// appended meanwhile waits for no more than that.
const dropChunk = 2000

// A daySize is how large a day is.
type daySize struct {
	bytes             int64 // of a day that is no former one those in use: what is free is for what comes
	free              int64 // in the file
	records, refusals int64
	former            bool // nothing is appended any more: it is not the newest, and over by the store's clock
}

// perRecord is how many bytes a record takes.
func (s daySize) perRecord() int64 { return max(1, s.bytes/max(1, s.records)) }

// refused is how many bytes the refusals take, about.
func (s daySize) refused() int64 { return s.refusals * s.perRecord() }

// measure returns the days, newest first, and how large each of them is: as far
// as it can be known, and why not where it cannot.
func (s *Store) measure(ctx context.Context) (numbers []int64, sizes []daySize, err error) {
	numbers, err = s.days.numbers()
	if err != nil {
		return nil, nil, err
	}
	sizes = make([]daySize, len(numbers))
	today := s.now().UnixMicro() / microsPerDay
	var errs []error
	for i, number := range numbers {
		sizes[i], err = s.days.sizeOf(ctx, number)
		errs = append(errs, err)
		// A clock that was ahead for a while leaves days that are newer than today.
		if sizes[i].former = i > 0 && number < today; !sizes[i].former {
			sizes[i].bytes -= sizes[i].free
		}
	}
	return numbers, sizes, errors.Join(errs...)
}

// sizeOf returns how large a day is; zero if it has gone. A file that cannot be
// read takes what it takes on disk, and that is all that is known of it. A day is
// measured once for each time that it was written to: there may be hundreds.
func (d *days) sizeOf(ctx context.Context, number int64) (daySize, error) {
	d.mu.Lock()
	size, known := d.sizes[number]
	writes := d.writes[number]
	d.mu.Unlock()
	if known {
		return size, nil
	}
	err := d.with(ctx, number, false, func(d *day) error {
		var page, pages, free int64
		err := d.read.QueryRowContext(ctx, `
			SELECT (SELECT page_size FROM pragma_page_size), (SELECT page_count FROM pragma_page_count),
				(SELECT freelist_count FROM pragma_freelist_count), records, refusals FROM sizes`).
			Scan(&page, &pages, &free, &size.records, &size.refusals)
		if err != nil {
			return d.fault("read size", err)
		}
		size.bytes, size.free = pages*page, free*page
		return nil
	})
	if err != nil {
		return daySize{bytes: d.onDisk(number)}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.writes[number] == writes {
		d.sizes[number] = size
	}
	return size, nil
}

// onDisk returns how many bytes the files of a day take.
func (d *days) onDisk(number int64) int64 {
	return onDisk(d.files(number)...)
}

func onDisk(paths ...string) (bytes int64) {
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil {
			bytes += info.Size()
		}
	}
	return bytes
}

// dropBeyond is how many refusals of a day go beyond what seems to be too many, at
// first.
const dropBeyond = 8

// dropRefusals removes refusals, the oldest first, while there is more than so
// many bytes of records, and more than half of them of refusals. It measures again
// how much room was won, since pages that are left half empty give none back, and
// goes twice as far beyond each time. If it ended before there was room enough,
// whole days would go, and with them what was accepted.
func (s *Store) dropRefusals(ctx context.Context, keep int64) error {
	for beyond := int64(dropBeyond); ; beyond *= 2 {
		if more, err := s.dropSome(ctx, keep, beyond); err != nil || !more {
			return err
		}
	}
}

// squeeze gives back what is free of former days, where that is over a quarter:
// what was thinned when it was the newest was not, and nothing comes any more.
func (s *Store) squeeze(ctx context.Context) error {
	numbers, sizes, _ := s.measure(ctx) // [Store.dropLarge] says what cannot be read
	var errs []error
	for i, number := range numbers {
		if sizes[i].former && sizes[i].free > sizes[i].bytes/4 {
			errs = append(errs, s.days.alter(ctx, number, false, func(d *day) error { return d.compact(ctx) }))
		}
	}
	return errors.Join(errs...)
}

// dropSome removes as many refusals as seem to be too many, and so many of a day
// more. It reports whether there were any.
func (s *Store) dropSome(ctx context.Context, keep, beyond int64) (more bool, err error) {
	// What cannot be read has no refusals to give, but takes room; [Store.dropLarge] says why.
	numbers, sizes, _ := s.measure(ctx)
	var total, refused int64
	for _, size := range sizes {
		total += size.bytes
		refused += size.refused()
	}
	excess := min(total-keep, refused-keep/2)
	for i := len(numbers) - 1; i >= 0 && excess > 0; i-- { // the oldest first
		n := min(sizes[i].refusals, excess/sizes[i].perRecord()+beyond)
		if n == 0 {
			continue
		}
		excess -= n * sizes[i].perRecord()
		more = true
		err := s.days.alter(ctx, numbers[i], false, func(d *day) error {
			if err := d.dropRefusals(ctx, n); err != nil || !sizes[i].former {
				return err // the file needs the room again
			}
			return d.compact(ctx)
		})
		if err != nil {
			return more, err
		}
	}
	return more, nil
}

// compact gives the file's free room back.
func (d *day) compact(ctx context.Context) error {
	for _, statement := range []string{`VACUUM`, `PRAGMA wal_checkpoint(TRUNCATE)`} {
		if _, err := d.write.ExecContext(ctx, statement); err != nil {
			return d.fault("give room back", err)
		}
	}
	return nil
}

// refusal is [latchkey.Record.Refusal] as a condition. Its argument is what stands for
// "denied".
const refusal = `(team_id IS NULL OR outcome = ?)`

// dropRefusals removes the n oldest refusals of the day.
func (d *day) dropRefusals(ctx context.Context, n int64) error {
	denied, err := numberOf(ctx, d.read, kindOutcome, string(latchkey.OutcomeDenied))
	if errors.Is(err, sql.ErrNoRows) {
		denied, err = 0, nil // there is none, and no word has this number
	}
	if err != nil {
		return d.fault("read words", err)
	}
	last := []byte{} // below every ID
	for n > 0 {
		var dropped int64
		err := d.change(ctx, func(c *sql.Conn) error {
			var to []byte
			err := c.QueryRowContext(ctx, `
				SELECT max(id) FROM (SELECT id FROM records WHERE id > ? AND `+refusal+` ORDER BY id LIMIT ?)`,
				last, denied, min(n, dropChunk)).Scan(&to)
			if err != nil || to == nil {
				return err
			}
			done, err := c.ExecContext(ctx, `DELETE FROM records WHERE id > ? AND id <= ? AND `+refusal, last, to, denied)
			if err != nil {
				return err
			}
			if dropped, err = done.RowsAffected(); err != nil {
				return err
			}
			last = to
			_, err = c.ExecContext(ctx, `UPDATE sizes SET records = records - ?, refusals = refusals - ?`, dropped, dropped)
			return err
		})
		if err != nil {
			return d.fault("drop refusals", err)
		}
		if dropped == 0 {
			return nil
		}
		n -= dropped
	}
	return nil
}
