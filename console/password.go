package console

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"latchkey"
)

const (
	minPassword = 12   // characters
	maxPassword = 1024 // bytes: more is refused before anything is computed from it

	// The cost of a hash: a pass more than the least that OWASP's password
	// storage cheat sheet asks of argon2id (19 MiB, 2 passes). More memory would
	// let a flood of logins take it from the API, which the same process serves.
	hashMemory = 19 << 10 // KiB
	hashPasses = 3
	hashBytes  = 32
	saltBytes  = 16

	// hashQueue is how many may wait for each hash under way, and hashWait how
	// long.
	hashQueue = 4
	hashWait  = 3 * time.Second
)

// errBusy: too many passwords are being checked.
var errBusy = errors.New("too many passwords are being checked")

// A hasher computes password hashes: as many at a time as there are cores, since
// each takes 19 MiB and a core.
type hasher struct {
	running chan struct{}
	waiting chan struct{}
	memory  uint32 // KiB, of a new hash
	decoy   string // a hash that no password has
}

func newHasher() *hasher {
	cores := runtime.GOMAXPROCS(0)
	h := &hasher{running: make(chan struct{}, cores), waiting: make(chan struct{}, cores*(1+hashQueue)), memory: hashMemory}
	h.decoy = encodeHash(h.memory, make([]byte, saltBytes), []byte(rand.Text() + rand.Text())[:hashBytes])
	return h
}

// enter waits for a core. leave must be called if it returns no error.
func (h *hasher) enter(ctx context.Context) error {
	select {
	case h.waiting <- struct{}{}:
	default:
		return errBusy
	}
	timer := time.NewTimer(hashWait)
	defer timer.Stop()
	select {
	case h.running <- struct{}{}:
		return nil
	case <-timer.C:
	case <-ctx.Done():
	}
	<-h.waiting
	return errBusy
}

func (h *hasher) leave() {
	<-h.running
	<-h.waiting
}

// validPassword says what is wrong with a new password.
func validPassword(password string) error {
	wrong := func(problem string) error { return &latchkey.InvalidError{Field: "password", Problem: problem} }
	switch {
	case len(password) > maxPassword:
		return wrong("is longer than 1,024 bytes")
	case !utf8.ValidString(password):
		return wrong("is not valid UTF-8")
	case utf8.RuneCountInString(norm.NFC.String(password)) < minPassword:
		return wrong("has fewer than 12 characters")
	}
	return nil
}

// hash returns the argon2id hash of a valid password in PHC form. Passwords that
// look the same have the same hash, however the keyboard composes them (RFC
// 8265, section 4.2.2: NFC).
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	if err := validPassword(password); err != nil {
		return "", err
	}
	if err := h.enter(ctx); err != nil {
		return "", err
	}
	defer h.leave()
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // never fails
	return encodeHash(h.memory, salt, argon2.IDKey(norm.NFC.Bytes([]byte(password)), salt, hashPasses, h.memory, 1, hashBytes)), nil
}

func encodeHash(memory uint32, salt, sum []byte) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=1$%s$%s", argon2.Version, memory, hashPasses,
		b64.EncodeToString(salt), b64.EncodeToString(sum))
}

// verify reports whether password is the one that was hashed. An empty hash is
// nobody's, and costs the same.
func (h *hasher) verify(ctx context.Context, hash, password string) (bool, error) {
	if len(password) > maxPassword {
		return false, nil
	}
	known := hash != ""
	if !known {
		hash = h.decoy
	}
	var (
		version int
		memory  uint32
		passes  uint32
		threads uint8
		rest    string
	)
	_, err := fmt.Sscanf(hash, "$argon2id$v=%d$m=%d,t=%d,p=%d$%s", &version, &memory, &passes, &threads, &rest)
	salt64, sum64, ok := strings.Cut(rest, "$")
	if err != nil || !ok || version != argon2.Version {
		return false, errors.New("the stored hash is not argon2id in PHC form")
	}
	salt, err := base64.RawStdEncoding.DecodeString(salt64)
	if err != nil {
		return false, fmt.Errorf("the stored hash has a bad salt: %w", err)
	}
	sum, err := base64.RawStdEncoding.DecodeString(sum64)
	if err != nil || len(sum) < saltBytes {
		return false, errors.New("the stored hash is damaged")
	}
	if err := h.enter(ctx); err != nil {
		return false, err
	}
	defer h.leave()
	got := argon2.IDKey(norm.NFC.Bytes([]byte(password)), salt, passes, memory, threads, uint32(len(sum)))
	return subtle.ConstantTimeCompare(got, sum) == 1 && known, nil
}
