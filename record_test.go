package latchkey_test

import (
	"errors"
	"strings"
	"testing"

	"latchkey"
)

func TestNormalize(t *testing.T) {
	trace := strings.Repeat("0a", 16)
	for _, c := range []struct {
		rule              string
		address, trace    string
		kept, keptTrace   string
		addressIs, traces bool
	}{
		{rule: "nothing is asked for", addressIs: true, traces: true},
		{rule: "an address", address: "203.0.113.7", kept: "203.0.113.7", addressIs: true, traces: true},
		{rule: "one that is spelled otherwise", address: "2001:DB8:0::1", kept: "2001:db8::1", addressIs: true, traces: true},
		{rule: "an IPv4 address in IPv6", address: "::ffff:203.0.113.7", kept: "203.0.113.7", addressIs: true, traces: true},
		{rule: "a part of an address", address: "203.0.113.", traces: true},
		{rule: "no address", address: "999.1.2.3", traces: true},
		{rule: "a trace ID in capitals", trace: strings.ToUpper(trace), keptTrace: trace, addressIs: true, traces: true},
		{rule: "one that is cut short", trace: trace[1:], addressIs: true},
		{rule: "one that is not hexadecimal", trace: "x" + trace[1:], addressIs: true},
	} {
		q := latchkey.RecordQuery{ClientIP: c.address, TraceID: c.trace}
		err := q.Normalize()
		var invalid *latchkey.InvalidError
		if c.addressIs && c.traces {
			if err != nil || q.ClientIP != c.kept || q.TraceID != c.keptTrace {
				t.Errorf("%s: %v, %q, %q", c.rule, err, q.ClientIP, q.TraceID)
			}
			continue
		}
		if field := map[bool]string{true: "trace ID", false: "address"}[c.addressIs]; !errors.As(err, &invalid) || invalid.Field != field {
			t.Errorf("%s: %v, must name the %s", c.rule, err, field)
		}
	}
}
