package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"latchkey"
	"latchkey/guard"
	"latchkey/replica"
)

// h2 is one HTTP/2 connection, of which no more is understood than streams need
// whose header comes in pieces.
type h2 struct {
	net.Conn
	in *bufio.Reader
}

// Frames of RFC 9113.
const (
	h2Headers, h2Settings, h2Continuation = 0x1, 0x4, 0x9
	h2EndStream, h2Ack, h2EndHeaders      = 0x1, 0x1, 0x4
)

func dialH2(t *testing.T, address string) *h2 {
	t.Helper()
	c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	h := &h2{Conn: c, in: bufio.NewReader(c)}
	if _, err := io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	h.frame(t, h2Settings, 0, 0, nil)
	return h
}

func (h *h2) frame(t *testing.T, kind, flags byte, stream uint32, payload []byte) {
	t.Helper()
	head := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	head = binary.BigEndian.AppendUint32(append(head, flags), stream)
	if _, err := h.Write(append(head, payload...)); err != nil {
		t.Fatal(err)
	}
}

// h2Request is a header block without compression (RFC 7541, section 6.2.2).
func h2Request(authorization string) (block []byte) {
	for _, field := range [][2]string{
		{":method", "GET"}, {":scheme", "https"}, {":path", "/v1/contacts"}, {":authority", "api.example"}, {"authorization", authorization},
	} {
		block = append(block, 0, byte(len(field[0])))
		block = append(append(block, field[0]...), byte(len(field[1])))
		block = append(block, field[1]...)
	}
	return block
}

// status reads the answer's first field, which is the status: 200 is an entry of
// the static table, and 401 is Huffman's code of it, when it comes first.
func (h *h2) status(t *testing.T, stream uint32) int {
	t.Helper()
	for {
		var head [9]byte
		if _, err := io.ReadFull(h.in, head[:]); err != nil {
			t.Fatalf("no answer on stream %d: %v", stream, err)
		}
		body := make([]byte, binary.BigEndian.Uint32(head[:4])>>8)
		if _, err := io.ReadFull(h.in, body); err != nil {
			t.Fatal(err)
		}
		switch kind := head[3]; {
		case kind == h2Settings && head[4]&h2Ack == 0:
			h.frame(t, h2Settings, h2Ack, 0, nil)
		case kind == h2Headers && binary.BigEndian.Uint32(head[5:]) == stream:
			switch {
			case bytes.HasPrefix(body, []byte{0x88}):
				return http.StatusOK
			case bytes.HasPrefix(body, []byte{0x4e, 0x82, 0x68, 0x01}):
				return http.StatusUnauthorized
			}
			t.Fatalf("stream %d is answered with the header % x", stream, body)
		}
	}
}

// slowStream holds that a stream of HTTP/2 is judged at its header's last byte: one
// whose connection, stream and field were there before a roll is refused after it.
func slowStream(t *testing.T, f *cluster) {
	certFile, keyFile := filepath.Join(f.dir, "cert.pem"), filepath.Join(f.dir, "key.pem")
	writeCertificate(t, certFile, keyFile, 1)
	f.start(t, "first")
	second := f.start(t, "second", "--tls-cert", certFile, "--tls-key", keyFile)
	old := "Bearer " + f.key(t, "first")
	block := h2Request(old)
	h := dialH2(t, strings.TrimPrefix(second.url, "https://"))
	h.frame(t, h2Headers, h2EndStream|h2EndHeaders, 1, block)
	if got := h.status(t, 1); got != http.StatusOK {
		t.Fatalf("before the roll, the key is answered %d", got)
	}
	h.frame(t, h2Headers, h2EndStream, 3, block[:len(block)-1])
	time.Sleep(20 * time.Millisecond) // for the bytes to be read
	if _, _, err := f.api("first").RollKey(t.Context(), firstTeam, 0); err != nil {
		t.Fatal(err)
	}
	h.frame(t, h2Continuation, h2EndHeaders, 3, block[len(block)-1:])
	if got := h.status(t, 3); got != http.StatusUnauthorized {
		t.Errorf("a stream whose header ended after the roll had returned is answered %d to the old key", got)
	}
}

