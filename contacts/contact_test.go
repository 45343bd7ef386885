package contacts

import (
	"errors"
	"strings"
	"testing"

	"latchkey/problem"
)

// wordsOf returns what an error says to the caller.
func wordsOf(err error) string {
	var e *problem.Error
	if errors.As(err, &e) {
		return e.Detail
	}
	return ""
}

func TestPhoneProblem(t *testing.T) {
	for phone, word := range map[string]string{
		"10": "", "4915112345678": "", "123456789012345": "", "99": "",
		"": "empty", "1": "2 to 15", "1234567890123456": "2 to 15", strings.Repeat("1", 1<<16): "2 to 15",
		"0123456": "country code", "00": "country code", "0": "country code",
		"+4915112345678": "leave out the +", "+": "leave out the +", "+49 151": "spaces", "++49": "spaces",
		"49-151": "dashes", " 49151": "spaces", "49151 ": "spaces", "49151\n": "spaces", "(49)151": "brackets",
		"49151x2": "digits only", "４９": "digits only", "١٢٣": "digits only", "1e5": "digits only", "\xff\xff": "digits only",
	} {
		got := phoneProblem(phone)
		if (got == "") != (word == "") || !strings.Contains(got, word) {
			t.Errorf("phone %.40q: %q, want words with %q", phone, got, word)
		}
	}
}

func TestEmailProblem(t *testing.T) {
	for email, word := range map[string]string{
		"": "", "a@b": "", "ada@example.com": "", "a.b+c@x-y.example": "", "jürgen@müller.example": "", "o'neil@example.com": "",
		strings.Repeat("a", 64) + "@b": "", strings.Repeat("a", 65) + "@b": "64 characters",
		"ada": "one @", "@example.com": "one @", "ada@": "one @", "a@b@c": "one @", "@": "one @",
		"Ada <ada@example.com>": "bare", "ada @example.com": "bare", "ada@example.com,b@c": "bare", `"a b"@c`: "bare", "a@b\n": "bare", "a\x00@b": "bare",
		"a@.com": "host name", "a@b..c": "host name", "a@b.": "host name", "a@-b": "host name", "a@b-.c": "host name", "a@[127.0.0.1]": "bare",
	} {
		got := emailProblem(email)
		if (got == "") != (word == "") || !strings.Contains(got, word) {
			t.Errorf("email %.40q: %q, want words with %q", email, got, word)
		}
	}
}

func TestFieldName(t *testing.T) {
	for in, want := range map[string]string{
		"display_name": "display_name", "custom.größe": "custom.größe", "a b": "a b", "The body": "The body",
		"a\nb": `"a\nb"`, "\u202egnp": `"\u202egnp"`, "a;b": `"a;b"`, "\x1b[31m": `"\x1b[31m"`,
		strings.Repeat("é", 80): strings.Repeat("é", 80), strings.Repeat("é", 81): strings.Repeat("é", 80) + "…",
		strings.Repeat("界", 1000): strings.Repeat("界", 80) + "…",
	} {
		if got := fieldName(in); got != want {
			t.Errorf("fieldName(%.40q) = %q, want %q", in, got, want)
		}
	}
}

func TestLoneSurrogates(t *testing.T) {
	for text, want := range map[string]bool{
		`"x"`: false, `"\ud83d\ude00"`: false, `"\uD83D\uDE00\uD83D\uDE00"`: false, `"\\ud83d"`: false, `"\\\\ud83d"`: false, `"\ue000\ud7ff"`: false,
		`"\ud83d"`: true, `"\ude00"`: true, `"\ude00\ud83d"`: true, `"\ud83d\ud83d"`: true, `"\ud83dx\ude00"`: true, `"\\\ud83d"`: true,
		`"\ud83d\n"`: true, `"\ud83d\ude00\ude00"`: true, `{"\udfff":1}`: true,
	} {
		if got := hasLoneSurrogate([]byte(text)); got != want {
			t.Errorf("hasLoneSurrogate(%s) = %v", text, got)
		}
	}
}
