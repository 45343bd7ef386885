package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"latchkey"
)

const contactColumns = `id, first, last, display_name, email, phone, custom, created, updated, rev`

// scanContact reads contactColumns.
func scanContact(row interface{ Scan(...any) error }) (latchkey.Contact, error) {
	var (
		c                latchkey.Contact
		custom           string
		created, updated int64
	)
	err := row.Scan(&c.ID, &c.First, &c.Last, &c.DisplayName, &c.Email, &c.Phone, &custom, &created, &updated, &c.Rev)
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
	var made latchkey.Contact
	err := s.credentials.change(ctx, func(conn *sql.Conn) error {
		made = keptContact(c)
		made.Created, made.Rev = s.now(), 1
		made.Updated = made.Created
		custom, err := json.Marshal(made.Custom)
		if err != nil {
			return err
		}
		err = conn.QueryRowContext(ctx, `
			INSERT INTO contacts (team_id, first, last, display_name, email, phone, custom, created, updated, rev)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`,
			text(teamID), made.First, made.Last, made.DisplayName, made.Email, made.Phone, string(custom),
			made.Created.UnixMicro(), made.Updated.UnixMicro(), made.Rev).
			Scan(&made.ID)
		if err != nil {
			return s.credentials.fault("create contact", err)
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
	return s.contact(ctx, s.credentials.read, teamID, id)
}

func (s *Store) contact(ctx context.Context, q querier, teamID string, id int64) (latchkey.Contact, error) {
	c, err := scanContact(q.QueryRowContext(ctx,
		`SELECT `+contactColumns+` FROM contacts WHERE id = ? AND team_id = ?`, id, text(teamID)))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return latchkey.Contact{}, noContact(id)
	case err != nil:
		return latchkey.Contact{}, s.credentials.fault("read contact", err)
	}
	return c, nil
}

// UpdateContact alters a contact in one transaction.
func (s *Store) UpdateContact(ctx context.Context, teamID string, id int64, edit func(*latchkey.Contact) error) (latchkey.Contact, error) {
	var after latchkey.Contact
	err := s.credentials.change(ctx, func(conn *sql.Conn) error {
		before, err := s.contact(ctx, conn, teamID, id)
		if err != nil {
			return err
		}
		c := before
		if err := edit(&c); err != nil {
			return err
		}
		after = keptContact(c)
		after.ID, after.Created, after.Rev = before.ID, before.Created, before.Rev+1
		after.Updated = s.now()
		custom, err := json.Marshal(after.Custom)
		if err != nil {
			return err
		}
		_, err = conn.ExecContext(ctx, `
			UPDATE contacts SET first = ?, last = ?, display_name = ?, email = ?, phone = ?, custom = ?, updated = ?, rev = ?
			WHERE id = ?`,
			after.First, after.Last, after.DisplayName, after.Email, after.Phone, string(custom),
			after.Updated.UnixMicro(), after.Rev, id)
		if err != nil {
			return s.credentials.fault("update contact", err)
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
	return s.credentials.change(ctx, func(conn *sql.Conn) error {
		done, err := conn.ExecContext(ctx, `DELETE FROM contacts WHERE id = ? AND team_id = ?`, id, text(teamID))
		if err != nil {
			return s.credentials.fault("delete contact", err)
		}
		n, err := done.RowsAffected()
		if err != nil {
			return s.credentials.fault("delete contact", err)
		}
		if n == 0 {
			return noContact(id)
		}
		return nil
	})
}

// Contacts returns at most limit contacts of a team with an ID below before,
// newest first.
func (s *Store) Contacts(ctx context.Context, teamID string, before int64, limit int) ([]latchkey.Contact, error) {
	list, err := s.contactsBefore(ctx, teamID, before, limit)
	if err != nil {
		return nil, s.credentials.fault("read contacts", err)
	}
	return list, nil
}

func (s *Store) contactsBefore(ctx context.Context, teamID string, before int64, limit int) ([]latchkey.Contact, error) {
	// To SQLite a negative limit is none.
	rows, err := s.credentials.read.QueryContext(ctx, `
		SELECT `+contactColumns+` FROM contacts
		WHERE team_id = ?1 AND (?2 = 0 OR id < ?2)
		ORDER BY id DESC LIMIT ?3`, text(teamID), before, max(limit, 0))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []latchkey.Contact
	for rows.Next() {
		c, err := scanContact(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, rows.Err()
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
