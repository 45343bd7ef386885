package latchkey

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestAPIKeyForm(t *testing.T) {
	form := regexp.MustCompile(`^lk_[0-9A-Za-z]{38}$`)
	seen := make(map[string]bool)
	for range 2000 {
		key := NewAPIKey(DefaultKeyPrefix).Reveal()
		if !form.MatchString(key) {
			t.Fatal("a key is not lk_ and 38 base62 characters")
		}
		if seen[key] {
			t.Fatal("the same key twice")
		}
		seen[key] = true
		// The checksum, worked out another way: a base62 number, most significant digit first.
		var sum uint64
		for _, c := range key[len(key)-6:] {
			sum = sum*62 + uint64(strings.IndexRune(base62, c))
		}
		if sum != uint64(crc32.ChecksumIEEE([]byte(key[:len(key)-6]))) {
			t.Fatal("the last six characters are not the CRC-32 of the rest")
		}
	}
}

func TestChecksumIsPadded(t *testing.T) {
	for i := 0; ; i++ {
		body := fmt.Sprint("lk_", i)
		if crc32.ChecksumIEEE([]byte(body)) < 62*62 {
			if got := checksum(body); len(got) != 6 || !strings.HasPrefix(got, "0000") {
				t.Errorf("checksum of a small CRC is %q, must be six characters, left-padded with 0", got)
			}
			return
		}
	}
}

func TestRandomBase62UsesEveryCharacterAlike(t *testing.T) {
	const n = 62 * 2000
	var count [256]int
	for _, c := range []byte(randomBase62(n)) {
		count[c]++
	}
	for _, c := range []byte(base62) {
		// 2000 ± 10 standard deviations: a bias of the naive byte%62 would show as 2418 to 1934.
		if count[c] < 1700 || count[c] > 2300 {
			t.Errorf("%c came %d times of 2000 expected", c, count[c])
		}
	}
}

func TestFormOf(t *testing.T) {
	key := NewAPIKey("lk_").Reveal()
	swapped := []byte(key)
	for i := 3; i < 30; i++ {
		if swapped[i] != swapped[i+1] {
			swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
			break
		}
	}
	for _, c := range []struct {
		what, value string
		want        keyForm
	}{
		{"a whole key", key, formWhole},
		{"one character short", key[:len(key)-1], formBroken},
		{"one character more", key + "A", formBroken},
		{"two characters swapped", string(swapped), formBroken},
		{"only the prefix", "lk_", formBroken},
		{"another service's", "sk_live_" + key, formForeign},
	} {
		if got := formOf("lk_", c.value); got != c.want {
			t.Errorf("%s: form %d, must be %d", c.what, got, c.want)
		}
	}
}

func TestValidForImport(t *testing.T) {
	for _, c := range []struct {
		rule, value string
		good        bool
	}{
		{"16 bytes", strings.Repeat("a", 16), true},
		{"15 bytes", strings.Repeat("a", 15), false},
		{"512 bytes", strings.Repeat("a", 512), true},
		{"513 bytes", strings.Repeat("a", 513), false},
		{"all of token68", "abcXYZ019-_~+/abc==", true},
		{"a dot", "abcdefgh.ijklmnop", false},
		{"a space", "abcdefgh ijklmnop", false},
		{"= in the middle", "abcdefgh=ijklmnop", false},
		{"not ASCII", "abcdefghijklmnopé", false},
		{"a line break at the end", "abcdefghijklmnop\n", false},
	} {
		err := ValidAPIKey(c.value)
		if (err == nil) != c.good {
			t.Errorf("key with %s: %v", c.rule, err)
		}
		if err != nil && strings.Contains(err.Error(), c.value) {
			t.Errorf("key with %s: the error holds the value", c.rule)
		}
	}
	long := strings.Repeat("k", 32)
	for _, c := range []struct {
		rule, id, key string
		good          bool
	}{
		{"a UUID", "74f80a77-9b3f-44ac-b3ad-ab68cfb548fa", long, true},
		{"a bar in the ID", "a|b", long, false},
		{"a bar in the key", "a", long + "|", true},
		{"a space in the ID", "a b", long, false},
		{"an empty ID", "", long, false},
		{"an ID of 257", strings.Repeat("a", 257), long, false},
		{"a short key", "a", "short", false},
		{"a control character in the key", "a", long + "\x7f", false},
		{"its halves swapped", long, "74f80a77-9b3f-44ac-b3ad-ab68cfb548fa", true},
		{"the ID before the key", "a", "a||" + long, true},
	} {
		if err := ValidAPISecret(c.id, c.key); (err == nil) != c.good {
			t.Errorf("secret with %s: %v", c.rule, err)
		}
	}
}

