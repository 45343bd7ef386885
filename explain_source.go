package latchkey

import (
	"regexp"
	"strings"
)

var (
	// headerString is where a whole header begins in one string: "Authorization: …".
	headerString = regexp.MustCompile("(?i)[\"'`][ \t]*authorization[ \t]*:")

	// headerPair is where source code gives the header a value:
	// "Authorization": …, or with a comma, =>, or ]= between the two.
	headerPair = regexp.MustCompile("(?i)(.?)[\"'`]authorization[\"'`]\\s*(=>|\\][ \t]*=|[:,=])\\s*(?:\\[\\]string\\{|\\[)?\\s*(?:[\"']?value[\"']?[ \t]*:[ \t]*)?")

	// headerName is the same without quotes, which must have a string as value
	// unless a brace stands before it.
	headerName = regexp.MustCompile(`(?i)(?:(\{)\s*|^|[^\w'"-])authorization[ \t]*(?:=>|:=|[:=])[ \t]*`)

	// basicCall is where a library gets a user name and a password.
	basicCall = regexp.MustCompile(`(?i)(?:basic_?auth(?:entication)?|\bcredentials\.basic)\([ \t]*|basic_auth[ \t]+|\bauth['"]?[ \t]*(?:=>|[:=])[ \t]*[(\[][ \t]*`)

	// basicPair is the same with names, and passwordName what stands before the second.
	basicPair    = regexp.MustCompile(`(?i)\bauth['"]?[ \t]*(?:=>|[:=])[ \t]*\{\s*['"]?user(?:name)?['"]?[ \t]*(?:=>|[:=])[ \t]*`)
	passwordName = regexp.MustCompile(`(?i)^\s*,\s*(?:['"]?pass(?:word)?['"]?[ \t]*(?:=>|[:=])[ \t]*)?`)
	argumentName = regexp.MustCompile(`(?i)^user(?:name)?[ \t]*[=:][ \t]*`)

	// schemeArgument is where a library gets the scheme and the credential apart.
	schemeArgument = regexp.MustCompile(`(?i)AuthenticationHeaderValue\(\s*"(Bearer|Basic)"\s*,\s*`)

	// printedMap is a Go program's http.Header as it is printed.
	printedMap = regexp.MustCompile(`\bmap\[(?:[^\n]*[ ])?Authorization:\[([^\]\n]*)\]`)

	// schemeString is a string that begins as a header's value does.
	schemeString = regexp.MustCompile("(?i)[fFbBrRuU$@]{0,2}[\"'`](?:Bearer|Basic) ")
)

// headerStrings finds Authorization headers as a program is given them, each in
// one string: -H "Authorization: …".
func headerStrings(text string) (pasted, bool) {
	var fields []string
	for _, at := range headerString.FindAllStringIndex(text, maxFound) {
		if e, ok := readExpression(text[at[0]:]); ok && e.literal {
			_, value, _ := strings.Cut(e.value, ":")
			fields = append(fields, strings.TrimSpace(value))
		}
	}
	return pasted{fields: fields}, fields != nil
}

// headerPairs finds Authorization headers as source code has them, name and
// value apart.
func headerPairs(text string) (pasted, bool) {
	var fields []string
	for _, m := range headerPair.FindAllStringSubmatchIndex(text, maxFound) {
		e, ok := readExpression(text[m[1]:])
		first, _, _ := strings.Cut(e.value, " ")
		// ["Authorization", "Accept"] is a list of names.
		if list := text[m[4]:m[5]] == "," && text[m[2]:m[3]] != "("; ok && (!list || schemeOf(first) != "") {
			fields = append(fields, strings.TrimSpace(e.value))
		}
	}
	for _, m := range schemeArgument.FindAllStringSubmatchIndex(text, maxFound) {
		if e, ok := readExpression(text[m[1]:]); ok {
			fields = append(fields, text[m[2]:m[3]]+" "+e.value)
		}
	}
	if m := printedMap.FindStringSubmatch(text); m != nil {
		fields = append(fields, m[1])
	}
	if fields != nil {
		return pasted{fields: fields}, true
	}
	for _, m := range headerName.FindAllStringSubmatchIndex(text, maxFound) {
		if e, ok := readExpression(text[m[1]:]); ok && (e.literal || m[2] >= 0) {
			fields = append(fields, strings.TrimSpace(e.value))
		}
	}
	return pasted{fields: fields}, fields != nil
}

