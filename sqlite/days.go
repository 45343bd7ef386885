package sqlite

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
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
	dir    string
	logger *slog.Logger
	shut   func(*day) error // closes one that nobody has asked for longest

	mu     sync.Mutex
	open   map[int64]*day // by the day's number
	turns  uint64
	closed bool
	sizes  map[int64]daySize // of days that nothing was written to since they were measured
	writes map[int64]uint64  // how often something was, of all days

	excess  int            // days in open that are being closed, since they were too many
	closing sync.WaitGroup // the same; none is added once closed is set
}

// A day is a file of records that is open, or is being opened.
type day struct {
	*database               // nil if it could not be opened, or is not there
	opened    chan struct{} // closed when that has ended
	number    int64         // days since 1970

	users int    // who works with it, or opens it; of days.mu
	turn  uint64 // when it was last asked for; of days.mu
	words words
}

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
	defer d.release(found)
	return f(found)
}

// alter is with for what writes to the file.
func (d *days) alter(ctx context.Context, number int64, create bool, f func(*day) error) error {
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.written(number)
	}()
	return d.with(ctx, number, create, f)
}

// written forgets what was measured of a day, or is being. mu is held.
func (d *days) written(number int64) {
	delete(d.sizes, number)
	d.writes[number]++
}

// acquire opens a file without keeping those who ask for another waiting.
func (d *days) acquire(ctx context.Context, number int64, create bool) (*day, error) {
	for {
		d.mu.Lock()
		found := d.open[number]
		mine := found == nil
		if mine {
			found = &day{opened: make(chan struct{}), number: number}
			d.open[number] = found
		}
		d.turns++
		found.users, found.turn = found.users+1, d.turns
		d.mu.Unlock()
		if mine {
			return d.openDay(ctx, found, create)
		}
		select {
		case <-found.opened:
		case <-ctx.Done():
			d.release(found)
			return nil, ctx.Err()
		}
		if found.database != nil {
			return found, nil
		}
		// Whoever was first could not open it, or would not make it.
	}
}

// openDay opens the file of a day that nobody else can have opened; nil if there
// is none.
func (d *days) openDay(ctx context.Context, opening *day, create bool) (*day, error) {
	file, err := openDay(ctx, d.path(opening.number), create)
	d.mu.Lock()
	defer d.mu.Unlock()
	defer close(opening.opened)
	if file != nil && d.closed {
		file, err = nil, errors.Join(errors.New("the store is closed"), file.close())
	}
	if err != nil || file == nil {
		delete(d.open, opening.number)
		return nil, err
	}
	opening.database = file
	return opening, nil
}

// release gives a day back, and closes the one that nobody has asked for
// longest if there are too many. Whoever releases is answered by what it did
// with its own day, so an error of that one is logged.
func (d *days) release(used *day) {
	oldest, gone := d.giveBack(used)
	if oldest == nil {
		return
	}
	defer d.closing.Done()
	if err := d.shut(oldest); err != nil {
		d.logger.Error("a file of records could not be closed", "file", d.path(oldest.number), "error", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open[gone.number] == gone {
		delete(d.open, gone.number)
	}
	d.excess--
	close(gone.opened)
}

// giveBack gives a day back, and returns the one to be closed, if there is one. In
// its place it leaves one that is in use, and that is never opened: whoever asks
// for that day waits, and nobody removes its files under it.
func (d *days) giveBack(used *day) (oldest, gone *day) {
	d.mu.Lock()
	defer d.mu.Unlock()
	used.users--
	if len(d.open)-d.excess <= maxOpenDays {
		return nil, nil
	}
	for _, o := range d.open { // with no user, it is not being opened
		if o.users == 0 && (oldest == nil || o.turn < oldest.turn) {
			oldest = o
		}
	}
	if oldest == nil {
		return nil, nil
	}
	gone = &day{opened: make(chan struct{}), number: oldest.number, users: 1}
	d.open[oldest.number] = gone
	d.excess++
	d.closing.Add(1)
	return oldest, gone
}

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
	d.written(number)
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
			return fmt.Errorf("%s is damaged, and in use", d.path(number))
		}
		delete(d.open, number)
		_ = o.close() // it is damaged
	}
	d.written(number)
	return setAside(d.path(number))
}

func (d *days) close() error {
	defer d.closing.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	var errs []error
	for _, o := range d.open {
		if o.database != nil {
			errs = append(errs, o.close())
		}
	}
	clear(d.open)
	return errors.Join(errs...)
}

// openDay opens the file of a day; nil if there is none and create is not set.
func openDay(ctx context.Context, path string, create bool) (*database, error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is %w: it is not a regular file", path, errSpoilt)
	case err == nil && info.Size() > 0 && info.Size() < headerSize:
		return nil, fmt.Errorf("%s is %w: it is %d bytes long", path, errSpoilt, info.Size())
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
		return false, fmt.Errorf("%w: it is not the file of latchkey that its name says", errSpoilt)
	case !create:
		return false, nil
	}
	if _, err := tx.ExecContext(ctx, daySchema); err != nil {
		return false, fmt.Errorf("make schema %d: %w", dayVersion, err)
	}
	return true, tx.Commit()
}
