package console

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"latchkey"
)

// A browser that somebody has logged in from keeps a cookie that says so, for
// that user alone. Its tries count apart from those of strangers who share its
// address, so that they cannot hold a log-in up; it is no part of the proof who
// somebody is.
const (
	deviceCookie = "__Host-latchkey-device"
	deviceTime   = 180 * 24 * time.Hour // from the last log-in
	deviceKind   = latchkey.Kind("device")
)

// deviceOf returns the name of the device that a user has logged in from
// before, or "" if this is none.
func (v *visit) deviceOf(user latchkey.User) string {
	cookies := v.r.CookiesNamed(deviceCookie)
	if len(cookies) != 1 || user.ID == "" {
		return ""
	}
	sealed, err := base64.RawURLEncoding.DecodeString(cookies[0].Value)
	if err != nil {
		return ""
	}
	value, err := v.Keyring.Sealer.Open(&latchkey.Credential{Kind: deviceKind, ID: user.ID, Sealed: sealed})
	if err != nil {
		return ""
	}
	name, since, _ := strings.Cut(value.Reveal(), " ")
	seconds, err := strconv.ParseInt(since, 10, 64)
	if age := v.now().Sub(time.Unix(seconds, 0)); err != nil || age > deviceTime {
		return ""
	}
	return name
}

// knowDevice makes this browser one that the user has logged in from.
func (v *visit) knowDevice(user latchkey.User) error {
	name := v.deviceOf(user)
	if name == "" {
		name = rand.Text()
	}
	value := latchkey.NewSecret(name + " " + strconv.FormatInt(v.now().Unix(), 10))
	sealed, err := v.Keyring.Sealer.Seal(&latchkey.Credential{Kind: deviceKind, ID: user.ID}, value)
	if err != nil {
		return err
	}
	v.device = &http.Cookie{
		Name: deviceCookie, Value: base64.RawURLEncoding.EncodeToString(sealed), Path: "/", MaxAge: int(deviceTime / time.Second),
		Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	}
	return nil
}
