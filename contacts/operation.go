package contacts

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"latchkey"
)

// The questions and answers, as huma reads and writes them.
type (
	byID struct {
		ID string `path:"id"`
	}
	page struct {
		Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"50" doc:"How many contacts to answer at most."`
		Cursor string `query:"cursor" doc:"Where to go on: next_cursor of the page before. Without it, the list begins at the newest."`
	}
	sent struct {
		Body draft
	}
	replacement struct {
		ID   string `path:"id"`
		Body draft
	}

	list struct {
		Body contactList
	}
	contactList struct {
		_          struct{}  `additionalProperties:"true"`
		Contacts   []contact `json:"contacts" nullable:"false" doc:"Newest first, that is with falling IDs."`
		NextCursor *string   `json:"next_cursor" doc:"Send it as cursor to get the page after this one; null: there is none." example:"AQAAAAAAAAAq"`
	}
	one struct {
		Body contact
	}
	created struct {
		Location string `header:"Location" doc:"The path of the new contact." example:"/v1/contact/42"`
		Body     contact
	}
	nothing struct{}
)

// register adds an operation. It gets the team from the principal, and its
// errors reach package problem as they are.
func register[I, O any](api huma.API, op huma.Operation, handle func(context.Context, string, *I) (*O, error)) {
	huma.Register(api, op, func(ctx context.Context, in *I) (*O, error) {
		team, err := teamOf(ctx)
		if err != nil {
			return nil, failure{err}
		}
		out, err := handle(ctx, team, in)
		if err != nil {
			return nil, failure{err}
		}
		return out, nil
	})
}

// teamOf returns the team that a request comes from. There is no zero team.
func teamOf(ctx context.Context) (string, error) {
	if p, ok := latchkey.PrincipalFrom(ctx); ok && p.TeamID != "" {
		return p.TeamID, nil
	}
	return "", errors.New("a request without a principal came to the contacts API")
}

func (a *API) list(ctx context.Context, team string, in *page) (*list, error) {
	var before int64
	if in.Cursor != "" {
		var err error
		if before, err = parseCursor(in.Cursor); err != nil {
			return nil, err
		}
	}
	// One more than asked for tells whether there is a page after this one.
	found, err := a.Store.Contacts(ctx, team, before, in.Limit+1)
	if err != nil {
		return nil, fault(err)
	}
	out := &list{Body: contactList{Contacts: []contact{}}}
	for i := range found[:min(len(found), in.Limit)] {
		out.Body.Contacts = append(out.Body.Contacts, answered(&found[i]))
	}
	if len(found) > in.Limit {
		next := formatCursor(found[in.Limit-1].ID)
		out.Body.NextCursor = &next
	}
	return out, nil
}

func (a *API) create(ctx context.Context, team string, in *sent) (*created, error) {
	if wrong := in.Body.problems(); len(wrong) > 0 {
		return nil, refuse(wrong)
	}
	var c latchkey.Contact
	in.Body.put(&c)
	c, err := a.Store.CreateContact(ctx, team, c)
	if err != nil {
		return nil, fault(err)
	}
	return &created{Location: "/v1/contact/" + strconv.FormatInt(c.ID, 10), Body: answered(&c)}, nil
}

func (a *API) read(ctx context.Context, team string, in *byID) (*one, error) {
	id, err := contactID(in.ID)
	if err != nil {
		return nil, err
	}
	c, err := a.Store.Contact(ctx, team, id)
	if err != nil {
		return nil, fault(err)
	}
	return &one{answered(&c)}, nil
}

// errRevision is also the description's example of a mistake in a PUT.
var errRevision = &latchkey.InvalidError{Field: "rev", Problem: "is not the current one: the contact has changed since; read it again"}

func (a *API) replace(ctx context.Context, team string, in *replacement) (*one, error) {
	id, err := contactID(in.ID)
	if err != nil {
		return nil, err
	}
	if wrong := in.Body.problems(); len(wrong) > 0 {
		return nil, refuse(wrong)
	}
	c, err := a.Store.UpdateContact(ctx, team, id, func(c *latchkey.Contact) error {
		if in.Body.Rev != nil && *in.Body.Rev != c.Rev {
			return errRevision
		}
		in.Body.put(c)
		return nil
	})
	if err != nil {
		return nil, fault(err)
	}
	return &one{answered(&c)}, nil
}

func (a *API) delete(ctx context.Context, team string, in *byID) (*nothing, error) {
	id, err := contactID(in.ID)
	if err != nil {
		return nil, err
	}
	if err := a.Store.DeleteContact(ctx, team, id); err != nil {
		return nil, fault(err)
	}
	return &nothing{}, nil
}

// contactID reads the ID in a path. What cannot be one is not found, and so is
// a second spelling such as 007: a contact has one path.
func contactID(s string) (int64, error) {
	id, err := strconv.ParseInt(s, 10, 64)
	if err != nil || id < 1 || strconv.FormatInt(id, 10) != s {
		return 0, errNoContact
	}
	return id, nil
}

// fault says what an error of the store means to the caller. What the store does
// not explain is "could not find out", or, if it says so, an unknown outcome.
func fault(err error) error {
	var (
		wrong       *latchkey.InvalidError
		unavailable *latchkey.Unavailable
	)
	switch {
	case errors.As(err, &unavailable), errors.As(err, &wrong):
		return err
	case errors.Is(err, latchkey.ErrNotFound):
		return errNoContact
	}
	return &latchkey.Unavailable{Reason: latchkey.ReasonStoreUnavailable, Err: fmt.Errorf("keep contacts: %w", err)}
}
