package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"latchkey"
	"latchkey/admin"
)

const (
	// identifyTime bounds how long a node's record of an answer is waited for:
	// nodes hand theirs in each second.
	identifyTime = 5 * time.Second
	// identifyEvery is how often it is looked for.
	identifyEvery = 100 * time.Millisecond
)

// shareAddress is the mend where nodes cannot be told apart.
const shareAddress = "give each the address by which other machines reach it: latchkey serve --advertise"

// nodesOf tells nodes from what stands for lost ones.
func nodesOf(list []admin.Node) (nodes, lost []admin.Node) {
	for _, n := range list {
		if n.State == admin.NodeLost {
			lost = append(lost, n)
		} else {
			nodes = append(nodes, n)
		}
	}
	return nodes, lost
}

// targetsOf returns the nodes that advertise an address, and the names of those
// that do not. Two nodes of one address are an error: whoever answers there, the
// other one would be certified without being asked.
func targetsOf(nodes []admin.Node) (targets []*target, silent []string, err error) {
	owner := make(map[string]string, len(nodes)) // of an address
	for _, n := range nodes {
		if n.Address == "" {
			silent = append(silent, n.Name)
			continue
		}
		at := origin(n.Address)
		other, taken := owner[at]
		switch {
		case taken && other == n.Name:
			continue // what it was before it was started again
		case taken:
			return nil, nil, fmt.Errorf("the nodes %s and %s advertise the same address, %s: %s", other, n.Name, n.Address, shareAddress)
		}
		owner[at] = n.Name
		targets = append(targets, newTarget(n.Name, n.Address))
	}
	return targets, silent, nil
}

// origin writes an address as all spellings of it are written.
func origin(address string) string {
	u, err := url.Parse(strings.TrimSuffix(address, "/"))
	if err != nil || u.Host == "" {
		return address
	}
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// identify asks each node for an answer, and goes by the record of that answer:
// it says which node made it. A node at whose address another one answers is an
// error: loopback is the same address on every machine. Where nobody answers, or
// no record comes, nothing is known, and the result says so. An answer that is not
// latchkey's is an error: whatever it said of a key, it would be no verdict.
func (c *canary) identify(ctx context.Context, record func(context.Context, string) (latchkey.Record, error)) error {
	failed := make([]error, len(c.targets))
	var asked sync.WaitGroup
	for i, t := range c.targets {
		asked.Go(func() {
			status, header, err := t.get(ctx, c.path, "")
			if err != nil {
				return // the requests that follow say the same
			}
			id, ours := requestIDOf(header)
			if !ours {
				failed[i] = fmt.Errorf("no latchkey answers at %s, which node %s advertises: the answer, %d, has no request ID: %s", t.address, t.name, status, shareAddress)
				return
			}
			made, found := await(ctx, id, record)
			switch {
			case found && made.Node == t.name:
				t.counts.Identified = true
			case found:
				failed[i] = fmt.Errorf("node %s advertises %s, but node %s answers there: %s", t.name, t.address, made.Node, shareAddress)
			}
		})
	}
	asked.Wait()
	return errors.Join(failed...)
}

// requestIDOf returns the request ID of an answer. All of latchkey's have one, a
// UUIDv7; without it, something else has answered, such as what is in front of it.
func requestIDOf(header http.Header) (id string, ours bool) {
	parsed, err := uuid.Parse(header.Get("X-Request-Id"))
	return parsed.String(), err == nil && parsed.Version() == 7
}

// await looks for a record until it is there, or for [identifyTime].
func await(ctx context.Context, id string, record func(context.Context, string) (latchkey.Record, error)) (made latchkey.Record, found bool) {
	ctx, cancel := context.WithTimeout(ctx, identifyTime)
	defer cancel()
	for {
		made, err := record(ctx, id)
		if err == nil {
			return made, true
		}
		if !errors.Is(err, latchkey.ErrNotFound) || !wait(ctx, identifyEvery) {
			return latchkey.Record{}, false
		}
	}
}

// get asks a node for a path, with a key if there is one. The error holds no key.
func (t *target) get(ctx context.Context, path, key string) (status int, header http.Header, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, t.address+path, nil)
	if err != nil {
		return 0, nil, errors.New("its address and the path make no URL")
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	r.Header.Set("User-Agent", "latchkey-canary/"+version())
	answer, err := t.client.Do(r)
	if err != nil {
		return 0, nil, fmt.Errorf("no answer: %w", err)
	}
	drain(answer.Body)
	return answer.StatusCode, answer.Header, nil
}
