package contacts

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"latchkey"
	"latchkey/problem"
)

// maxBody is the largest body that is read, in bytes.
const maxBody = 1 << 20

// errNoContact is the answer for every ID that this team has no contact under:
// another team's, one that was deleted, and what is no ID at all.
var errNoContact = &problem.Error{Code: latchkey.CodeNotFound, Detail: "There is no contact with this ID.", Err: latchkey.ErrNotFound}

// errTooLarge is the answer to a body over maxBody, in the words that one over
// a smaller bound of the listener gets.
var errTooLarge error = &http.MaxBytesError{Limit: maxBody}

func invalid(detail string) error {
	return &problem.Error{Code: latchkey.CodeInvalidRequest, Detail: detail}
}

// refusal turns what huma refused a request for into our error. readErr is what
// reading the body ended with, which huma keeps the text of only.
func refusal(refused *huma.ErrorModel, readErr error) error {
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(readErr, &tooLong):
		return tooLong
	case refused.Status == http.StatusRequestEntityTooLarge:
		return errTooLarge
	case readErr != nil, refused.Status == http.StatusRequestTimeout:
		return invalid("The body ended early, or did not arrive in time.")
	case refused.Status == http.StatusUnsupportedMediaType:
		return invalid("The Content-Type must be application/json.")
	case refused.Status >= 500:
		return fmt.Errorf("handle a request: %w", refused)
	case len(refused.Errors) == 0:
		return invalid("The request needs a body: a contact in JSON.")
	}
	var wrong []*latchkey.InvalidError
	for _, e := range refused.Errors {
		place, field, _ := strings.Cut(e.Location, ".")
		if place == "path" {
			return errNoContact
		}
		wrong = append(wrong, inWords(cmp.Or(field, "The body"), e.Message))
	}
	return refuse(wrong)
}

// maxNamed is how many fields one answer speaks of.
const maxNamed = 10

// refuse names the fields and what is wrong with each.
func refuse(wrong []*latchkey.InvalidError) error {
	slices.SortFunc(wrong, func(a, b *latchkey.InvalidError) int { return cmp.Compare(a.Field, b.Field) })
	wrong = slices.CompactFunc(wrong, func(a, b *latchkey.InvalidError) bool { return a.Field == b.Field })
	var words []string
	for _, e := range wrong[:min(len(wrong), maxNamed)] {
		words = append(words, fieldName(e.Field)+" "+e.Problem)
	}
	if more := len(wrong) - maxNamed; more > 0 {
		words = append(words, fmt.Sprintf("and so on for %d more", more))
	}
	return invalid(strings.Join(words, "; ") + ".")
}

// fieldName returns a name that may be the caller's own, cut and escaped.
func fieldName(s string) string {
	const longest = 80
	runes := []rune(s[:min(len(s), 4*longest)])
	cut := ""
	if len(runes) > longest {
		runes, cut = runes[:longest], "…"
	}
	plain := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("_-. ", r) }
	for _, r := range runes {
		if !plain(r) {
			return strconv.QuoteToASCII(string(runes)) + cut
		}
	}
	return string(runes) + cut
}

// Words that are used in more than one place.
const (
	notAField    = "is not a field of a contact"
	notAnInteger = "must be an integer"
)

// phrases are huma's messages, and ours for them. A %d or %v stands for the bound.
var phrases = []struct{ huma, ours string }{
	{validation.MsgUnexpectedProperty, notAField},
	{validation.MsgExpectedInteger, notAnInteger},
	{"invalid integer", notAnInteger}, // of a query parameter
	{validation.MsgExpectedString, "must be a string"},
	{validation.MsgExpectedObject, "must be an object"},
	{validation.MsgExpectedMaxLength, "is longer than %d characters"},
	{validation.MsgExpectedMaxProperties, "has more than %d fields"},
	{validation.MsgExpectedMinimumNumber, "must be at least %d"},
	{validation.MsgExpectedMaximumNumber, "must be at most %d"},
	{notJSON, notJSON},
	{notUTF8, notUTF8},
	{tooDeep, tooDeep},
	{nameTwice, nameTwice},
	{loneSurrogate, loneSurrogate},
}

// inWords says one of huma's messages in our words. Only what is in the table
// gets through: some of huma's messages repeat the value.
func inWords(field, message string) *latchkey.InvalidError {
	if name, ok := strings.CutPrefix(message, "expected required property "); ok {
		return &latchkey.InvalidError{Field: strings.TrimSuffix(name, " to be present"), Problem: "is missing"}
	}
	for _, p := range phrases {
		var bound int
		if message == p.huma {
			return &latchkey.InvalidError{Field: field, Problem: p.ours}
		}
		if n, _ := fmt.Sscanf(message, p.huma, &bound); n == 1 {
			return &latchkey.InvalidError{Field: field, Problem: fmt.Sprintf(p.ours, bound)}
		}
	}
	return &latchkey.InvalidError{Field: field, Problem: "is not valid"}
}
