package journal

import "net/netip"

// turns is a queue of at most maxQueued refusals whose callers take turns.
type turns struct {
	lines   map[string][]*refusal // of each caller that waits
	callers []string              // whose turn is next first
	waiting int
}

// put adds a refusal. If there are too many it returns the one that gives way:
// the last of whoever has most.
func (t *turns) put(r *refusal) (passed *refusal) {
	if t.waiting >= maxQueued {
		longest := r.caller
		for caller, line := range t.lines {
			if len(line) > len(t.lines[longest]) {
				longest = caller
			}
		}
		if len(t.lines[longest]) <= len(t.lines[r.caller])+1 {
			return r
		}
		line := t.lines[longest] // of two at least
		passed = line[len(line)-1]
		t.lines[longest] = line[:len(line)-1]
		t.waiting--
	}
	if len(t.lines[r.caller]) == 0 {
		t.callers = append(t.callers, r.caller)
	}
	t.lines[r.caller] = append(t.lines[r.caller], r)
	t.waiting++
	return passed
}

// take removes the first refusal of the caller whose turn it is; nil if nobody
// waits.
func (t *turns) take() *refusal {
	if t.waiting == 0 {
		return nil
	}
	caller := t.callers[0]
	line := t.lines[caller]
	t.callers, t.waiting = t.callers[1:], t.waiting-1
	if len(line) > 1 {
		t.lines[caller] = line[1:]
		t.callers = append(t.callers, caller)
	} else {
		delete(t.lines, caller)
	}
	return line[0]
}

// neighbourhood is what counts as one caller: an address, of IPv6 the network of
// 64 bits of which a client may have each.
func neighbourhood(clientIP string) string {
	ip, err := netip.ParseAddr(clientIP)
	if err != nil || !ip.Is6() || ip.Is4In6() {
		return clientIP
	}
	network, err := ip.Prefix(64)
	if err != nil {
		return clientIP
	}
	return network.String()
}
