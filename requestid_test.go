package latchkey

import (
	"errors"
	"strings"
	"testing"
)

func TestParseRequestID(t *testing.T) {
	const id = "0198c5e2-7d3a-7b61-9f0e-3c1d5a8b2e47"
	for _, pasted := range []string{
		id, strings.ToUpper(id), " " + id + "\r\n", `"` + id + `",`, "'" + id + "'", id + ".", "X-Request-Id: " + id, "x-request-id:" + id,
		"< x-request-id: " + id[:20] + "\n" + id[20:], `"request_id": "` + id + `"`, strings.ReplaceAll(id, "-", ""), "\u2003" + id,
		"X-REQUEST-ID :\t" + id + "\r\n", `"x-request-id": "` + id + `"`, "`" + id + "`", "0198c5e2 7d3a 7b61 9f0e 3c1d5a8b2e47", id[:18] + "\n" + id[18:],
	} {
		pasted = strings.TrimPrefix(pasted, "< ")
		if got, err := ParseRequestID(pasted); err != nil || got != id {
			t.Errorf("%q is read as %q, %v", pasted, got, err)
		}
	}
	for _, pasted := range []string{
		"", "x", id[:35], id + "0", "../" + id, "y-request-id: " + id, "X-Request-Id:", "X-Request-Id", "Traceparent: " + id,
		"x-request-id: x-request-id: " + id, strings.Repeat("a", 36), strings.Repeat("0", 5000), "' OR 1=1 --", id + "' OR '1'='1", "%", "_",
		id[:34] + "GG", id[:34] + "%%", id + "\x00", "\x00" + id, strings.Repeat(" ", 1<<20) + id,
	} {
		got, err := ParseRequestID(pasted)
		var invalid *InvalidError
		if !errors.As(err, &invalid) || got != "" {
			t.Errorf("%.60q is read as %q, %v: it must be an InvalidError", pasted, got, err)
		} else if len(pasted) > len(id) && strings.Contains(err.Error(), pasted) {
			t.Errorf("the error repeats %.60q", pasted)
		}
	}
}
