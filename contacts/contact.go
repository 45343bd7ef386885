package contacts

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"latchkey"
)

// The bounds of a contact, in characters; those of the other fields stand in
// the tags of [Person].
const (
	maxCustomName  = 64
	maxCustomValue = 1024
	phonePattern   = "^[1-9][0-9]{1,14}$"
)

// A Person is what a caller sets of a contact. It has its tags for the API
// description and for huma's validation, which reads the same schema.
type Person struct {
	First       string            `json:"first" required:"false" maxLength:"100" doc:"Given name. No control characters." example:"Ada"`
	Last        string            `json:"last" required:"false" maxLength:"100" doc:"Family name. No control characters." example:"Lovelace"`
	DisplayName string            `json:"display_name" required:"false" maxLength:"200" doc:"The name to show. No control characters." example:"Ada Lovelace"`
	Email       string            `json:"email" required:"false" maxLength:"254" doc:"One e-mail address, or empty." example:"ada@example.com"`
	Phone       string            `json:"phone" doc:"E.164 number without the +: digits only, country code first." example:"15555550123"`
	Custom      map[string]string `json:"custom" required:"false" maxProperties:"50" doc:"Fields of your own: at most 50, names of 1 to 64 characters without control characters, values of at most 1024 characters without control characters other than tab and line breaks." example:"{\"plan\":\"gold\"}"`
}

// contact is a contact as it is answered.
type contact struct {
	_  struct{} `additionalProperties:"true"` // there may be more fields one day
	ID int64    `json:"id" minimum:"1" doc:"Given by the server; later contacts have higher IDs." example:"42"`
	Person
	Created string `json:"created" format:"date-time" doc:"When the contact was created: RFC 3339 in UTC, to the microsecond." example:"2025-04-15T22:40:00.000000Z"`
	Updated string `json:"updated" format:"date-time" doc:"When it was last changed: RFC 3339 in UTC, to the microsecond." example:"2025-04-15T22:40:00.000000Z"`
	Rev     int64  `json:"rev" minimum:"1" doc:"1 when created, one more at each change." example:"1"`
}

// draft is a contact as it is sent. What only the server sets is taken and
// ignored, so that a contact can be read, altered and sent back as it is.
type draft struct {
	Person
	Rev     *int64 `json:"rev,omitempty" minimum:"1" doc:"In a PUT: the rev that you have read. The contact is changed only if it still is the current one. In a POST it is ignored." example:"1"`
	ID      any    `json:"id,omitempty" doc:"Ignored: the server sets it."`
	Created any    `json:"created,omitempty" doc:"Ignored: the server sets it."`
	Updated any    `json:"updated,omitempty" doc:"Ignored: the server sets it."`

	wrong []*latchkey.InvalidError // what decoding found and the schema could not
}

// draftNames are the fields of a draft.
var draftNames = []string{"first", "last", "display_name", "email", "phone", "custom", "rev", "id", "created", "updated"}

// UnmarshalJSON reads a draft by the exact names of its fields: huma and
// encoding/json both take them in any case, which would let one field come in
// twice, and only one of the two be checked.
func (d *draft) UnmarshalJSON(data []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return err
	}
	for name := range fields {
		if !slices.Contains(draftNames, name) {
			d.wrong = append(d.wrong, &latchkey.InvalidError{Field: name, Problem: notAField})
		}
	}
	type plain draft // without this method
	err := json.Unmarshal(data, (*plain)(d))
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) {
		// A number such as 1.0 or 1e30 is an integer to the schema, and none to Go.
		d.wrong = append(d.wrong, &latchkey.InvalidError{Field: mismatch.Field, Problem: notAnInteger})
		return nil
	}
	return err
}

// TransformSchema adds what [draft.problems] checks with words of its own.
func (*draft) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	s.Description = "A contact as it is sent. A field that is left out, or null, is empty."
	return refine(s)
}

// TransformSchema says that every field is there.
func (*contact) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	s.Description = "A contact as it is answered."
	s.Required = []string{"id", "first", "last", "display_name", "email", "phone", "custom", "created", "updated", "rev"}
	return refine(s)
}

