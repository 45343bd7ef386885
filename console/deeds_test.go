package console

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestDeedsEnd: nobody waits for a form for longer than the request lives, nor
// for one whose request broke off.
func TestDeedsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d deeds
		release := make(chan struct{})
		go func() {
			_, _ = d.once(t.Context(), "slow", time.Now(), func() (deed, error) { <-release; return deed{id: "made"}, nil })
		}()
		synctest.Wait()
		again := func() (deed, error) { return deed{}, errors.New("the deed was done twice") }
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := d.once(ctx, "slow", time.Now(), again); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a click whose request has ended still waits for the first one: %v", err)
		}
		close(release)
		if got, err := d.once(t.Context(), "slow", time.Now(), again); err != nil || got.id != "made" {
			t.Errorf("after the first click was done, the second gets %q, %v", got.id, err)
		}

		broken := make(chan struct{})
		go func() {
			defer func() { _ = recover() }()
			_, _ = d.once(t.Context(), "broken", time.Now(), func() (deed, error) { <-broken; panic("a fault of ours") })
		}()
		synctest.Wait()
		waiting := make(chan error, 1)
		go func() {
			_, err := d.once(t.Context(), "broken", time.Now(), again)
			waiting <- err
		}()
		synctest.Wait()
		close(broken)
		synctest.Wait()
		select {
		case err := <-waiting:
			if !errors.Is(err, errDeedFailed) {
				t.Errorf("a click beside one that panicked gets %v", err)
			}
		default:
			t.Fatal("a click beside one that panicked waits for ever")
		}
		if got, err := d.once(t.Context(), "broken", time.Now(), func() (deed, error) { return deed{id: "made"}, nil }); err != nil || got.id != "made" {
			t.Errorf("after a panic, the form cannot be sent again: %v", err)
		}
	})
}
