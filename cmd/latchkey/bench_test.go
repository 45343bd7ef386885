package main

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey"
	"latchkey/contacts"
	"latchkey/guard"
)

// BenchmarkJournal serves requests with the journal and without, side by side in
// slices of a second, and gives the share of the throughput that is left: behind
// the door is a handler that does nothing, the contacts API, or, through the
// gateway, an upstream that does nothing. The callers run on the same processors:
// of "nothing" they take the greatest part.
func BenchmarkJournal(b *testing.B) {
	slice := func(b *testing.B, url, key string) float64 {
		return (throughput(b, url, key) + throughput(b, url, key)) / 2
	}
	compareJournal(b, slice)
}

// BenchmarkJournalWrk is the same with wrk, a process of its own, as caller.
func BenchmarkJournalWrk(b *testing.B) {
	wrk, err := exec.LookPath("wrk")
	if err != nil {
		b.Skip("there is no wrk")
	}
	rate := regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)
	compareJournal(b, func(b *testing.B, url, key string) float64 {
		out, err := exec.CommandContext(b.Context(), wrk, "-t2", "-c32", "-d2s", "-H", "Authorization: Bearer "+key, url).CombinedOutput()
		found := rate.FindSubmatch(out)
		if err != nil || found == nil || bytes.Contains(out, []byte("Non-2xx")) {
			b.Fatalf("wrk: %v\n%s", err, out)
		}
		n, err := strconv.ParseFloat(string(found[1]), 64)
		if err != nil {
			b.Fatal(err)
		}
		return n
	})
}

// compareJournal measures off, on, on, off, again and again.
func compareJournal(b *testing.B, measure func(b *testing.B, url, key string) float64) {
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
	nothing := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}\n") })
	api := (&contacts.API{Store: n.store, Version: "test"}).Handler()
	upstream, err := url.Parse(serve(b, nothing))
	if err != nil {
		b.Fatal(err)
	}
	for name, behind := range map[string]func(*guard.Guard) (http.Handler, error){
		"nothing":  func(g *guard.Guard) (http.Handler, error) { return g.Wrap(nothing), nil },
		"contacts": func(g *guard.Guard) (http.Handler, error) { return g.Wrap(api), nil },
		"gateway":  func(g *guard.Guard) (http.Handler, error) { return g.Gateway(guard.Gateway{Upstream: upstream}) },
	} {
		b.Run(name, func(b *testing.B) {
			with := serveDoor(b, &guard.Guard{Authenticate: n.keyring.Authenticate, Recorder: n.diagnoser, Diagnose: n.diagnoser.Diagnose, Node: "n"}, behind)
			without := serveDoor(b, &guard.Guard{Authenticate: n.keyring.Authenticate, Node: "n"}, behind)
			key := n.first.APIKey.Reveal()
			var ratios, rates []float64
			for b.Loop() {
				off := measure(b, without, key)
				on := measure(b, with, key) + measure(b, with, key)
				off += measure(b, without, key)
				ratios, rates = append(ratios, on/off), append(rates, on/2)
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/2], "on/off")
			b.ReportMetric(slices.Max(rates), "requests/s")
		})
	}
}

func serveDoor(b *testing.B, g *guard.Guard, behind func(*guard.Guard) (http.Handler, error)) (url string) {
	handler, err := behind(g)
	if err != nil {
		b.Fatal(err)
	}
	return serve(b, handler) + "/v1/contacts"
}

func serve(b *testing.B, handler http.Handler) (origin string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := &http.Server{Handler: handler}
	go func() { _ = s.Serve(l) }()
	b.Cleanup(func() { _ = s.Close() })
	return "http://" + l.Addr().String()
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
