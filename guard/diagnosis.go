package guard

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"

	"latchkey"
	"latchkey/problem"
)

// What came to the handler or the upstream of a request that was turned away.
const (
	notAsked   = "The API was not asked."
	partlySeen = "Its beginning may have been passed on."
)

// turnedAway says for a record why the door answered by itself though the
// credential held. asked says what the API has seen of the request.
func (g *Guard) turnedAway(err error, asked string) string {
	var (
		tooLarge *http.MaxBytesError
		answer   *problem.Error
	)
	switch {
	case errors.As(err, &tooLarge):
		return g.tooLarge(tooLarge) + " " + asked
	case !errors.As(err, &answer):
		return ""
	case answer.Code == latchkey.CodeMethodNotAllowed:
		return "This method is not accepted. " + asked
	case answer.Detail != "":
		return answer.Detail + " " + asked
	}
	return ""
}

func (g *Guard) tooLarge(err *http.MaxBytesError) string {
	if err.Limit == g.MaxBody {
		return fmt.Sprintf("The body is larger than this server takes (%d bytes).", err.Limit)
	}
	return fmt.Sprintf("The body is larger than the API takes (%d bytes).", err.Limit)
}

// fault says for a record what went wrong behind the door.
func fault(err error) string {
	if errors.Is(err, latchkey.ErrOutcomeUnknown) {
		return "It is not known whether the change was made: look before it is repeated. The server's log has the cause, under the request's ID."
	}
	return "The API failed. Look for the request's ID in the server's log."
}

// What a client spoke that took one port for another.
const (
	tlsToClear = "The client spoke TLS to a port that is in clear text: use http there."
	clearToTLS = "The request came in clear text to the TLS port: use https. A credential that was sent could be read on the way: replace it."
	priorHTTP2 = "The client spoke HTTP/2 in clear text, which is not spoken here: use HTTP/1.1, or https."
)

// isPreface reports whether r is what begins HTTP/2 (RFC 9113, section 3.4), which
// net/http takes for a request. With header fields it would be none.
func isPreface(r *http.Request) bool {
	return r.Method == "PRI" && r.RequestURI == "*" && r.ProtoMajor == 2 && r.TLS == nil && r.Host == "" && len(r.Header) == 0
}

// unreadable says for a record why net/http answered a request by itself.
func unreadable(status int) string {
	switch status {
	case http.StatusExpectationFailed:
		return "The request's Expect field asks for something else than 100-continue."
	case http.StatusRequestHeaderFieldsTooLarge:
		return "The request's header is larger than this server takes."
	case http.StatusNotImplemented:
		return "The request's Transfer-Encoding is something else than chunked."
	case http.StatusHTTPVersionNotSupported:
		return "The request is in a version of HTTP that is not spoken here: use HTTP/1.1."
	}
	return "The request could not be read as HTTP/1."
}

// upstreamFault says how the upstream failed: for a record, which the team may read
// and which so names no address, and for the log. Neither quotes what the upstream
// sent, as the texts of the protocol's own errors do.
func upstreamFault(err error) (record, log string) {
	var (
		op     *net.OpError
		dns    *net.DNSError
		crt    *tls.CertificateVerificationError
		tlh    tls.RecordHeaderError
		system string // what it says of the connection, if it is to blame
	)
	if errors.As(err, &op) {
		system = op.Error()
	}
	dialing := op != nil && op.Op == "dial"
	switch timeout := explain(err).Code == latchkey.CodeUpstreamTimeout; {
	case errors.Is(err, errLoop):
		return "The upstream leads back to this server, or to another of its cluster: it must be the API behind them.", errLoop.Error()
	case dialing && timeout:
		return "The upstream could not be reached in time.", system
	case timeout:
		return "The upstream did not answer in time.", cmp.Or(system, errTooSlow.Error())
	case errors.As(err, &dns):
		return "The upstream could not be reached: its name could not be looked up.", cmp.Or(system, dns.Error())
	case dialing:
		return "The upstream could not be reached" + brokenHow(err) + ".", system
	case errors.As(err, &crt):
		return "The upstream could not be reached: its TLS certificate does not hold.", cmp.Or(system, crt.Error())
	case errors.As(err, &tlh):
		return "The upstream could not be reached: it does not speak TLS.", cmp.Or(system, tlh.Msg)
	case errors.Is(err, net.ErrClosed):
		// The transport closed it under the caller's body, for a reason that is lost.
		return "The upstream broke off before it answered, or its answer could not be read.", cmp.Or(system, "connection closed, or the answer is not HTTP as it should be")
	case op != nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "The upstream broke off before it answered" + brokenHow(err) + ".", cmp.Or(system, "connection closed before the answer")
	}
	return "The upstream's answer could not be read: it is not HTTP/1 as it should be, or its header is too long.", "the answer is not HTTP as it should be"
}

// brokenHow says what the system said of a connection, and "" if it said nothing.
func brokenHow(err error) string {
	var call *os.SyscallError
	switch {
	case errors.As(err, &call):
		return ": " + call.Err.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ": it closed the connection"
	}
	return ""
}
