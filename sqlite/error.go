package sqlite

import (
	"errors"
	"fmt"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"latchkey"
)

// A conflict is latchkey.ErrConflict in words for people. They never hold a
// value.
type conflict string

func (c conflict) Error() string { return string(c) }
func (c conflict) Unwrap() error { return latchkey.ErrConflict }

// taken reports whether err says that a value of table.column is there already.
func taken(err error, column string) bool {
	var failure *sqlite.Error
	if !errors.As(err, &failure) {
		return false
	}
	switch failure.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return strings.Contains(failure.Error(), column)
	}
	return false
}

// teamError explains why a team could not be written.
func teamError(err error, t *latchkey.Team) error {
	switch {
	case taken(err, "teams.name_key"):
		return conflict(fmt.Sprintf("a team named %q exists already", t.Name))
	case taken(err, "teams.id"):
		return conflict("a team with this ID is or was there already")
	}
	return fmt.Errorf("write team %s: %w", t.ID, err)
}

// credentialError explains why a credential could not be written.
func credentialError(err error, c *latchkey.Credential) error {
	switch {
	case taken(err, "credentials.digest"):
		return conflict("this key is or was in use already")
	case taken(err, "credentials.id") && c.Kind == latchkey.KindAPISecret:
		return conflict("an API secret with this ID is or was in use already")
	case taken(err, "credentials.id"):
		return conflict("a key with this ID is or was in use already")
	}
	return fmt.Errorf("write %s %s: %w", c.Kind, c.ID, err)
}

// damaged reports whether err says that a file is no SQLite file, or is not
// whole. A full disk, for example, says nothing of the file.
func damaged(err error) bool {
	var failure *sqlite.Error
	if !errors.As(err, &failure) {
		return false
	}
	switch failure.Code() & 0xff {
	case sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_SCHEMA:
		return true
	}
	return false
}

// errSpoilt is wrapped by what is said of a file that is not what its name says.
var errSpoilt = errors.New("not a file of latchkey, or damaged")

// unreadable reports whether err says that a file itself is damaged, and nothing
// that could pass.
func unreadable(err error) bool {
	if errors.Is(err, errSpoilt) {
		return true
	}
	var failure *sqlite.Error
	if !errors.As(err, &failure) {
		return false
	}
	code := failure.Code() & 0xff
	return code == sqlite3.SQLITE_NOTADB || code == sqlite3.SQLITE_CORRUPT
}
