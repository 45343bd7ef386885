package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"latchkey/admin"
)

const (
	// startingEvery is how often the log says that the store is not open yet.
	startingEvery = 10 * time.Second
	// attendTime is how long an answer may take that says so.
	attendTime = 250 * time.Millisecond
)

// An anteroom holds the sockets of a server that is starting. A port that is bound
// must be told from one that hangs, and cannot be given back: it could be lost.
//
// Connections to the API are reset, since an answer has a request ID, and there is no
// journal yet that could keep its record. Commands and browsers are told to wait.
type anteroom struct {
	api, command, console func() // each ends what it holds, and can be called again
}

// attend holds the sockets until they are taken.
func attend(s *sockets, logger *slog.Logger) *anteroom {
	errorLog := slog.NewLogLogger(logger.Handler(), slog.LevelDebug)
	return &anteroom{
		api:     turnAway(s.api),
		command: lend(s.command, &http.Server{Handler: admin.NotYet("the server is starting; look at its log if that takes long"), ErrorLog: errorLog}),
		console: lend(s.console, &http.Server{Handler: http.HandlerFunc(notYet), TLSConfig: s.tls.Clone(), ErrorLog: errorLog}),
	}
}

// close ends whatever is held still.
func (a *anteroom) close() {
	a.api()
	a.command()
	a.console()
}

// notYet is what a browser is told.
func notYet(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = io.WriteString(w, "latchkey is starting.\n") // whoever asked has gone
}

// turnAway resets connections as they come, until stop is called.
func turnAway(ln net.Listener) (stop func()) {
	held := &lent{Listener: ln}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := held.Accept()
			switch tcp, ok := c.(*net.TCPConn); {
			case held.back() || errors.Is(err, net.ErrClosed):
				if err == nil {
					_ = c.Close()
				}
				return
			case err != nil:
				time.Sleep(10 * time.Millisecond) // out of files: whoever comes waits a little
				continue
			case ok:
				_ = tcp.SetLinger(0)
			}
			_ = c.Close()
		}
	}()
	return sync.OnceFunc(func() {
		_ = held.Close()
		<-ended
		held.restore()
	})
}

// lend serves s on a listener until stop is called. The listener stays open.
func lend(ln net.Listener, s *http.Server) (stop func()) {
	if ln == nil {
		return func() {}
	}
	s.ReadHeaderTimeout, s.ReadTimeout, s.MaxHeaderBytes = headerTimeout, headerTimeout, maxHeaderBytes
	s.SetKeepAlivesEnabled(false)
	held := &lent{Listener: ln}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if s.TLSConfig != nil {
			_ = s.ServeTLS(held, "", "")
		} else {
			_ = s.Serve(held)
		}
	}()
	return sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), attendTime)
		defer cancel()
		if s.Shutdown(ctx) != nil {
			_ = s.Close()
		}
		<-ended
		held.restore()
	})
}

// A lent listener stays open when it is closed: nothing is accepted any more until
// it is restored.
type lent struct {
	net.Listener
	mu     sync.Mutex
	closed bool
}

func (l *lent) deadline(t time.Time) {
	if d, ok := l.Listener.(interface{ SetDeadline(time.Time) error }); ok {
		_ = d.SetDeadline(t)
	}
}

// Close ends a call of Accept.
func (l *lent) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.deadline(time.Now())
	return nil
}

func (l *lent) back() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

func (l *lent) restore() { l.deadline(time.Time{}) }

// open opens the node, and says again and again that this is not done.
func (c *serveCmd) open(ctx context.Context, g *globals, lock *os.File, sockets *sockets, logger *slog.Logger) (*node, error) {
	opened := make(chan struct{})
	defer close(opened)
	go func() {
		began := time.Now()
		for tick := time.NewTicker(startingEvery); ; {
			select {
			case <-opened:
				tick.Stop()
				return
			case <-tick.C:
				logger.Warn("this node is starting still: the store is not open", "since", time.Since(began).Round(time.Second).String())
			}
		}
	}()
	return openNode(ctx, lock, c.node(g, sockets, logger))
}

// A stoppedError is why a start was broken off.
type stoppedError struct{ signal os.Signal }

func (e *stoppedError) Error() string { return signalName(e.signal) + " before the start was done" }

// until returns a context that ends with a signal, which stays in the channel: a
// start may wait for other nodes, or for a database.
func until(ctx context.Context, signals chan os.Signal) (starting context.Context, started func()) {
	starting, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case got := <-signals:
			cancel(&stoppedError{got})
			signals <- got
		case <-done:
		}
	}()
	return starting, sync.OnceFunc(func() { close(done); <-ended })
}

// notStarted is the end of a server that did not start. One that was told to stop
// has not failed; what it waited for is said all the same.
func notStarted(starting context.Context, err error) error {
	var stopped *stoppedError
	if !errors.As(context.Cause(starting), &stopped) {
		return err
	}
	fmt.Fprintf(os.Stderr, "latchkey: %s: stopped before it had started: %s\n", signalName(stopped.signal), oneLine(err))
	return nil
}
