package console

import (
	"fmt"
	"net/http"
	"strings"

	"latchkey"
)

// statusClientGone is recorded where nobody was there any more to be answered.
const statusClientGone = 499

// verdictWords says what was decided. Only a record that names a team says that
// a credential held.
func verdictWords(r *latchkey.Record) string {
	held := r.TeamID != ""
	switch r.Outcome {
	case latchkey.OutcomeAccepted:
		return acceptedWords(r.Status)
	case latchkey.OutcomeDenied:
		return "The request was refused at the door."
	case latchkey.OutcomeUnavailable:
		if held {
			return "The credential held, but what stands behind the door could not tell what it was asked for."
		}
		return "The node could not tell whether the credential holds."
	}
	if held {
		return "The credential held, but what stands behind the door failed."
	}
	return "No credential was looked at: the request came to its end before that."
}

// acceptedWords are by the status: the door itself refuses what no API should
// see, once the credential held.
func acceptedWords(status int) string {
	switch status {
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge:
		return fmt.Sprintf("The credential held. The request was answered %d, by the door or by what stands behind it.", status)
	case statusClientGone:
		return "The credential held. The caller went away before there was an answer."
	}
	return "The credential held, and the request went through."
}

// failureWords says what a failure's code means, or nothing.
func failureWords(reason latchkey.Reason) string {
	switch latchkey.Code(reason) {
	case latchkey.CodeUpstreamUnreachable:
		return "The API behind the door could not be reached, or broke its answer off."
	case latchkey.CodeUpstreamTimeout:
		return "The API behind the door did not answer in time."
	case latchkey.CodeInternal:
		return "A handler broke off."
	case latchkey.CodeInvalidRequest:
		return "What came could not be read as an HTTP request."
	}
	return ""
}

// askedWords are the method and the path, up to n characters of it. What could
// not be read as HTTP has neither.
func askedWords(r *latchkey.Record, n int) string {
	if asked := strings.TrimSpace(cut(12, r.Method) + " " + cut(n, r.Path)); asked != "" {
		return asked
	}
	return "No HTTP request"
}

// credentialWords are the ID of the credential, or why there is none.
func credentialWords(r *latchkey.Record) string {
	switch {
	case r.CredentialID != "":
		return cut(60, r.CredentialID)
	case r.Reason == latchkey.ReasonNoField:
		return "none"
	case r.Outcome == latchkey.OutcomeError && r.TeamID == "":
		return "not looked at"
	}
	return "unknown"
}