// schemeStrings finds a header's value as a string of source code.
func schemeStrings(text string) (pasted, bool) {
	at := schemeString.FindStringIndex(text)
	if at == nil {
		return pasted{}, false
	}
	e, ok := readExpression(text[at[0]:])
	return pasted{fields: []string{strings.TrimSpace(e.value)}, as: "A string, read here as the value of an Authorization header."}, ok
}

// basicCalls finds the user name and password that a library is given.
func basicCalls(text string) (pasted, bool) {
	for _, form := range []*regexp.Regexp{basicCall, basicPair} {
		for _, at := range form.FindAllStringIndex(text, maxFound) {
			user, ok := readExpression(argumentName.ReplaceAllString(text[at[1]:], ""))
			if !ok || !user.literal && !strings.ContainsAny(text[at[0]:at[1]], "([{") {
				continue // prose
			}
			var password expression
			if between := passwordName.FindString(user.rest); between != "" {
				if password, _ = readExpression(user.rest[len(between):]); password.none {
					password.value = "None"
				}
			}
			return pasted{
				fields: []string{basicOf(user.value + ":" + password.value)},
				as:     "A user name and a password in source code, read here as a library sends them: by Basic.",
			}, true
		}
	}
	return pasted{}, false
}

// An expression is a string in source code.
type expression struct {
	value   string // with variable for what is no literal
	literal bool   // it begins with a literal
	none    bool   // it is Python's None
	rest    string // what follows it
}

var (
	joint      = regexp.MustCompile(`^[ \t\r\n]*(?:\+|\.\.|&|\.)[ \t\r\n]*`)
	formatCall = regexp.MustCompile(`^(?i:[\w.:]*(?:format|sprintf)!?\([ \t]*)`)
	formatted  = regexp.MustCompile(`^(?:\.format\(|[ \t]*%[ \t]*[\w(])`)
	directive  = regexp.MustCompile(`%[svq]|\{[\w:]*\}`)
	operand    = regexp.MustCompile(`^[A-Za-z_$@&*][^,;\n{}]*`)
)

// readExpression reads a string at the beginning of code: literals, and what
// else there is joined to them.
func readExpression(code string) (expression, bool) {
	var e expression
	for first := true; ; first = false {
		call := formatCall.FindString(code)
		literal, rest, ok := readLiteral(code[len(call):])
		if !ok {
			name := operand.FindString(code)
			if name == "" && first {
				return e, false
			}
			e.none = first && strings.TrimRight(name, ") \t\r") == "None"
			e.value += variable
			e.rest = code[len(name):]
			return e, true
		}
		if call != "" || formatted.MatchString(rest) {
			literal = directive.ReplaceAllString(literal, variable)
		}
		e.value, e.literal, e.rest = e.value+literal, e.literal || first, rest
		between := joint.FindString(rest)
		after := rest[len(between):]
		method := between == "." && !strings.HasSuffix(literal, " ") && after != "" && !literalStart.MatchString(after) && after[0] != '$'
		if between == "" || method || formatted.MatchString(rest) {
			return e, true
		}
		code = after
	}
}

// readLiteral reads a string between quotes of any kind; what is put into it
// becomes variable. It may not be longer than twice what a header may be.
func readLiteral(code string) (value, rest string, ok bool) {
	start := literalStart.FindString(code)
	if start == "" {
		return "", "", false
	}
	quote, prefix := start[len(start)-1], strings.ToLower(start[:len(start)-1])
	fills := quote != '\'' || prefix != ""
	braces := strings.ContainsAny(prefix, "f$")
	var b strings.Builder
	for at := len(start); at < min(len(code), 2*MaxAuthorization); {
		switch c := code[at]; {
		case c == quote:
			return b.String(), code[at+1:], true
		case c == '\n' && quote != '`':
			return "", "", false
		case c == '\\' && at+1 < len(code) && quote != '\'' || c == '\\' && strings.HasPrefix(code[at+1:], "'"):
			b.WriteByte(unescaped(code[at+1]))
			at += 2
		default:
			if n := interpolated(code[at:], fills, braces); n > 0 {
				b.WriteString(variable)
				at += n
				continue
			}
			b.WriteByte(c)
			at++
		}
	}
	return "", "", false
}

func unescaped(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

// interpolated returns how many bytes of what text begins with, inside a
// string, are a variable.
func interpolated(text string, fills, braces bool) int {
	switch {
	case fills && text[0] == '$':
		return dollarIn(text)
	case fills && strings.HasPrefix(text, "#{"):
		if n := closedIn(text[1:min(len(text), maxVariable)], '{', '}'); n > 0 {
			return 1 + n
		}
	case braces && text[0] == '{':
		return closedIn(text[:min(len(text), maxVariable)], '{', '}')
	}
	return 0
}
