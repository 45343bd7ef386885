package main

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/postgres/postgrestest"
)

// TestWire holds that the proxy stands still where it says it does: a roll that
// is lost before its COMMIT was not made, one that is lost after it was.
func TestWire(t *testing.T) {
	pg := postgrestest.Start(t)
	name := pg.NewDatabase(t)
	w := newWire(t, pg.Address())
	url := strings.Replace(pg.TCP(name), pg.Address(), w.addr(), 1) + "?sslmode=disable"
	pg.Exec(t, name, "CREATE TABLE credential (n int)", "CREATE TABLE registration (n int)")
	rows := func() (n int) {
		c := connectTo(t, pg.URL(name))
		if err := c.QueryRow(t.Context(), "SELECT count(*) FROM credential").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, pipeline := range []bool{false, true} {
		for _, c := range []struct {
			at   point
			made int
		}{{between, 0}, {commit, 0}, {committed, 1}, {answered, 1}, {listing, 1}, {listed, 1}} {
			before := rows()
			tr := w.arm(c.at)
			conn := connectTo(t, url)
			var rolling sync.WaitGroup
			rolling.Go(func() {
				if rollByHand(t.Context(), conn, pipeline) == nil {
					_, _ = conn.Exec(t.Context(), "SELECT n FROM registration ORDER BY n")
				}
			})
			select {
			case <-tr.reached:
			case <-time.After(longPatience):
				w.disarm(tr)
				w.reset()
				rolling.Wait() // it uses the connection
				t.Fatalf("%v (pipeline %v): no roll came there", c.at, pipeline)
			}
			tr.letGo(false)
			rolling.Wait()
			if got := rows() - before; got != c.made {
				t.Errorf("lost %v (pipeline %v): %d rolls were made, must be %d", c.at, pipeline, got, c.made)
			}
		}
	}
}

// A check is a writer that looks when something is written.
type check func()

func (c check) Write(b []byte) (int, error) { c(); return len(b), nil }

// TestWireKnowsARollByItsAnswer holds that a roll is known to be committed before
// the node has the answer: it may ask for its list at once, and that is the list
// of a roll.
func TestWireKnowsARollByItsAnswer(t *testing.T) {
	w := newWire(t, "")
	w.arm(listing)
	c := &wireConn{wire: w, ctx: t.Context()}
	in := make(chan parcel, 1)
	in <- parcel{bytes: []byte("Z"), came: time.Now(), before: committed, after: answered}
	close(in)
	written := false
	c.deliver(in, check(func() { written = w.rolled.Load() }), false)
	if !written {
		t.Error("the answer to a COMMIT is passed on before the wire knows of the roll")
	}
}

func connectTo(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

func rollByHand(ctx context.Context, c *pgx.Conn, pipeline bool) error {
	if pipeline {
		b := &pgx.Batch{}
		b.Queue("BEGIN")
		b.Queue("INSERT INTO credential VALUES ($1)", 1)
		b.Queue("COMMIT")
		return c.SendBatch(ctx, b).Close()
	}
	tx, err := c.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if _, err := tx.Exec(ctx, "INSERT INTO credential VALUES ($1)", 1); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// TestWireWeather holds that a cut wire carries nothing until it is mended, and
// then what was kept.
func TestWireWeather(t *testing.T) {
	pg := postgrestest.Start(t)
	w := newWire(t, pg.Address())
	c := connectTo(t, strings.Replace(pg.TCP("postgres"), pg.Address(), w.addr(), 1)+"?sslmode=disable")
	for rule, now := range map[string]weather{"both ways": {cutUp: true, cutDown: true}, "up": {cutUp: true}, "down": {cutDown: true}} {
		w.set(now)
		done := make(chan error, 1)
		go func() {
			_, err := c.Exec(t.Context(), "SELECT 1")
			done <- err
		}()
		select {
		case err := <-done:
			t.Fatalf("cut %s: a question was answered: %v", rule, err)
		case <-time.After(100 * time.Millisecond):
		}
		w.set(weather{})
		if err := <-done; err != nil {
			t.Errorf("cut %s and mended: %v", rule, err)
		}
	}
	began := time.Now()
	w.set(weather{delay: 50 * time.Millisecond})
	if _, err := c.Exec(t.Context(), "SELECT 1"); err != nil || time.Since(began) < 100*time.Millisecond {
		t.Errorf("a delay of 50 ms each way: answered after %v, %v", time.Since(began), err)
	}
	w.set(weather{})
	w.reset()
	if _, err := c.Exec(t.Context(), "SELECT 1"); err == nil {
		t.Error("a connection outlives a RST")
	}
}
