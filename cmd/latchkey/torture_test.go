package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey"
)

// tortureKills is how often the server is killed; the requests are spread over
// its lives.
const tortureKills = 20

// tortureRequests is how many requests are answered at least: LATCHKEY_TORTURE
// may ask for more, such as 1000000.
func tortureRequests(t *testing.T) int64 {
	text := os.Getenv("LATCHKEY_TORTURE")
	if text == "" {
		return 20_000
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatalf("LATCHKEY_TORTURE: %v", err)
	}
	return n
}

// callers send requests to a server until it ends, some of which are refused,
// and note the ID of each response whose header they got.
func callAtFullSpeed(ctx context.Context, url, key string, answered *atomic.Int64, note func(id string)) {
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			transport := &http.Transport{MaxIdleConnsPerHost: 1}
			defer transport.CloseIdleConnections()
			client := http.Client{Transport: transport, Timeout: patience}
			for i := 0; ; i++ {
				r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/v1/contacts", nil)
				if err != nil {
					return
				}
				if (i+worker)%5 != 0 {
					r.Header.Set("Authorization", "Bearer "+key)
				}
				response, err := client.Do(r)
				if err != nil {
					return // it was killed
				}
				note(response.Header.Get("X-Request-Id"))
				answered.Add(1)
				_, err = io.Copy(io.Discard, response.Body)
				response.Body.Close()
				if err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestNothingIsLostToKills kills the server with SIGKILL at random moments while
// callers send requests at full speed. The ID of every response whose header
// came is found afterwards: at once, and in the end.
func TestNothingIsLostToKills(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	want := tortureRequests(t)
	p := startServer(t, data)
	key, err := runCommand(t, "--data", data, "key", "show", firstTeam)
	if err != nil {
		t.Fatal(err)
	}
	key = strings.TrimSpace(strings.SplitN(key, "\n", 2)[0])

	var (
		mu       sync.Mutex
		ids      []string
		answered atomic.Int64
	)
	note := func(id string) {
		mu.Lock()
		defer mu.Unlock()
		ids = append(ids, id)
	}
	var slowest time.Duration
	for kill := range tortureKills {
		share := want * int64(kill+1) / tortureKills
		victim := p
		go func() {
			for answered.Load() < share {
				time.Sleep(time.Millisecond)
			}
			time.Sleep(time.Duration(mathrand.Int64N(int64(20 * time.Millisecond))))
			_ = victim.Process.Kill()
		}()
		callAtFullSpeed(t.Context(), p.url, key, &answered, note)
		<-p.ended
		began := time.Now()
		p = startServer(t, data)
		slowest = max(slowest, time.Since(began))
	}
	for _, id := range ids[max(0, len(ids)-20):] { // of the life that was ended last
		if _, err := runCommand(t, "--data", data, "request", "show", id); err != nil {
			t.Errorf("an ID is not found at once after the kill: %v", err)
		}
	}
	p.kill()
	missing, unended := lookUpAll(t, data, ids)
	t.Logf("%d responses over %d kills: %d missing, %d never ended; the slowest start took %v", len(ids), tortureKills, missing, unended, slowest)
	if missing > 0 {
		t.Errorf("%d of %d records are lost", missing, len(ids))
	}
	if int64(len(ids)) < want {
		t.Errorf("only %d responses came", len(ids))
	}
}

// lookUpAll looks every ID up where no server runs.
func lookUpAll(t *testing.T, data string, ids []string) (missing, unended int) {
	t.Helper()
	lock, err := claimDir(t.Context(), data, false)
	if err != nil {
		t.Fatal(err)
	}
	n, err := openNode(t.Context(), lock, nodeConfig{Data: data, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	for _, id := range ids {
		r, err := n.records.Record(t.Context(), id)
		switch {
		case errors.Is(err, latchkey.ErrNotFound):
			if missing++; missing < 10 {
				t.Errorf("lost: %v", err)
			}
		case err != nil:
			t.Fatal(err)
		case strings.HasPrefix(r.Diagnosis, "The node stopped"):
			unended++
		}
	}
	return missing, unended
}
