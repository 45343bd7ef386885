//go:build mutant

package main

import (
	"context"
	"net"

	"latchkey/replica"
)

// connContext notes the lease where a connection comes, and not where the header
// of a request has ended.
func connContext(r *replica.Replica) func(context.Context, net.Conn) context.Context {
	return func(ctx context.Context, _ net.Conn) context.Context { return r.CheckEarly(ctx) }
}
