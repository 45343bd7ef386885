package main

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"

	"latchkey"
	"latchkey/admin"
	"latchkey/replica"
)

// management is the API that commands speak, of this node.
func (n *node) management(consoleURL string, logger *slog.Logger) *admin.API {
	a := &admin.API{
		Keyring: n.keyring, Records: n.records, Users: n.store, ConsoleURL: consoleURL, Version: version(), Logger: logger,
		Nodes: n.nodes, Lacking: n.lacking,
	}
	if n.leases != nil {
		a.Database, a.AcceptHistory = n.database.String(), n.leases.AcceptHistory
	}
	return a
}

// nodes lists the nodes of the cluster by name, or this one. A server that cannot read
// them knows itself all the same: it is returned beside the error.
func (n *node) nodes(ctx context.Context) ([]admin.Node, error) {
	mine := n.replica.Status()
	if n.leases == nil {
		if !n.serves {
			return nil, nil // a command, and no server
		}
		return []admin.Node{n.self(mine)}, nil
	}
	list, err := n.leases.Registrations(ctx)
	if err != nil && n.serves {
		return []admin.Node{n.self(mine)}, err
	}
	if err != nil {
		return nil, err
	}
	var nodes []admin.Node
	seen := false
	for _, g := range list {
		if g.ID == mine.Registration.ID {
			nodes, seen = append(nodes, n.self(mine)), true
			continue
		}
		nodes = append(nodes, nodeOf(g))
	}
	if !seen && n.serves {
		nodes = append(nodes, n.self(mine)) // cut off, or its registration is just being made
	}
	slices.SortStableFunc(nodes, func(a, b admin.Node) int { return strings.Compare(a.Name, b.Name) })
	return nodes, nil
}

// nodeStates are the states that a node can be in.
func nodeStates() []string {
	return []string{admin.NodeAnswering, admin.NodeStarting, admin.NodeSilent, admin.NodeStale, admin.NodeUnavailable, admin.NodeLost}
}

// self is this node: it knows its own lease.
func (n *node) self(s replica.Status) admin.Node {
	a := admin.Node{
		Name: n.name, Address: n.address, Version: version(), Revision: int64(s.Revision), State: admin.NodeUnavailable,
	}
	if n.leases != nil {
		a.LeaseMS, a.StaleOKMS = cmp.Or(n.replica.Lease, latchkey.DefaultLease).Milliseconds(), n.replica.StaleOK.Milliseconds()
	}
	switch lease := s.Remaining - s.Stale; {
	case s.Remaining == replica.Endless:
		a.State = admin.NodeAnswering
	case lease > 0:
		a.State, a.RemainingMS = admin.NodeAnswering, lease.Milliseconds()
	case s.Stale > 0:
		a.State, a.StaleMS = admin.NodeStale, s.Stale.Milliseconds()
	case n.leases != nil && !n.joined.Load():
		a.State = admin.NodeStarting
	}
	if s.Alarm != nil {
		a.Alarm = s.Alarm.Error()
	}
	return a
}

// nodeOf is another node, as far as it can be seen. All times are by the
// database's clock: this process's may be off by more than a lease.
func nodeOf(g latchkey.Registration) admin.Node {
	a := admin.Node{
		Name: g.Node, Address: g.Address, Version: g.Version, Revision: int64(g.Applied),
		LeaseMS: g.Lease.Milliseconds(), StaleOKMS: g.StaleOK.Milliseconds(), State: admin.NodeStarting,
	}
	switch {
	case g.Lost():
		a.State = admin.NodeLost
		return a
	case g.Renewals == 0:
		return a
	}
	renewed := g.Renewed.UTC()
	a.Renewed = &renewed
	a.RemainingMS = max(0, g.Lease-g.Age).Milliseconds()
	switch {
	case g.Age < g.Lease:
		a.State = admin.NodeAnswering
	case g.Age < g.Lease+g.StaleOK:
		a.State, a.StaleMS = admin.NodeStale, (g.Lease + g.StaleOK - g.Age).Milliseconds()
	default:
		a.State = admin.NodeSilent
	}
	return a
}
