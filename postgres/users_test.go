package postgres

import (
	"crypto/rand"
	"errors"
	"sync"
	"testing"
	"time"

	"latchkey"
)

// TestAdminsEndEachOther: an edit may read the store, and what it reads stays true
// until it is committed: of two admins who demote each other through two nodes
// one stays.
func TestAdminsEndEachOther(t *testing.T) {
	a, b := twoNodes(t)
	errLast := errors.New("the last admin")
	for range 10 {
		team := "team_" + rand.Text()
		var admins [2]latchkey.User
		for i := range admins {
			admins[i] = latchkey.User{ID: latchkey.NewUserID(), Email: latchkey.NewUserID() + "@example.com", TeamID: team,
				Role: latchkey.RoleAdmin, Password: "$argon2id$", Epoch: 1, Created: time.Now(), CreatedBy: "test"}
			if err := a.CreateUser(t.Context(), admins[i], nil); err != nil {
				t.Fatal(err)
			}
		}
		demote := func(s *Store, id string) error {
			_, err := s.UpdateUser(t.Context(), id, func(u *latchkey.User) error {
				users, err := s.Users(t.Context(), team)
				if err != nil {
					return err
				}
				others := 0
				for _, o := range users {
					if o.ID != id && o.Role == latchkey.RoleAdmin {
						others++
					}
				}
				if others == 0 {
					return errLast
				}
				u.Role = latchkey.RoleMember
				return nil
			})
			return err
		}
		var errs [4]error
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { errs[i] = demote([]*Store{a, b}[i%2], admins[i/2].ID) })
		}
		wg.Wait()
		for _, err := range errs {
			if err != nil && err != errLast {
				t.Errorf("demote: %v", err)
			}
		}
		users, err := b.Users(t.Context(), team)
		if err != nil {
			t.Fatal(err)
		}
		left := 0
		for _, u := range users {
			if u.Role == latchkey.RoleAdmin {
				left++
			}
		}
		if left != 1 {
			t.Fatalf("%d admins are left, must be 1: %v", left, errs)
		}
	}
}
