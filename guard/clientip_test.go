package guard

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func prefixes(list ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, s := range list {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

// TestClientIP: whose address goes into the record.
func TestClientIP(t *testing.T) {
	g := &Guard{TrustedProxies: prefixes("10.0.0.0/8", "fd00::/8")}
	const proxy = "10.0.0.1:1234"
	for _, c := range []struct {
		peer      string
		forwarded []string
		list      []string
		want      string
	}{
		{"192.0.2.1:80", nil, nil, "192.0.2.1"},
		{"[2001:db8::1]:80", nil, nil, "2001:db8::1"},
		{"[fe80::1%eth0]:80", nil, nil, "fe80::1"},
		{"[::ffff:192.0.2.1]:80", nil, nil, "192.0.2.1"},
		{"@", nil, nil, ""},
		{"", nil, []string{"6.6.6.6"}, ""},

		// Nobody believes a stranger.
		{"192.0.2.1:80", []string{"for=6.6.6.6"}, []string{"6.6.6.6"}, "192.0.2.1"},

		{proxy, nil, nil, "10.0.0.1"},
		{proxy, nil, []string{"192.0.2.7"}, "192.0.2.7"},
		{"[::ffff:10.0.0.1]:80", nil, []string{"192.0.2.7"}, "192.0.2.7"},
		{proxy, nil, []string{"6.6.6.6, 192.0.2.7"}, "192.0.2.7"},
		{proxy, nil, []string{"6.6.6.6, 192.0.2.7, 10.0.0.2"}, "192.0.2.7"},
		{proxy, nil, []string{"6.6.6.6", "192.0.2.7", "10.0.0.2,fd00::2"}, "192.0.2.7"},
		{proxy, nil, []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{proxy, nil, []string{"6.6.6.6, garbage, 10.0.0.2"}, "10.0.0.2"},
		{proxy, nil, []string{"6.6.6.6, unknown"}, "10.0.0.1"},
		{proxy, nil, []string{" , 192.0.2.7\t, ,"}, "192.0.2.7"},
		{proxy, nil, []string{"192.0.2.7:4711"}, "192.0.2.7"},
		{proxy, nil, []string{"2001:db8::7"}, "2001:db8::7"},
		{proxy, nil, []string{"[2001:db8::7]:4711"}, "2001:db8::7"},
		{proxy, nil, []string{"::ffff:192.0.2.7"}, "192.0.2.7"},
		{proxy, nil, []string{"fe80::7%eth0"}, "fe80::7"},
		{proxy, nil, []string{"[192.0.2.7]"}, "10.0.0.1"},
		{proxy, nil, []string{"192.0.2.7:"}, "10.0.0.1"},
		{proxy, nil, []string{"192.0.2.7:x"}, "10.0.0.1"},
		{proxy, nil, []string{"192.0.2.07"}, "10.0.0.1"},
		{proxy, nil, []string{`"192.0.2.7"`}, "10.0.0.1"},

		{proxy, []string{"for=192.0.2.7"}, nil, "192.0.2.7"},
		{proxy, []string{"For=192.0.2.7;proto=https;by=10.0.0.1"}, nil, "192.0.2.7"},
		{proxy, []string{`proto=http; for="[2001:db8:cafe::17]:4711"`}, nil, "2001:db8:cafe::17"},
		{proxy, []string{`for="192.0.2.7:80"`}, nil, "192.0.2.7"},
		{proxy, []string{"for=6.6.6.6, for=192.0.2.7, for=10.0.0.2"}, nil, "192.0.2.7"},
		{proxy, []string{"for=6.6.6.6", "for=192.0.2.7", `for="[fd00::2]"`}, nil, "192.0.2.7"},
		{proxy, []string{"for=unknown, for=10.0.0.2"}, nil, "10.0.0.2"},
		{proxy, []string{"for=_hidden"}, nil, "10.0.0.1"},
		{proxy, []string{"proto=https"}, nil, "10.0.0.1"},
		{proxy, []string{"for=192.0.2.7;for=192.0.2.8"}, nil, "10.0.0.1"},
		{proxy, []string{"for=2001:db8::7"}, nil, "10.0.0.1"},
		{proxy, []string{"192.0.2.7"}, nil, "10.0.0.1"},
		// What a caller wrote first does not change how the rest is read.
		{proxy, []string{`for="6.6.6.6`, "for=192.0.2.7"}, nil, "192.0.2.7"},
		{proxy, []string{`for=6.6.6.6;x="\`, "for=192.0.2.7"}, nil, "192.0.2.7"},
		{proxy, []string{`for="a, for=6.6.6.6", for=10.0.0.2`}, nil, "10.0.0.2"},

		// Both came: only if they agree.
		{proxy, []string{"for=192.0.2.7"}, []string{"192.0.2.7"}, "192.0.2.7"},
		{proxy, []string{"for=6.6.6.6"}, []string{"192.0.2.7"}, "10.0.0.1"},
	} {
		r := &http.Request{RemoteAddr: c.peer, Header: http.Header{}}
		if c.forwarded != nil {
			r.Header["Forwarded"] = c.forwarded
		}
		if c.list != nil {
			r.Header["X-Forwarded-For"] = c.list
		}
		got := ""
		if a := g.ClientIP(r); a.IsValid() {
			got = a.String()
		}
		if got != c.want {
			t.Errorf("peer %q, Forwarded %q, X-Forwarded-For %q: %q, want %q", c.peer, c.forwarded, c.list, got, c.want)
		}
	}
	if got := (&Guard{}).ClientIP(&http.Request{RemoteAddr: proxy, Header: http.Header{"X-Forwarded-For": {"6.6.6.6"}}}); got.String() != "10.0.0.1" {
		t.Errorf("without trusted proxies the peer counts: %v", got)
	}
}

// seedsForwarded are the seeds of [FuzzForwarded]; the test counts them.
func seedsForwarded() []string {
	return []string{
		"for=192.0.2.43, for=198.51.100.17", `for="[2001:db8:cafe::17]:4711"`, "for=192.0.2.60;proto=http;by=203.0.113.43",
		`For="_gazonk"`, "192.0.2.43, 2001:db8:cafe::17", "10.0.0.1:80", "", ",,,", `"`, `for="\",for=1.1.1.1`, "[::1", "for=;for",
	}
}

// FuzzForwarded: whatever a caller wrote before, the entry that a trusted proxy
// appended is the one that counts; and nothing panics or runs on.
func FuzzForwarded(f *testing.F) {
	seeds := seedsForwarded()
	if len(seeds) != 12 {
		f.Fatalf("%d seeds, want 12", len(seeds))
	}
	for _, s := range seeds {
		f.Add(s)
	}
	g := &Guard{TrustedProxies: prefixes("10.0.0.0/8")}
	f.Fuzz(func(t *testing.T, theirs string) {
		for field, entry := range map[string]string{"Forwarded": "for=192.0.2.7", "X-Forwarded-For": "192.0.2.7"} {
			for _, lines := range [][]string{{theirs, entry}, {theirs + ", " + entry}} {
				r := &http.Request{RemoteAddr: "10.0.0.1:1", Header: http.Header{field: lines}}
				if got := g.ClientIP(r); got.String() != "192.0.2.7" {
					t.Errorf("%s %q: %v", field, lines, got)
				}
			}
			r := &http.Request{RemoteAddr: "10.0.0.1:1", Header: http.Header{field: {theirs}}}
			if got := g.ClientIP(r); !got.IsValid() || got.Is4In6() || got.Zone() != "" {
				t.Errorf("%s %q: %v", field, theirs, got)
			}
		}
	})
}

// TestTraceID: the trace-id of a valid traceparent, or nothing.
func TestTraceID(t *testing.T) {
	const id, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	for value, want := range map[string]string{
		"00-" + id + "-" + span + "-01":                      id,
		"cc-" + id + "-" + span + "-01-more":                 id,
		"00-" + id + "-" + span + "-01-more":                 "",
		"cc-" + id + "-" + span + "-01more":                  "",
		"ff-" + id + "-" + span + "-01":                      "",
		"00-" + strings.ToUpper(id) + "-" + span + "-01":     "",
		"00-" + strings.Repeat("0", 32) + "-" + span + "-01": "",
		"00-" + id + "-" + strings.Repeat("0", 16) + "-01":   "",
		"00-" + id + "-" + span + "-0":                       "",
		"00_" + id + "_" + span + "_01":                      "",
		"":                                                   "",
		"00-" + id[1:] + "g-" + span + "-01":                 "",
		"00-" + id + "-" + span + "-0g":                      "",
	} {
		if got := traceID(http.Header{"Traceparent": {value}}); got != want {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
	valid := "00-" + id + "-" + span + "-01"
	if got := traceID(http.Header{"Traceparent": {valid, valid}}); got != "" {
		t.Errorf("two fields are none: %q", got)
	}
}

// TestPrintable: what a record keeps is valid UTF-8 on one line, within its
// limit.
func TestPrintable(t *testing.T) {
	for _, c := range []struct {
		s     string
		limit int
		want  string
	}{
		{"plain text", 100, "plain text"},
		{"plain", 3, "pla"},
		{"grün €", 100, "grün €"},
		{"€€", 4, "€?"},
		{"\xff\xc0\xba\ufffd", 100, "????"},
		{"a\r\n\x00\x1b[31m\x7f\u2028\u202eb", 100, "a????[31m???b"},
	} {
		if got := printable(c.s, c.limit); got != c.want {
			t.Errorf("%q cut to %d: %q, want %q", c.s, c.limit, got, c.want)
		}
	}
}

// TestFold: the spellings that an application could take for one field.
func TestFold(t *testing.T) {
	for name, want := range map[string]bool{
		"X-Request-Id": true, "x_request.id": true, "X!REQUEST~ID": true,
		"X-Request-Ids": false, "X-Request-I": false, "XRequestId": false, "X-Request-1d": false,
	} {
		if sameField(name, foldedRequestID) != want {
			t.Errorf("%s: want %v", name, want)
		}
	}
}

// TestMethodList: the registry, without what never passes.
func TestMethodList(t *testing.T) {
	g := &Guard{}
	for _, m := range g.methods() {
		if !g.allows(m) {
			t.Errorf("%s is in the list and does not pass", m)
		}
	}
	for _, m := range []string{"CONNECT", "TRACE", "PRI", "*", "", "get", "GET "} {
		if g.allows(m) || slices.Contains(g.methods(), m) {
			t.Errorf("%s must not pass", m)
		}
	}
}