// refine adds to both schemas what tags cannot say. Extensions are described
// and not validated by huma.
func refine(s *huma.Schema) *huma.Schema {
	s.Properties["phone"].Extensions = map[string]any{"pattern": phonePattern}
	longest := maxCustomValue
	value := &huma.Schema{Type: huma.TypeString, MaxLength: &longest}
	value.PrecomputeMessages()
	custom := s.Properties["custom"]
	custom.AdditionalProperties = value
	custom.Extensions = map[string]any{"propertyNames": map[string]any{"minLength": 1, "maxLength": maxCustomName}}
	return s
}

// problems returns what is wrong with a draft that fits its schema.
func (d *draft) problems() []*latchkey.InvalidError {
	wrong := d.wrong
	check := func(field, problem string) {
		if problem != "" {
			wrong = append(wrong, &latchkey.InvalidError{Field: field, Problem: problem})
		}
	}
	check("first", nameProblem(d.First))
	check("last", nameProblem(d.Last))
	check("display_name", nameProblem(d.DisplayName))
	check("email", emailProblem(d.Email))
	check("phone", phoneProblem(d.Phone))
	for name, value := range d.Custom {
		check("custom", customNameProblem(name))
		check("custom."+name, customValueProblem(value))
	}
	return wrong
}

// put writes the draft over a contact.
func (d *draft) put(c *latchkey.Contact) {
	c.First, c.Last, c.DisplayName = d.First, d.Last, d.DisplayName
	c.Email, c.Phone, c.Custom = d.Email, d.Phone, d.Custom
}

// answerTime is RFC 3339 in UTC with exactly six digits of fraction.
const answerTime = "2006-01-02T15:04:05.000000Z"

func answered(c *latchkey.Contact) contact {
	custom := c.Custom
	if custom == nil {
		custom = map[string]string{} // {} and not null
	}
	stamp := func(t time.Time) string { return t.UTC().Format(answerTime) }
	return contact{
		ID: c.ID, Created: stamp(c.Created), Updated: stamp(c.Updated), Rev: c.Rev,
		Person: Person{
			First: c.First, Last: c.Last, DisplayName: c.DisplayName,
			Email: c.Email, Phone: c.Phone, Custom: custom,
		},
	}
}

// The functions below judge one value each, and return what is wrong with it as
// words that complete "FIELD …", or "". None of them repeats the value.

const hasControl = "holds a control character"

func nameProblem(s string) string {
	if strings.ContainsFunc(s, unicode.IsControl) {
		return hasControl
	}
	return ""
}

// phoneProblem judges an E.164 number (ITU-T E.164, section 6.2.1) without "+".
func phoneProblem(s string) string {
	notDigit := func(r rune) bool { return r < '0' || r > '9' }
	switch {
	case s == "":
		return "is empty"
	case strings.HasPrefix(s, "+") && !strings.ContainsFunc(s[1:], notDigit):
		return "must be digits only: leave out the +"
	case strings.ContainsFunc(s, notDigit):
		return "must be digits only: leave out +, spaces, brackets and dashes"
	case s[0] == '0':
		return "must begin with the country code, and no country code begins with 0"
	case len(s) < 2, len(s) > 15:
		return "must have 2 to 15 digits"
	}
	return ""
}

// emailProblem judges the form of an address, roughly: only sending a mail can
// tell whether it is one.
func emailProblem(s string) string {
	if s == "" {
		return ""
	}
	local, domain, _ := strings.Cut(s, "@")
	switch {
	case strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune(`<>()[],;:"\`, r)
	}):
		return "must be one bare address, without a name, spaces, quotes or brackets"
	case local == "", domain == "", strings.Contains(domain, "@"):
		return "must have one @, with something before and after it"
	case utf8.RuneCountInString(local) > 64:
		return "has more than 64 characters before the @"
	case slices.ContainsFunc(strings.Split(domain, "."), func(label string) bool {
		return label == "" || label[0] == '-' || label[len(label)-1] == '-'
	}):
		return "must have a host name after the @"
	}
	return ""
}

func customNameProblem(s string) string {
	switch {
	case s == "":
		return "has a field without a name"
	case utf8.RuneCountInString(s) > maxCustomName:
		return "has a field whose name is longer than 64 characters"
	case strings.ContainsFunc(s, unicode.IsControl):
		return "has a field whose name " + hasControl
	}
	return ""
}

func customValueProblem(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && !strings.ContainsRune("\t\r\n", r) }) {
		return hasControl + " other than tab and line breaks"
	}
	return ""
}
