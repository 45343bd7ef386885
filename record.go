package latchkey

import (
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"strings"
	"time"
)

// An Outcome is what became of a request at the door.
type Outcome string

// The outcomes.
const (
	OutcomeAccepted    Outcome = "accepted"    // the credential held, whatever the API answered
	OutcomeDenied      Outcome = "denied"      // 401
	OutcomeUnavailable Outcome = "unavailable" // 503: this node could not tell
	OutcomeError       Outcome = "error"       // the credential held, but the upstream or a handler failed
)

// A Record is what is kept of one response. It never holds a credential, a
// query string or a body.
type Record struct {
	RequestID       string    `json:"request_id"` // UUIDv7
	Time            time.Time `json:"time"`       // when the request came; RFC 3339 in UTC, to the microsecond
	Node            string    `json:"node"`
	TeamID          string    `json:"team_id"`
	CredentialID    string    `json:"credential_id"` // or a fingerprint; see [FingerprintPrefix]
	Auth            Method    `json:"auth"`
	Outcome         Outcome   `json:"outcome"`
	Reason          Reason    `json:"reason"`
	Diagnosis       string    `json:"diagnosis"`
	Method          string    `json:"method"` // the HTTP verb
	Host            string    `json:"host"`
	Path            string    `json:"path"` // without the query
	Status          int       `json:"status"`
	BytesIn         int64     `json:"bytes_in"`    // of the request's body, as far as it was read
	BytesOut        int64     `json:"bytes_out"`   // of the response's body
	DurationUS      int64     `json:"duration_us"` // from the request's header to the response's end
	ClientIP        string    `json:"client_ip"`
	UserAgent       string    `json:"user_agent"`
	ClientRequestID string    `json:"client_request_id"` // the caller's own X-Request-Id
	TraceID         string    `json:"trace_id"`          // of the caller's traceparent: 32 hexadecimal characters

	// Open says that the response has not ended yet: its bytes and duration
	// are not known. No record is kept so.
	Open bool `json:"open,omitempty"`
}

// recordTime is RFC 3339 in UTC with exactly six digits of fraction.
const recordTime = "2006-01-02T15:04:05.000000Z"

// MarshalJSON writes the record with its time in UTC, to the microsecond.
func (r Record) MarshalJSON() ([]byte, error) {
	type plain Record // without this method
	return json.Marshal(struct {
		RequestID string `json:"request_id"`
		Time      string `json:"time"`
		plain
	}{r.RequestID, r.Time.UTC().Format(recordTime), plain(r)})
}

// Refusal reports whether anybody can make any number of such records: of refusals,
// and of what was answered before any team was known, as requests that are not HTTP
// are. They may not take the room of others.
func (r *Record) Refusal() bool { return r.Outcome == OutcomeDenied || r.TeamID == "" }

// A RecordQuery selects records. A zero field restricts nothing.
type RecordQuery struct {
	TeamID       string
	CredentialID string
	Status       int
	Outcome      Outcome
	Method       string // the HTTP verb
	Path         string // a part of the path, as it is written
	ClientIP     string // the whole address

	ClientRequestID string // the caller's own ID, as it was recorded
	TraceID         string // 32 hexadecimal characters in lower case

	Since  time.Time // inclusive
	Until  time.Time // exclusive
	Before string    // only records older than this request ID: the last of the page before
	Limit  int       // at most so many; 0 means 100
}

// Normalize writes an address and a trace ID that were typed as records have
// them. One that cannot be in any record is an [*InvalidError].
func (q *RecordQuery) Normalize() error {
	if q.ClientIP != "" {
		addr, err := netip.ParseAddr(q.ClientIP)
		if err != nil {
			return &InvalidError{Field: "address", Problem: "must be a whole IP address, such as 203.0.113.7 or 2001:db8::1"}
		}
		q.ClientIP = addr.Unmap().WithZone("").String()
	}
	q.TraceID = strings.ToLower(q.TraceID)
	if _, err := hex.DecodeString(q.TraceID); q.TraceID != "" && (err != nil || len(q.TraceID) != 32) {
		return &InvalidError{Field: "trace ID", Problem: "must be 32 hexadecimal characters"}
	}
	return nil
}

// DefaultRecordLimit is how many records a query returns when it names no limit.
const DefaultRecordLimit = 100

// Matches reports whether r is among what q selects, the limit aside. IDs are
// UUIDv7 in lower case, so that their order is the order of time.
func (q *RecordQuery) Matches(r *Record) bool {
	return (q.TeamID == "" || q.TeamID == r.TeamID) &&
		(q.CredentialID == "" || q.CredentialID == r.CredentialID) &&
		(q.Method == "" || q.Method == r.Method) &&
		(q.Path == "" || strings.Contains(r.Path, q.Path)) &&
		(q.Status == 0 || q.Status == r.Status) &&
		(q.Outcome == "" || q.Outcome == r.Outcome) &&
		(q.ClientIP == "" || q.ClientIP == r.ClientIP) &&
		(q.ClientRequestID == "" || q.ClientRequestID == r.ClientRequestID) &&
		(q.TraceID == "" || q.TraceID == r.TraceID) &&
		(q.Until.IsZero() || r.Time.Before(q.Until)) &&
		(q.Since.IsZero() || !r.Time.Before(q.Since)) &&
		(q.Before == "" || r.RequestID < q.Before)
}
