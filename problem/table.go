package problem

import (
	"net/http"

	"latchkey"
)

// An entry is what a code looks like over HTTP.
type entry struct {
	status int
	title  string
	detail string // said when the error itself has nothing to add
}

// entryOf is the table of all codes. A code that is not in it is a fault of
// ours, and looks like one.
func entryOf(code latchkey.Code) entry {
	switch code {
	case latchkey.CodeMissingCredentials:
		return entry{http.StatusUnauthorized, "Credentials are missing",
			"Send your API key or a signed JWT: Authorization: Bearer …"}
	case latchkey.CodeMalformedCredentials:
		return entry{http.StatusUnauthorized, "Credentials are malformed",
			"The Authorization header cannot be read."}
	case latchkey.CodeInvalidCredentials:
		return entry{http.StatusUnauthorized, "Credentials are not valid",
			"The credential is not valid. Support can look up the reason by the request ID."}
	case latchkey.CodeTokenExpired:
		return entry{http.StatusUnauthorized, "Token has expired", "The token has expired. Sign a new one."}
	case latchkey.CodeTokenNotYetValid:
		return entry{http.StatusUnauthorized, "Token is not valid yet",
			"The token is from the future: your clock is ahead of ours."}
	case latchkey.CodeUnavailable:
		return entry{http.StatusServiceUnavailable, "Temporarily unavailable",
			"The request cannot be decided at the moment. Try again."}
	case latchkey.CodeNotFound:
		return entry{http.StatusNotFound, "Not found", "There is nothing here."}
	case latchkey.CodeMethodNotAllowed:
		return entry{http.StatusMethodNotAllowed, "Method not allowed",
			"This method is not allowed here; the Allow header says which are."}
	case latchkey.CodeBodyTooLarge:
		return entry{http.StatusRequestEntityTooLarge, "Body too large", "The body is larger than allowed."}
	case latchkey.CodeInvalidRequest:
		return entry{http.StatusBadRequest, "Invalid request", "The request cannot be understood."}
	case latchkey.CodeUpstreamUnreachable:
		return entry{http.StatusBadGateway, "Upstream unreachable",
			"The API behind this gateway could not be reached, or its answer could not be read."}
	case latchkey.CodeUpstreamTimeout:
		return entry{http.StatusGatewayTimeout, "Upstream timeout",
			"The API behind this gateway did not answer in time."}
	case latchkey.CodeConflict:
		return entry{http.StatusConflict, "Conflict", "The change does not go with what is there."}
	}
	return entry{http.StatusInternalServerError, "Internal error",
		"Something went wrong on our side. Support can look it up by the request ID."}
}
