package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// opsFlags are the flags of the listener for those who watch the server.
type opsFlags struct {
	Ops         string `env:"LATCHKEY_OPS" placeholder:"ADDR" help:"Address for /metrics (Prometheus), /healthz and /readyz. There is no login: other than loopback it needs --ops-insecure. Default: off."`
	OpsInsecure bool   `env:"LATCHKEY_OPS_INSECURE" help:"Let whoever reaches the address of --ops read it, in clear text. It shows no credential and no team."`
}

// check finds what is wrong with the flags.
func (c *opsFlags) check() error {
	if c.Ops == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(c.Ops)
	if err != nil {
		return usageError("--ops %q is not HOST:PORT", c.Ops)
	}
	if !c.OpsInsecure && !isLoopback(host) {
		return usageError("--ops %s is not loopback: whoever reaches it could read the metrics (give --ops-insecure if only those who may can reach it)", c.Ops)
	}
	return nil
}

// listenOps returns nil if the listener is off.
func (c *opsFlags) listenOps() (net.Listener, error) {
	if c.Ops == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", c.Ops)
	if err != nil {
		return nil, fmt.Errorf("listen for --ops: %w", err)
	}
	return l, nil
}

// An opsServer answers those who watch the server. A nil one does nothing.
type opsServer struct {
	health  *health
	metrics *metrics
	server  *http.Server
	ln      net.Listener
	failed  chan error
}

// newOps returns the server of a socket, or nil. It knows no node yet.
func newOps(ln net.Listener, logger *slog.Logger) *opsServer {
	if ln == nil {
		return nil
	}
	s := &opsServer{health: &health{}, ln: ln, failed: make(chan error, 1)}
	s.metrics = newMetrics(s.health)
	errorLog := slog.NewLogLogger(logger.Handler(), slog.LevelWarn)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{ErrorLog: errorLog, MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeStanding(w, http.StatusOK, standing{OK: true})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		ready := s.health.ready()
		if !ready.OK {
			writeStanding(w, http.StatusServiceUnavailable, ready)
			return
		}
		writeStanding(w, http.StatusOK, ready)
	})
	s.server = &http.Server{
		Handler: mux, ErrorLog: errorLog, ReadHeaderTimeout: headerTimeout, ReadTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
	}
	return s
}

// serve begins to answer: a server that is starting is alive.
func (s *opsServer) serve() {
	if s != nil {
		go func() { s.failed <- s.server.Serve(s.ln) }()
	}
}

// failure tells why it answers no more.
func (s *opsServer) failure() <-chan error {
	if s == nil {
		return nil
	}
	return s.failed
}

// watch begins to count a node's records and changes, before it has any.
func (s *opsServer) watch(n *node) {
	if s == nil {
		return
	}
	n.recorder = &countingRecorder{n.recorder, s.metrics}
	n.keyring.Observe = s.metrics.observe
	s.health.node.Store(n)
}

// started makes /readyz say how the node stands.
func (s *opsServer) started() {
	if s != nil {
		s.health.started.Store(true)
	}
}

// A standing is what /healthz and /readyz answer.
type standing struct {
	OK       bool     `json:"ok"`
	Reasons  []string `json:"reasons,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

func writeStanding(w http.ResponseWriter, status int, s standing) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(s) // whoever asked has gone
}

// announce says where it is.
func (s *opsServer) announce() {
	if s != nil {
		fmt.Fprintf(os.Stderr, "latchkey: metrics on http://%s/metrics\n", s.ln.Addr())
	}
}

// stopping makes /readyz send requests elsewhere.
func (s *opsServer) stopping() {
	if s != nil {
		s.health.stopping.Store(true)
	}
}

// close ends it.
func (s *opsServer) close() {
	if s != nil {
		_ = s.server.Close()
	}
}
