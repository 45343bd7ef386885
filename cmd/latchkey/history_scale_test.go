package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey"
	"latchkey/postgres/postgrestest"
	"latchkey/replica"
)

// TestNodeCount prints what more nodes cost: the time of a roll, and what they
// ask of the database while nothing happens. They are nodes of one process, each
// with connections of its own; make bench runs it, and docs/protocol.md has the
// figures.
func TestNodeCount(t *testing.T) {
	if os.Getenv("LATCHKEY_ROLL_TIME") == "" {
		t.Skip("measures; make bench runs it (LATCHKEY_ROLL_TIME=1)")
	}
	pg := postgrestest.Start(t, "max_connections = 900", "shared_preload_libraries = pg_stat_statements")
	url := pg.URL(pg.NewDatabase(t))
	c := nodeConfig{Database: database{URL: url}, Keyset: filepath.Join(t.TempDir(), "keyset.json"), Data: t.TempDir(),
		Create: true, By: latchkey.System, Logger: slog.New(slog.DiscardHandler), KeyPrefix: latchkey.DefaultKeyPrefix}
	first := startMember(t, c, "n1")
	defer first.stop()
	meter := connectTo(t, url)
	if _, err := meter.Exec(t.Context(), "CREATE EXTENSION pg_stat_statements"); err != nil {
		t.Fatal(err)
	}
	t.Logf("| nodes | roll: median | 99 %% | statements a roll | statements/s at rest | database time at rest |")
	t.Logf("| --- | --- | --- | --- | --- | --- |")
	running := []*inProcess{first}
	for _, count := range []int{1, 3, 10, 30, 100} {
		var starting sync.WaitGroup
		more := make([]*inProcess, count-len(running))
		for i := range more {
			starting.Go(func() { more[i] = startMember(t, c, fmt.Sprintf("n%d", len(running)+i+1)) })
		}
		starting.Wait()
		for _, m := range more {
			defer m.stop()
		}
		running = append(running, more...)
		time.Sleep(2 * time.Second)
		const rest = 6 * time.Second
		calls, busy := statements(t, meter)
		time.Sleep(rest)
		callsAfter, busyAfter := statements(t, meter)
		idle := float64(callsAfter-calls) / rest.Seconds()
		var times []time.Duration
		began := time.Now()
		for range 60 {
			from := time.Now()
			if _, s, err := first.keyring.RollKey(t.Context(), firstTeam, 0, latchkey.System); err != nil || len(s.Confirmed) != count {
				t.Errorf("a roll with %d nodes: %d confirmed, %v", count, len(s.Confirmed), err)
			}
			times = append(times, time.Since(from))
		}
		took := time.Since(began)
		rolled, _ := statements(t, meter)
		t.Logf("| %d | %v | %v | %.0f | %.0f | %.1f ms/s |", count, quantile(times, 0.5), quantile(times, 0.99),
			(float64(rolled-callsAfter)-idle*took.Seconds())/60, idle, (busyAfter-busy)/rest.Seconds())
	}
}

// statements is how many the database has run, and for how many ms.
func statements(t *testing.T, c *pgx.Conn) (calls int64, ms float64) {
	t.Helper()
	if err := c.QueryRow(t.Context(), "SELECT sum(calls)::bigint, sum(total_exec_time) FROM pg_stat_statements").Scan(&calls, &ms); err != nil {
		t.Fatal(err)
	}
	return calls, ms
}

// An inProcess is a node without listeners and journal, in the test's process.
type inProcess struct {
	keyring *latchkey.Keyring
	stop    func()
}

func startMember(t *testing.T, c nodeConfig, name string) *inProcess {
	n := &node{name: name}
	c.Node = name
	sealer, err := n.openStore(t.Context(), &c)
	if err != nil {
		t.Error(err)
		return &inProcess{stop: func() {}}
	}
	r := &replica.Replica{Store: n.store, Leases: n.leases, Sealer: sealer, Node: name, Logger: c.Logger, HistoryFile: filepath.Join(t.TempDir(), "history")}
	if err := r.Join(t.Context()); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	return &inProcess{
		keyring: &latchkey.Keyring{Store: n.store, Audit: n.store, Replica: r, Sealer: sealer},
		stop: sync.OnceFunc(func() {
			cancel()
			running.Wait()
			_ = r.Close()
			_ = n.store.Close()
		}),
	}
}
