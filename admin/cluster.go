package admin

import (
	"cmp"
	"context"
	"errors"
	"time"

	"latchkey"
)

// A Server is what answers on the socket.
type Server struct {
	Version   string `json:"version"`            // of its program
	Database  string `json:"database,omitempty"` // that it shares with other nodes; empty: it has a store of its own
	KeyPrefix string `json:"key_prefix"`         // of the API keys that it makes
}

// The states of a node. What a node really does is decided by its own lease: a
// state is what can be seen of it in the database.
const (
	NodeAnswering   = "answering"   // its lease is good
	NodeStarting    = "starting"    // it has no lease yet
	NodeSilent      = "silent"      // it has not renewed its lease in time: it is gone, or cut off
	NodeStale       = "stale"       // silent, but within what its owner allowed (--stale-ok)
	NodeUnavailable = "unavailable" // it says so itself
	NodeLost        = "lost"        // it is none: it stands for nodes that a failover of the database may have lost
)

// A Node is a node of the cluster, or the one that owns its store.
type Node struct {
	Name        string     `json:"node"`
	Address     string     `json:"address"` // where others reach its API, a URL; may be empty
	Version     string     `json:"version"` // of its program
	Revision    int64      `json:"revision"`
	State       string     `json:"state"`
	LeaseMS     int64      `json:"lease_ms"`     // its length; 0: without end
	RemainingMS int64      `json:"remaining_ms"` // of the lease alone, as far as it can be seen; 0: none, or without end
	StaleOKMS   int64      `json:"stale_ok_ms"`  // how long after its lease it may answer
	StaleMS     int64      `json:"stale_ms"`     // of that, how much is left once the lease is over; 0: none, or it is not over
	Renewed     *time.Time `json:"renewed"`      // by the database's clock; nil: not yet, or without end
	Alarm       string     `json:"alarm"`        // what a person must look at; may be empty
}

// Nodes is the answer to a list of nodes, by name.
type Nodes struct {
	Nodes   []Node `json:"nodes"`
	Failure string `json:"failure"` // why there is only the one that was asked; empty: there are all
}

// Accepted is the answer to [Client.AcceptHistory].
type Accepted struct {
	Database string `json:"database"`
}

// errNoCluster is the answer where a store belongs to one process.
var errNoCluster = &latchkey.InvalidError{Field: "database", Problem: "is not one that nodes share: there is nothing to accept"}

func (a *API) server(context.Context, latchkey.Actor, nothing) (Server, error) {
	return Server{Version: a.Version, Database: a.Database, KeyPrefix: cmp.Or(a.Keyring.Prefix, latchkey.DefaultKeyPrefix)}, nil
}

func (a *API) listNodes(ctx context.Context, _ latchkey.Actor, _ nothing) (Nodes, error) {
	if a.Nodes == nil {
		return Nodes{}, errors.New("this server does not know the nodes")
	}
	list, err := a.Nodes(ctx)
	all := Nodes{Nodes: append([]Node{}, list...)}
	if err != nil && len(list) > 0 {
		all.Failure, err = err.Error(), nil
	}
	return all, err
}

func (a *API) acceptHistory(ctx context.Context, by latchkey.Actor, _ nothing) (Accepted, error) {
	if a.AcceptHistory == nil {
		return Accepted{}, errNoCluster
	}
	if err := a.AcceptHistory(ctx, by); err != nil {
		return Accepted{}, err
	}
	a.logger().WarnContext(ctx, "the database's history was accepted", "by", by.Name)
	return Accepted{Database: a.Database}, nil
}

// Server says what answers.
func (c *Client) Server(ctx context.Context) (Server, error) {
	return ask[Server](ctx, c, "/version", nothing{})
}

// Nodes returns the nodes of the cluster, by name. Where the server cannot read them,
// it tells of itself alone: see [Nodes.Failure].
func (c *Client) Nodes(ctx context.Context) (Nodes, error) {
	return ask[Nodes](ctx, c, "/node/list", nothing{})
}

// AcceptHistory says that the database's history is the right one, whatever
// nodes remember.
func (c *Client) AcceptHistory(ctx context.Context) (Accepted, error) {
	return ask[Accepted](ctx, c, "/database/accept", nothing{})
}
