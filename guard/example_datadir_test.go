package guard_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"latchkey"
	"latchkey/guard"
	"latchkey/journal"
	"latchkey/replica"
	"latchkey/sqlite"
)

// A data directory that `latchkey serve` has made, opened by a program of one's
// own. The caller that puts its key into the path is let in, and not recorded
// with it; the one whose key is cut short can be told so.
func Example_dataDirectory() {
	dir, key := newDataDirectory()
	defer os.RemoveAll(dir)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello") })
	ended := make(chan error)
	go func() { ended <- serveBehindDoor(context.Background(), dir, listener, api) }()
	call("http://"+listener.Addr().String()+"/v1/"+key, "Bearer "+key)
	call("http://"+listener.Addr().String()+"/v1", "Bearer "+key[:20])
	http.DefaultClient.CloseIdleConnections()
	_ = listener.Close()
	<-ended
	printRecords(dir)
	// Output:
	// 200 hello true
	// 401 - true
	// api-1: /v1, denied (key_checksum): The API key is cut short: it has 20 of 41 characters. Copy all of it.
	// api-1: /v1/[secret], accepted (ok):
}

// newDataDirectory makes a data directory with one team, and returns its API key.
func newDataDirectory() (dir, key string) {
	dir, err := os.MkdirTemp("", "latchkey")
	if err != nil {
		panic(err)
	}
	store, err := sqlite.Open(context.Background(), sqlite.Config{Dir: dir, Genesis: func(now time.Time) (latchkey.Genesis, error) {
		sealer, err := latchkey.CreateKeyset(filepath.Join(dir, "keyset.json"))
		if err != nil {
			return latchkey.Genesis{}, err
		}
		holding, made, err := latchkey.NewHolding(sealer, latchkey.DefaultKeyPrefix, "default", latchkey.System, now)
		if err != nil {
			return latchkey.Genesis{}, err
		}
		key = made.APIKey.Reveal()
		probe, err := sealer.Probe()
		return latchkey.Genesis{Probe: probe, Holding: holding}, err
	}})
	if err != nil {
		panic(err)
	}
	_ = store.Close()
	return dir, key
}

// printRecords prints what the records of a data directory say, newest first.
func printRecords(dir string) {
	store, err := sqlite.Open(context.Background(), sqlite.Config{Dir: dir})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	records, err := store.Records(context.Background(), latchkey.RecordQuery{})
	if err != nil {
		fmt.Println(err)
	}
	for _, r := range records {
		fmt.Printf("%s: %s, %s (%s): %s\n", r.Node, r.Path, r.Outcome, r.Reason, r.Diagnosis)
	}
}

// serveBehindDoor serves api to who holds a credential in a data directory,
// until the listener is closed.
func serveBehindDoor(ctx context.Context, dir string, listener net.Listener, api http.Handler) error {
	lock, err := os.OpenFile(filepath.Join(dir, "latchkey.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("another process uses %s: %w", dir, err)
	}
	sealer, err := latchkey.OpenKeyset(filepath.Join(dir, "keyset.json"))
	if err != nil {
		return err
	}
	store, err := sqlite.Open(ctx, sqlite.Config{Dir: dir})
	if err != nil {
		return err
	}
	defer store.Close()
	probe, err := store.Probe(ctx)
	if err == nil {
		err = sealer.CheckProbe(probe) // another store's keyset would spoil this one
	}
	if err != nil {
		return err
	}

	memory := &replica.Replica{Store: store, Sealer: sealer, Node: "api-1"}
	if err := memory.Join(ctx); err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	var upkeep sync.WaitGroup
	upkeep.Go(func() { memory.Run(running) })
	defer func() { stop(); upkeep.Wait(); _ = memory.Close() }()

	records, err := journal.Open(ctx, journal.Config{Dir: filepath.Join(dir, "journal"), Store: store, Node: "api-1"})
	if err != nil {
		return err
	}
	defer records.Close(ctx)
	keyring := &latchkey.Keyring{Store: store, Audit: store, Replica: memory, Sealer: sealer}
	diagnoser := journal.NewDiagnoser(records, keyring.Fingerprint, func(ctx context.Context, fields []string) latchkey.Explanation {
		return keyring.Explain(ctx, latchkey.Question{Fields: fields})
	})
	defer diagnoser.Close()

	door := &guard.Guard{
		Authenticate: keyring.Authenticate, Redact: keyring.Redact,
		Diagnose: diagnoser.Diagnose, Recorder: diagnoser, Node: "api-1",
	}
	server := &http.Server{Handler: door.Wrap(api), ReadHeaderTimeout: 10 * time.Second}
	return door.Serve(server, listener)
}
