package sqlite

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// recordsDir is the directory of the day files, in the data directory.
const recordsDir = "records"

// maxOpenDays is how many day files are kept open for the next who asks.
const maxOpenDays = 16

const microsPerDay = int64(24 * time.Hour / time.Microsecond)

// dayName is how a file is called after its day.
const dayName = "2006-01-02"

// dayID and dayVersion are what day.sql gives the files.
const (
	dayID      = 0x6c6b6479
	dayVersion = 1
)

//go:embed day.sql
var daySchema string

// days are the files of records, one for each day (UTC) of the times in their
// IDs: an ID itself says which file it is in. They are opened when they are
// asked for, and a few stay open.
type days struct {
	dir string

	mu    sync.Mutex
	open  map[int64]*day // by the day's number
	turns uint64
}

// A day is an open file of records.
type day struct {
	*database
	number int64 // days since 1970

	users int    // who works with it; of days.mu
	turn  uint64 // when it was last asked for; of days.mu
	words words
}

// dayOf returns the number of the day of an ID.
func dayOf(id uuid.UUID) int64 { return latchkey.RequestIDMillis(id) * 1000 / microsPerDay }

// begins returns the first moment of a day, in unix µs.
func (d *day) begins() int64 { return d.number * microsPerDay }

func (d *days) path(number int64) string {
	return filepath.Join(d.dir, fromMicros(number*microsPerDay).Format(dayName)+".db")
}

// numbers returns the days that there are files of, newest first; also of such as
// were set aside: they end with their day.
func (d *days) numbers() ([]int64, error) {
	files, err := os.ReadDir(d.dir)
	if err != nil {
		return nil, fmt.Errorf("list records: %w", err)
	}
	var list []int64
	for _, f := range files {
		name, rest, _ := strings.Cut(f.Name(), ".")
		if at, err := time.Parse(dayName, name); err == nil && (rest == "db" || strings.HasPrefix(rest, "db"+asideSuffix)) {
			list = append(list, at.UnixMicro()/microsPerDay)
		}
	}
	slices.Sort(list)
	list = slices.Compact(list)
	slices.Reverse(list)
	return list, nil
}

// with runs f on the file of a day. Without create, nothing is done where there
// is no file.
func (d *days) with(ctx context.Context, number int64, create bool, f func(*day) error) error {
	found, err := d.acquire(ctx, number, create)
	if err != nil || found == nil {
		return err
	}
	return errors.Join(f(found), d.release(found))
}

func (d *days) acquire(ctx context.Context, number int64, create bool) (*day, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	found := d.open[number]
	if found == nil {
		file, err := openDay(ctx, d.path(number), create)
		if err != nil || file == nil {
			return nil, err
		}
		found = &day{database: file, number: number}
		d.open[number] = found
	}
	d.turns++
	found.users, found.turn = found.users+1, d.turns
	return found, nil
}

// release gives a day back, and closes the one that nobody has asked for
// longest if there are too many.
func (d *days) release(used *day) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	used.users--
	if len(d.open) <= maxOpenDays {
		return nil
	}
	var oldest *day
	for _, o := range d.open {
		if o.users == 0 && (oldest == nil || o.turn < oldest.turn) {
			oldest = o
		}
	}
	if oldest == nil {
		return nil
	}
	delete(d.open, oldest.number)
	return oldest.close()
}

// asideSuffix is what the name of a file that was set aside ends with, before a
// number.
const asideSuffix = ".damaged"

// files returns the files of a day. The file itself is the first: what is left of
// a day without it is nothing to anybody.
func (d *days) files(number int64) []string {
	path := d.path(number)
	list := []string{path, path + "-wal", path + "-shm"}
	all, _ := os.ReadDir(d.dir)
	for _, f := range all {
		if strings.HasPrefix(f.Name(), filepath.Base(path)+asideSuffix) {
			list = append(list, filepath.Join(d.dir, f.Name()))
		}
	}
	return list
}

// remove deletes the files of a day, unless somebody works with it.
func (d *days) remove(number int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	if o := d.open[number]; o != nil {
		if o.users > 0 {
			return nil
		}
		delete(d.open, number)
		errs = append(errs, o.close()) // which writes, and may find no room
	}
	for _, path := range d.files(number) {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("remove old records: %w", err))
			break
		}
	}
	return errors.Join(errs...)
}

// setAside makes room for a new file of a day, and keeps the one that is there
// under another name.
func (d *days) setAside(number int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if o := d.open[number]; o != nil {
		if o.users > 0 {
			return fmt.Errorf("%s is damaged, and in use", o.path)
		}
		delete(d.open, number)
		_ = o.close() // it is damaged
	}
	path := d.path(number)
	n := 1
	for ; ; n++ {
		if _, err := os.Lstat(fmt.Sprint(path, asideSuffix, n)); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return fmt.Errorf("set %s aside: %w", path, err)
		}
	}
	aside := fmt.Sprint(path, asideSuffix, n)
	// The log goes first: a new file must never find it.
	for _, suffix := range []string{"-wal", "-shm", ""} {
		if err := os.Rename(path+suffix, aside+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("set %s aside: %w", path, err)
		}
	}
	return nil
}

func (d *days) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for _, o := range d.open {
		errs = append(errs, o.close())
	}
	clear(d.open)
	return errors.Join(errs...)
}

// openDay opens the file of a day; nil if there is none and create is not set.
func openDay(ctx context.Context, path string, create bool) (*database, error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	case err == nil && info.Size() > 0 && info.Size() < headerSize:
		return nil, fmt.Errorf("%s is not a file of latchkey, or damaged: it is %d bytes long", path, info.Size())
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case (err != nil || info.Size() == 0) && !create:
		return nil, nil
	}
	if err := createFile(path); err != nil {
		return nil, err
	}
	file, err := openDatabase(ctx, path, "FULL") // records leave the journal once they are here
	if err != nil {
		return nil, err
	}
	made, err := file.prepareDay(ctx, create)
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	if err != nil || !made {
		return nil, errors.Join(err, file.close())
	}
	return file, nil
}

// prepareDay makes the tables of a new file, and refuses one that is not ours.
func (d *database) prepareDay(ctx context.Context, create bool) (made bool, err error) {
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer func() { _ = tx.Rollback() }()
	var id, version, tables int64
	err = tx.QueryRowContext(ctx, `
		SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version),
			(SELECT count(*) FROM sqlite_schema)`).Scan(&id, &version, &tables)
	switch {
	case err != nil:
		return false, fmt.Errorf("not a file of latchkey, or damaged: %w", err)
	case id == dayID && version > dayVersion:
		return false, fmt.Errorf("made by a newer latchkey (schema %d; this one knows %d)", version, dayVersion)
	case id == dayID && version == dayVersion:
		return true, nil
	case id != 0 || version != 0 || tables != 0:
		return false, errors.New("not the file of latchkey that its name says")
	case !create:
		return false, nil
	}
	if _, err := tx.ExecContext(ctx, daySchema); err != nil {
		return false, fmt.Errorf("make schema %d: %w", dayVersion, err)
	}
	return true, tx.Commit()
}