// embedded is a customer's program that has the door inside: its arguments are
// the keyset, a directory and the lease. The tests start it as a process of its own.
func embedded() {
	if err := runEmbedded(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func runEmbedded(keyset, dir, lease string) error {
	length, err := time.ParseDuration(lease)
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	c := &nodeConfig{Database: database{URL: os.Getenv("LATCHKEY_DATABASE")}, Keyset: keyset, Data: dir, Node: "embedded", Lease: length, By: latchkey.System, Logger: logger}
	ctx, n := context.Background(), &node{}
	sealer, err := n.openStore(ctx, c)
	if err != nil {
		return err
	}
	r := &replica.Replica{Store: n.store, Leases: n.leases, Sealer: sealer, Node: c.Node, Lease: length, Logger: logger, HistoryFile: historyPath(dir)}
	if err := r.Join(ctx); err != nil {
		return err
	}
	go r.Run(ctx)
	door := &guard.Guard{Authenticate: (&latchkey.Keyring{Store: n.store, Audit: n.store, Replica: r, Sealer: sealer}).Authenticate, Logger: logger}
	server := httptest.NewServer(door.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "through") })))
	fmt.Println("latchkey: API on", server.URL, "(embedded)")
	select {}
}

// startEmbedded starts that program.
func (f *cluster) startEmbedded(t *testing.T, lease string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{Cmd: exec.CommandContext(t.Context(), self, f.keyset, t.TempDir(), lease), output: &syncBuffer{}, ended: make(chan struct{})}
	p.Args[0] = "embedded"
	p.Env = append(os.Environ(), "LATCHKEY_DATABASE="+f.database)
	p.Stdout, p.Stderr = p.output, p.output
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.err = p.Wait(); close(p.ended) }()
	t.Cleanup(p.kill)
	waitFor(t, "the embedded door", func() bool { return listening.MatchString(p.output.String()) })
	p.url = listening.FindStringSubmatch(p.output.String())[1]
	return p
}

// embeddedDoor holds that the door inside a customer's process goes by the same
// lease: paused past it, it answers what waited in its socket with 503 when it
// cannot renew, and by what was rolled meanwhile when it can.
func embeddedDoor(t *testing.T, f *cluster) {
	const lease = time.Second
	f.start(t, "first", "--lease", lease.String())
	p := f.startEmbedded(t, lease.String())
	for _, down := range []bool{false, true} {
		old := "Bearer " + f.key(t, "first")
		waitFor(t, "the embedded door to answer", func() bool { return p.status(t, old) == http.StatusOK })
		_ = p.Process.Signal(syscall.SIGSTOP)
		if _, _, err := f.api("first").RollKey(t.Context(), firstTeam, 0); err != nil {
			t.Fatal(err)
		}
		if down {
			f.server.Stop(t)
		}
		queued := make(chan int)
		go func() { queued <- p.status(t, old) }()
		time.Sleep(50 * time.Millisecond)
		_ = p.Process.Signal(syscall.SIGCONT)
		want := http.StatusUnauthorized
		if down {
			want = http.StatusServiceUnavailable
		}
		got := <-queued
		if down {
			f.server.Start(t)
		}
		if got != want && (down || got != http.StatusServiceUnavailable) { // it may renew too late on a slow machine
			t.Errorf("paused past its lease (the database is down: %v), the embedded door answers %d to the old key, must be %d", down, got, want)
		}
	}
	waitFor(t, "the embedded door to answer again", func() bool { return p.status(t, "Bearer "+f.key(t, "first")) == http.StatusOK })
}

// anotherProtocol holds that a node answers unavailable, makes no change and says what
// to do while the others keep a protocol that it does not know.
func anotherProtocol(t *testing.T, f *cluster) {
	p := f.start(t, "first", "--lease", "300ms")
	key := "Bearer " + f.key(t, "first")
	name := f.database[strings.LastIndexByte(f.database, '/')+1:]
	f.server.Exec(t, name, `UPDATE latchkey.meta SET protocol = 2`)
	waitFor(t, "the node to answer unavailable", func() bool { return p.status(t, key) == http.StatusServiceUnavailable })
	const says = "keep protocol 2, and this latchkey knows protocol 1 alone: stop it, and start the version that the other nodes run"
	if text := p.output.String(); !strings.Contains(text, says) {
		t.Errorf("the log does not say what to do: %s", text)
	}
	_, said, code := f.latchkey(t, "first", "key", "roll", firstTeam)
	if code != 1 || strings.Count(said, "\n") != 1 {
		t.Errorf("a roll through it: exit code %d, %q", code, said)
	}
	t.Logf("a roll says: %s", said)
	if _, said, code := f.latchkey(t, "nowhere", "key", "roll", firstTeam); code != 1 || !strings.Contains(said, says) {
		t.Errorf("a roll without a server: exit code %d, %q", code, said)
	}
	f.server.Exec(t, name, `UPDATE latchkey.meta SET protocol = 1`)
	waitFor(t, "the node to answer again", func() bool { return p.status(t, key) == http.StatusOK })
}
