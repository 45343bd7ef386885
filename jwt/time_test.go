package jwt_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"latchkey/jwt"
)

// Groups C02, D05, D06, D09 and D10: alive while
// iat - leeway <= now < iat + 300 s, nbf - leeway <= now < exp.
func TestCheckTime(t *testing.T) {
	const alive = ""
	for _, c := range []struct {
		id, more string
		now      time.Duration // from iat on
		leeway   time.Duration
		want     string // the claim, and by how much
	}{
		{"C02", ``, 0, 0, alive},
		{"C02", ``, 299 * time.Second, 0, alive},
		{"C02", ``, 299999 * time.Millisecond, leeway, alive},
		{"C02", ``, 300*time.Second - time.Microsecond, leeway, alive},
		{"C02", ``, 300*time.Second - time.Nanosecond, leeway, alive},
		{"C02", ``, 300 * time.Second, leeway, "expired iat 0s"},
		{"C02", ``, 300*time.Second + time.Microsecond, leeway, "expired iat 1µs"},
		{"D06", ``, 300*time.Second - time.Millisecond, leeway, alive},
		{"D06", ``, 300*time.Second + time.Millisecond, leeway, "expired iat 1ms"},
		{"D06", ``, 301 * time.Second, leeway, "expired iat 1s"},
		{"D06", ``, 301 * time.Second, 24 * time.Hour, "expired iat 1s"}, // leeway lengthens no life
		{"D06", ``, 10 * 365 * 24 * time.Hour, leeway, "expired iat 87599h55m0s"},
		{"D05", ``, -time.Second, leeway, alive},
		{"D05", ``, -30 * time.Second, leeway, alive},
		{"D05", ``, -30*time.Second - time.Microsecond, leeway, "early iat 30.000001s"},
		{"D05", ``, -30*time.Second - time.Nanosecond, leeway, "early iat 30.000001s"},
		{"D05", ``, -31 * time.Second, leeway, "early iat 31s"},
		{"D05", ``, -time.Microsecond, 0, "early iat 1µs"},
		{"D05", ``, -31 * time.Second, 60 * time.Second, alive},
		{"D05", ``, -100 * 365 * 24 * time.Hour, leeway, "early iat 876000h0m0s"},

		{"D09", `,"exp":1713225700`, 99*time.Second + 999999*time.Microsecond, leeway, alive},
		{"D09", `,"exp":1713225700`, 100 * time.Second, leeway, "expired exp 0s"},
		{"D09", `,"exp":1713225700`, 100 * time.Second, 24 * time.Hour, "expired exp 0s"},
		{"D09", `,"exp":1713225700.25`, 100*time.Second + 250*time.Millisecond, leeway, "expired exp 0s"},
		{"D09", `,"exp":1713225700`, 400 * time.Second, leeway, "expired exp 5m0s"},
		{"D09", `,"exp":1713225900`, 400 * time.Second, leeway, "expired iat 1m40s"},
		{"D09", `,"exp":1713229200`, 300 * time.Second, leeway, "expired iat 0s"},
		{"D09", `,"exp":253402300799`, 300 * time.Second, leeway, "expired iat 0s"},
		{"D09", `,"exp":1713225500`, 0, leeway, "expired exp 1m40s"}, // dead before it was born
		{"D09", `,"exp":0`, 0, leeway, "expired exp 475896h0m0s"},

		{"D10", `,"nbf":1713225700`, 70 * time.Second, leeway, alive},
		{"D10", `,"nbf":1713225700`, 70*time.Second - time.Microsecond, leeway, "early nbf 30.000001s"},
		{"D10", `,"nbf":1713225700`, 99 * time.Second, 0, "early nbf 1s"},
		{"D10", `,"nbf":1713225700`, 100 * time.Second, 0, alive},
		{"D10", `,"nbf":1713226000`, 299 * time.Second, leeway, "early nbf 1m41s"},
		{"D10", `,"nbf":1713226000`, 300 * time.Second, leeway, "expired iat 0s"}, // death is final, so it is told first
		{"D10", `,"nbf":0`, -31 * time.Second, leeway, "early iat 31s"},
		{"D10", `,"nbf":0`, 0, 0, alive},
		{"D10", `,"nbf":1713225700,"exp":1713225650`, 60 * time.Second, leeway, "expired exp 10s"},
	} {
		t.Run(fmt.Sprintf("%s%s at %v leeway %v", c.id, c.more, c.now, c.leeway), func(t *testing.T) {
			var tok jwt.Token
			if err := tok.Parse(token(header, claims(c.more))); err != nil {
				t.Fatal(err)
			}
			got := alive
			if err := tok.CheckTime(time.Unix(signedAt, 0).Add(c.now), c.leeway); err != nil {
				var refused *jwt.TimeError
				if !errors.As(err, &refused) {
					t.Fatalf("CheckTime returned a %T, want *TimeError", err)
				}
				got = "early"
				if refused.Expired {
					got = "expired"
				}
				got = fmt.Sprint(got, " ", refused.Claim, " ", refused.By)
			}
			if got != c.want {
				t.Errorf("rule broken: alive while iat - leeway <= now < iat + 300 s, nbf - leeway <= now < exp: got %q, want %q", got, c.want)
			}
		})
	}
}

// No time that a server's clock could show, however wrong, upsets the check.
func TestCheckTimeFarAway(t *testing.T) {
	for _, iat := range []string{`0`, `253402300799`} {
		var tok jwt.Token
		if err := tok.Parse(token(header, issued(iat))); err != nil {
			t.Fatal(err)
		}
		for _, now := range []time.Time{{}, time.Unix(0, 0), time.Unix(jwt.MaxTime+300, 0), time.Date(99999, 1, 1, 0, 0, 0, 0, time.UTC)} {
			var refused *jwt.TimeError
			err := tok.CheckTime(now, leeway)
			if now.Unix() == 0 && iat == `0` {
				if err != nil {
					t.Errorf("a token of 1970 is alive in 1970: %v", err)
				}
			} else if !errors.As(err, &refused) || refused.Expired != now.After(tok.IssuedAt()) || refused.By < 0 {
				t.Errorf("iat %s at %v: %v", iat, now, err)
			}
		}
	}
}

func TestCheckTimeOfNothing(t *testing.T) {
	var tok jwt.Token
	var refused *jwt.TimeError
	if err := tok.CheckTime(now, leeway); !errors.As(err, &refused) || !refused.Expired {
		t.Errorf("a Token that never parsed is dead: %v", err)
	}
}

func TestErrorTexts(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&jwt.Error{Kind: jwt.Form, Detail: "the header is empty"}, "token form: the header is empty"},
		{&jwt.Error{Kind: jwt.Algorithm, Detail: "d"}, "token algorithm: d"},
		{&jwt.Error{Kind: jwt.Claim, Detail: "d"}, "token claim: d"},
		{&jwt.Error{}, "token unknown: "},
		{&jwt.TimeError{Expired: true, By: 12 * time.Second, Claim: "iat"}, "token expired 12s ago, five minutes after its iat"},
		{&jwt.TimeError{Expired: true, By: time.Second, Claim: "exp"}, "token expired 1s ago, by its exp"},
		{&jwt.TimeError{By: 31 * time.Second, Claim: "iat"}, "token is not valid yet: its iat is 31s in the future"},
		{&jwt.TimeError{By: time.Minute, Claim: "nbf"}, "token is not valid yet: its nbf is 1m0s in the future"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
