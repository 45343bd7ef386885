package latchkey_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"latchkey"
)

// fieldOf draws an Authorization field: a mistake that people make, or another
// one, with up to three random changes.
func (s *scene) fieldOf(rt *rapid.T, slips []slip) string {
	users := []string{s.key, s.dead, s.secret, s.id, "", "lk_", "a.b.c", "lk_a.b", s.key + "\n", strings.Repeat("x", 600), "lk_" + strings.Repeat("x", 600), s.id + "||" + s.secret}
	field := rapid.SampledFrom(slips).Draw(rt, "slip").field
	switch rapid.IntRange(0, 4).Draw(rt, "origin") {
	case 0:
		field = basic(mutated(rt, rapid.SampledFrom(users).Draw(rt, "user")) + mutated(rt, ":"))
	case 1:
		payload := fmt.Sprintf(`{"iss":%q,"iat":%d}`, rapid.SampledFrom([]string{s.id, s.revokedID, s.disabledID, "x"}).Draw(rt, "iss"), s.now().Unix()+rapid.Int64Range(-700, 700).Draw(rt, "iat"))
		field = "Bearer " + sign(mutated(rt, payload), rapid.SampledFrom([]string{s.id + "||" + s.secret, s.secret, ""}).Draw(rt, "secret"))
	case 2:
		field = rapid.SampledFrom([]string{"Bearer ", "Basic ", "", "Token "}).Draw(rt, "scheme") + rapid.StringN(0, 40, 80).Draw(rt, "text")
	}
	return mutated(rt, field)
}

func mutated(rt *rapid.T, field string) string {
	for range rapid.IntRange(0, 3).Draw(rt, "mutations") {
		at := rapid.IntRange(0, len(field)).Draw(rt, "at")
		switch rapid.IntRange(0, 3).Draw(rt, "kind") {
		case 0:
			field = field[:at] // cut
		case 1:
			field = field[:at] + rapid.SampledFrom([]string{" ", ".", ":", "=", "\n", "\t", "|", "||", "a", "_", "+", "é", "\x00", "\"", "lk_", "Bearer ", "Basic "}).Draw(rt, "insert") + field[at:]
		case 2:
			field = field[at:]
		case 3:
			field = strings.ToUpper(field[:at]) + field[at:]
		}
	}
	return field
}

// agrees holds one explanation to what Authenticate says of the same fields.
func (s *scene) agrees(t rapid.TB, want latchkey.Reason, e latchkey.Explanation) {
	t.Helper()
	if e.Reason != want {
		t.Fatalf("Authenticate says %s, Explain says %s", want, e.Reason)
	}
	if refused := want != latchkey.ReasonOK; refused != (e.Verdict == latchkey.VerdictFails) || refused != (e.Mistake != "") || refused != (e.Mend != "") {
		t.Fatalf("%s: verdict %s, mistake %q, mend %q", want, e.Verdict, e.Mistake, e.Mend)
	}
	for _, v := range s.values {
		if strings.Contains(fmt.Sprint(e), v) {
			t.Fatalf("the explanation holds a secret value")
		}
	}
}

// TestExplainAgrees holds Explain to Authenticate: whatever is sent, both give
// the same reason, and a refusal always comes with words.
func TestExplainAgrees(t *testing.T) {
	s := newScene(t)
	slips := s.slips()
	rapid.Check(t, func(rt *rapid.T) {
		var fields []string
		for range rapid.SampledFrom([]int{0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2}).Draw(rt, "fields") {
			fields = append(fields, s.fieldOf(rt, slips))
		}
		s.agrees(rt, s.reason(t, fields), s.Explain(context.Background(), latchkey.Question{Fields: fields}))
	})
}

// TestExplainTextAgrees holds the same of a header that was pasted, as it
// stands in one line.
func TestExplainTextAgrees(t *testing.T) {
	s := newScene(t)
	slips := s.slips()
	rapid.Check(t, func(rt *rapid.T) {
		field := s.fieldOf(rt, slips)
		if strings.ContainsAny(field, "\r\n") || sourceLike(field) {
			rt.Skip()
		}
		text := rapid.SampledFrom([]string{"Authorization: ", "authorization:", "> Authorization: "}).Draw(rt, "name") + field
		s.agrees(rt, s.reason(t, []string{field}), s.Explain(context.Background(), latchkey.Question{Text: text}))
	})
}

// sourceLike reports whether a value may be read as one of source code.
func sourceLike(field string) bool {
	field = strings.Trim(field, " \t")
	return strings.HasSuffix(field, ",") || strings.ContainsAny(field[:min(len(field), 3)], "\"'`")
}

func FuzzExplain(f *testing.F) {
	s := newScene(f)
	slips := s.slips()
	if len(slips) != 101 {
		f.Fatalf("%d seeds, must be 101", len(slips))
	}
	for _, c := range slips {
		f.Add(c.field)
	}
	f.Fuzz(func(t *testing.T, field string) {
		fields := []string{field}
		s.agrees(t, s.reason(t, fields), s.Explain(t.Context(), latchkey.Question{Fields: fields}))
	})
}

func FuzzExplainText(f *testing.F) {
	s := newScene(f)
	rows := s.texts()
	if len(rows) != 94 {
		f.Fatalf("%d seeds, must be 94", len(rows))
	}
	for _, c := range rows {
		f.Add(c.text)
	}
	// Where a form is not closed, or goes on for ever.
	for _, text := range []string{
		"curl -u \"$(", "curl -H $'Authorization: \\", "curl -u", "curl -u '", "curl \\\n", "curl `", `{"Authorization": f"Bearer {`, `{"Authorization": "`,
		`"Bearer " + `, `"Authorization": "Bearer " . `, `auth=("`, `auth={username: "x", password:`, "map[ Authorization:[", "https://%zz:%@x",
		strings.Repeat("Authorization: \"", 50), strings.Repeat("curl -u $(", 50), "Authorization: ${\x00}", "Bearer ${\x00}", "${\x00}:${\x00}",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e := s.Explain(t.Context(), latchkey.Question{Text: text})
		switch {
		case e.Verdict == latchkey.VerdictPasses && e.Reason == latchkey.ReasonOK && e.Mistake == "":
		case e.Verdict == latchkey.VerdictFails && e.Reason != "" && e.Reason != latchkey.ReasonOK && e.Mistake != "" && e.Mend != "":
		case e.Verdict == latchkey.VerdictUnknown && e.Reason == "" && e.Mistake == "" && e.Mend != "":
		default:
			t.Errorf("verdict %q, reason %q, mistake %q, mend %q do not go together", e.Verdict, e.Reason, e.Mistake, e.Mend)
		}
		if len(e.Facts) == 0 {
			t.Error("nothing is said about what it is")
		}
		sentence(t, "", e)
	})
}
