package postgres

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"latchkey"
)

// The SQLSTATEs that are asked for by name.
const (
	stateUnique    = "23505" // unique_violation
	stateSerialize = "40001" // serialization_failure
	statePremise   = "LK001" // of latchkey_expect
	stateProtocol  = "LK002" // of latchkey_keeps
)

// A conflict is latchkey.ErrConflict in words for people. They never hold a
// value.
type conflict string

func (c conflict) Error() string { return string(c) }
func (c conflict) Unwrap() error { return latchkey.ErrConflict }

// state returns the SQLSTATE of an error; empty if it is none of the database's.
func state(err error) string {
	var answer *pgconn.PgError
	if !errors.As(err, &answer) {
		return ""
	}
	return answer.Code
}

// taken reports whether err says that a value is there already which the index
// or constraint says is there once.
func taken(err error, constraint string) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && answer.Code == stateUnique && answer.ConstraintName == constraint
}

// teamError explains why a team could not be written.
func teamError(err error, t *latchkey.Team) error {
	switch {
	case taken(err, "teams_name"):
		return conflict(fmt.Sprintf("a team named %q exists already", t.Name))
	case taken(err, "teams_id"):
		return conflict("a team with this ID is or was there already")
	}
	return fmt.Errorf("write team %s: %w", t.ID, err)
}

// credentialError explains why a credential could not be written.
func credentialError(err error, c *latchkey.Credential) error {
	switch {
	case taken(err, "credentials_digest"):
		return conflict("this key is or was in use already")
	case taken(err, "credentials_id") && c.Kind == latchkey.KindAPISecret:
		return conflict("an API secret with this ID is or was in use already")
	case taken(err, "credentials_id"):
		return conflict("a key with this ID is or was in use already")
	}
	return fmt.Errorf("write %s %s: %w", c.Kind, c.ID, err)
}
