package main

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey"
	"latchkey/contacts"
	"latchkey/guard"
)

// BenchmarkJournal serves requests with the journal and without, side by side in
// slices of a second, and gives the share of the throughput that is left. The
// callers run on the same processors.
func BenchmarkJournal(b *testing.B) {
	data := filepath.Join(b.TempDir(), "data")
	lock, err := claimDir(b.Context(), data, true)
	if err != nil {
		b.Fatal(err)
	}
	n, err := openNode(b.Context(), lock, nodeConfig{
		Data: data, Create: true, By: latchkey.System, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	defer n.Close()
	for name, next := range map[string]http.Handler{
		"nothing":  http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}\n") }),
		"contacts": (&contacts.API{Store: n.store, Version: "test"}).Handler(),
	} {
		b.Run(name, func(b *testing.B) {
			with := serveDoor(b, &guard.Guard{Authenticate: n.keyring.Authenticate, Recorder: n.diagnoser, Diagnose: n.diagnoser.Diagnose, Node: "n"}, next)
			without := serveDoor(b, &guard.Guard{Authenticate: n.keyring.Authenticate, Node: "n"}, next)
			key := n.first.APIKey.Reveal()
			var ratios, rates []float64
			for b.Loop() {
				off := throughput(b, without, key) + throughput(b, without, key)
				on := throughput(b, with, key) + throughput(b, with, key)
				off += throughput(b, without, key) + throughput(b, without, key)
				on += throughput(b, with, key) + throughput(b, with, key)
				ratios, rates = append(ratios, on/off), append(rates, on/4)
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/2], "on/off")
			b.ReportMetric(slices.Max(rates), "requests/s")
		})
	}
}

func serveDoor(b *testing.B, g *guard.Guard, next http.Handler) (url string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := &http.Server{Handler: g.Wrap(next)}
	go func() { _ = s.Serve(l) }()
	b.Cleanup(func() { _ = s.Close() })
	return "http://" + l.Addr().String() + "/v1/contacts"
}

// throughput returns how many requests a second are answered, for half a second.
func throughput(b *testing.B, url, key string) float64 {
	var count atomic.Int64
	began := time.Now()
	until := began.Add(500 * time.Millisecond)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			client := http.Client{Transport: transport}
			for time.Now().Before(until) {
				r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, nil)
				if err != nil {
					b.Error(err)
					return
				}
				r.Header.Set("Authorization", "Bearer "+key)
				response, err := client.Do(r)
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, response.Body)
				response.Body.Close()
				count.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(count.Load()) / time.Since(began).Seconds()
}
