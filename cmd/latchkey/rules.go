//go:build !mutant

package main

import (
	"context"
	"net"

	"latchkey/replica"
)

// connContext is what is noted of a connection before its first request: nothing.
func connContext(*replica.Replica) func(context.Context, net.Conn) context.Context { return nil }