func TestValidTeamName(t *testing.T) {
	for _, c := range []struct {
		rule, name string
		good       bool
	}{
		{"plain", "Acme Inc.", true}, {"not ASCII", "Łódź 株式会社", true}, {"64 characters", strings.Repeat("é", 64), true},
		{"65 characters", strings.Repeat("é", 65), false}, {"empty", "", false}, {"space at the end", "acme ", false},
		{"a line break", "ac\nme", false}, {"an escape", "ac\x1b[31mme", false}, {"like an ID", "Team_x", false},
		{"bidi override", "ac\u202eme", false}, {"bad UTF-8", "ac\xffme", false},
	} {
		if err := ValidTeamName(c.name); (err == nil) != c.good {
			t.Errorf("name that is %s: %v", c.rule, err)
		}
	}
}

func TestSecretNeverPrints(t *testing.T) {
	value := NewAPIKey(DefaultKeyPrefix)
	clear := value.Reveal()
	held := struct{ S Secret }{value}
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "secret", value, "held", held, "pointer", &value)
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "secret", value, "held", held, "pointer", &value)
	encoded, err := json.Marshal(map[string]any{"a": value, "b": held, "c": &value})
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		for _, v := range []any{value, &value, held, &held, []Secret{value}} {
			text := fmt.Sprintf(verb, v)
			if strings.Contains(text, clear) || strings.Contains(strings.ToLower(text), fmt.Sprintf("%x", clear)) {
				t.Errorf("%s of %T prints the value", verb, v)
			}
		}
	}
	if strings.Contains(logged.String()+string(encoded)+fmt.Sprint(value)+fmt.Errorf("x: %w, %v", errors.New("y"), value).Error(), clear) {
		t.Error("a logger, an encoder or an error prints the value")
	}
}

func TestSealBindsToTheRow(t *testing.T) {
	sealer, err := CreateKeyset(filepath.Join(t.TempDir(), "keyset.json"))
	if err != nil {
		t.Fatal(err)
	}
	row := Credential{ID: "key_1", TeamID: "team_1", Kind: KindAPIKey}
	value := NewAPIKey(DefaultKeyPrefix)
	if row.Sealed, err = sealer.Seal(&row, value); err != nil {
		t.Fatal(err)
	}
	if opened, err := sealer.Open(&row); err != nil || opened != value {
		t.Fatalf("a sealed value does not open in its own row: %v", err)
	}
	for rule, move := range map[string]func(*Credential){
		"another team":     func(c *Credential) { c.TeamID = "team_2" },
		"another kind":     func(c *Credential) { c.Kind = KindAPISecret },
		"another ID":       func(c *Credential) { c.ID = "key_2" },
		"parts run over":   func(c *Credential) { c.TeamID, c.ID = "team_", "1key_1" },
		"a changed byte":   func(c *Credential) { c.Sealed = append([]byte{}, c.Sealed...); c.Sealed[len(c.Sealed)-1] ^= 1 },
		"an empty value":   func(c *Credential) { c.Sealed = nil },
		"a value in clear": func(c *Credential) { c.Sealed = []byte(value.Reveal()) },
	} {
		moved := row
		move(&moved)
		if _, err := sealer.Open(&moved); err == nil {
			t.Errorf("%s: the sealed value opens", rule)
		} else if strings.Contains(err.Error(), value.Reveal()) {
			t.Errorf("%s: the error holds the value", rule)
		}
	}
}

func TestKeysetFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyset.json")
	if _, err := OpenKeyset(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing keyset: %v, must be fs.ErrNotExist", err)
	}
	made, err := CreateKeyset(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a new keyset has mode %v, must be 0600 (%v)", info.Mode(), err)
	}
	if _, err := CreateKeyset(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a keyset is overwritten: %v", err)
	}
	probe, err := made.Probe()
	if err != nil {
		t.Fatal(err)
	}
	again, err := OpenKeyset(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.CheckProbe(probe); err != nil {
		t.Errorf("the same keyset, opened again: %v", err)
	}
	other, err := CreateKeyset(filepath.Join(t.TempDir(), "other.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := other.CheckProbe(probe); err == nil {
		t.Error("another keyset passes for the store's own")
	}
	for _, mode := range []fs.FileMode{0o644, 0o660, 0o604} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenKeyset(path); err == nil {
			t.Errorf("a keyset with mode %o is opened", mode)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(t.TempDir(), "half.json")
	if err := os.WriteFile(half, text[:len(text)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKeyset(half); err == nil || strings.Contains(err.Error(), string(text[:40])) {
		t.Errorf("half a keyset: %v, must be an error that quotes nothing", err)
	}
}

func TestRecordJSON(t *testing.T) {
	in := Record{RequestID: "x", Time: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.FixedZone("", 3600)), Auth: MethodJWT, Status: 200}
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"request_id":"x","time":"2026-01-02T02:04:05.000006Z","node":"","team_id":"",`; !strings.HasPrefix(string(text), want) {
		t.Errorf("record begins %.90s, must begin %s", text, want)
	}
	var back Record
	if err := json.Unmarshal(text, &back); err != nil || !back.Time.Equal(in.Time) || back.Auth != MethodJWT || strings.Count(string(text), `"time"`) != 1 {
		t.Errorf("a record does not come back from JSON: %v", err)
	}
}
