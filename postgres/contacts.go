package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/jackc/pgx/v5"

	"latchkey"
)

const contactColumns = `id, first, last, display_name, email, phone, custom, created, updated, rev`

// scanContact reads contactColumns.
func scanContact(row pgx.Row) (c latchkey.Contact, err error) {
	var (
		custom           string
		created, updated int64
	)
	err = row.Scan(&c.ID, &c.First, &c.Last, &c.DisplayName, &c.Email, &c.Phone, &custom, &created, &updated, &c.Rev)
	if err != nil {
		return c, err
	}
	c.Created, c.Updated = fromMicros(created), fromMicros(updated)
	if err := json.Unmarshal([]byte(custom), &c.Custom); err != nil {
		return c, fmt.Errorf("custom fields of contact %d: %w", c.ID, err)
	}
	return c, nil
}

// CreateContact adds c under an ID of its own.
func (s *Store) CreateContact(ctx context.Context, teamID string, c latchkey.Contact) (latchkey.Contact, error) {
	c = keptContact(c)
	custom, err := json.Marshal(c.Custom)
	if err != nil {
		return latchkey.Contact{}, fault("create contact", err)
	}
	var made latchkey.Contact
	err = s.change(ctx, func(tx pgx.Tx) error {
		made, err = scanContact(tx.QueryRow(ctx, `
			INSERT INTO contacts (team_id, first, last, display_name, email, phone, custom, created, updated, rev)
			SELECT $1, $2, $3, $4, $5, $6, $7, now, now, 1 FROM (SELECT coalesce($8, latchkey_now()) AS now) AS clock
			RETURNING `+contactColumns,
			text(teamID), c.First, c.Last, c.DisplayName, c.Email, c.Phone, string(custom), s.now()))
		if err != nil {
			return fault("create contact", err)
		}
		return nil
	})
	if err != nil {
		return latchkey.Contact{}, err
	}
	return made, nil
}

// Contact returns a contact of a team.
func (s *Store) Contact(ctx context.Context, teamID string, id int64) (latchkey.Contact, error) {
	return contact(ctx, s.pool, teamID, id, ``)
}

func contact(ctx context.Context, q querier, teamID string, id int64, lock string) (latchkey.Contact, error) {
	c, err := scanContact(q.QueryRow(ctx,
		`SELECT `+contactColumns+` FROM contacts WHERE id = $1 AND team_id = $2 `+lock, id, text(teamID)))
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return latchkey.Contact{}, noContact(id)
	case err != nil:
		return latchkey.Contact{}, fault("read contact", err)
	}
	return c, nil
}

// UpdateContact alters a contact in one transaction.
func (s *Store) UpdateContact(ctx context.Context, teamID string, id int64, edit func(*latchkey.Contact) error) (latchkey.Contact, error) {
	var after latchkey.Contact
	err := s.change(ctx, func(tx pgx.Tx) error {
		c, err := contact(ctx, tx, teamID, id, `FOR UPDATE`)
		if err != nil {
			return err
		}
		if err := edit(&c); err != nil {
			return err
		}
		c = keptContact(c)
		custom, err := json.Marshal(c.Custom)
		if err == nil {
			after, err = scanContact(tx.QueryRow(ctx, `
				UPDATE contacts SET first = $2, last = $3, display_name = $4, email = $5, phone = $6, custom = $7,
					updated = coalesce($8, latchkey_now()), rev = rev + 1
				WHERE id = $1 AND team_id = $9 RETURNING `+contactColumns,
				id, c.First, c.Last, c.DisplayName, c.Email, c.Phone, string(custom), s.now(), text(teamID)))
		}
		if err != nil {
			return fault("update contact", err)
		}
		return nil
	})
	if err != nil {
		return latchkey.Contact{}, err
	}
	return after, nil
}

// DeleteContact removes a contact of a team.
func (s *Store) DeleteContact(ctx context.Context, teamID string, id int64) error {
	return s.change(ctx, func(tx pgx.Tx) error {
		done, err := tx.Exec(ctx, `DELETE FROM contacts WHERE id = $1 AND team_id = $2`, id, text(teamID))
		switch {
		case err != nil:
			return fault("delete contact", err)
		case done.RowsAffected() == 0:
			return noContact(id)
		}
		return nil
	})
}

// pageOfContacts begins in the index where the page before ended.
const pageOfContacts = `
	SELECT ` + contactColumns + ` FROM contacts WHERE team_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3`

// Contacts returns at most limit contacts of a team with an ID below before,
// newest first.
func (s *Store) Contacts(ctx context.Context, teamID string, before int64, limit int) ([]latchkey.Contact, error) {
	if before == 0 {
		before = math.MaxInt64
	}
	rows, err := s.pool.Query(ctx, pageOfContacts, text(teamID), before, max(limit, 0))
	if err != nil {
		return nil, fault("read contacts", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (latchkey.Contact, error) { return scanContact(row) })
	if err != nil {
		return nil, fault("read contacts", err)
	}
	return list, nil
}

func noContact(id int64) error {
	return latchkey.NotFound("contact", strconv.FormatInt(id, 10))
}

// keptContact returns c as it is kept. Its map is its own, and never nil.
func keptContact(c latchkey.Contact) latchkey.Contact {
	for _, s := range []*string{&c.First, &c.Last, &c.DisplayName, &c.Email, &c.Phone} {
		*s = text(*s)
	}
	custom := make(map[string]string, len(c.Custom))
	for name, value := range c.Custom {
		custom[text(name)] = text(value)
	}
	c.Custom = custom
	return c
}
