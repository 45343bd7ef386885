package jwt_test

import (
	"strings"
	"testing"

	"latchkey/jwt"
)

// TestCheckPair: a Secret Key in the place of the ID is found before it is in a token.
func TestCheckPair(t *testing.T) {
	const uuid = "74f80a77-9b3f-44ac-b3ad-ab68cfb548fa"
	const made = "cPQku7lnSLbnK88UFOBg1a6Q3t1w1RgK"
	for _, c := range []struct{ rule, id, key, says string }{
		{"as it belongs", uuid, made, ""},
		{"swapped", made, uuid, "swapped"},
		{"swapped, in capitals", made, strings.ToUpper(uuid), "swapped"},
		{"joined", uuid, uuid + "||" + made, "the key alone"},
		{"another's ID of hexadecimal characters", "0af7651916cd43dd8448eb211c80319c", uuid, ""},
		{"two of one form", made, made, ""}, {"two IDs", uuid, uuid, ""},
		{"a key with bars", uuid, "||" + made, ""}, {"no ID", "", "||" + made, ""},
	} {
		err := jwt.CheckPair(c.id, c.key)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.rule, err, c.says)
		}
		if err != nil && (strings.Contains(err.Error(), made) || strings.Contains(err.Error(), uuid)) {
			t.Errorf("%s: the error has a value in it", c.rule)
		}
	}
}
