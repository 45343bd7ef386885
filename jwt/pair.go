package jwt

import (
	"errors"
	"regexp"
	"strings"
)

var (
	errSwapped = errors.New("the two are swapped: the API Secret ID has the form of an API Secret Key, and the key that of an ID")
	errJoined  = errors.New("the API Secret Key begins with the API Secret ID and ||: it must be the key alone")
)

var (
	// keyForm is what latchkey makes as an API Secret Key, and idForm as an ID.
	keyForm = regexp.MustCompile(`^[0-9A-Za-z]{32}$`)
	idForm  = regexp.MustCompile(`(?i)^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	hexForm = regexp.MustCompile(`(?i)^[0-9a-f]+$`)
)

// CheckPair returns what is wrong with an API secret whose ID and key were put into
// each other's place, or whose key has the ID before it; else nil. The ID stands in
// clear in each token: a key that were taken for one would be told to everybody. The
// error does not hold the values. 32 hexadecimal characters may be the ID of others.
func CheckPair(id, key string) error {
	switch {
	case keyForm.MatchString(id) && !hexForm.MatchString(id) && idForm.MatchString(key):
		return errSwapped
	case id != "" && strings.HasPrefix(key, id+"||"):
		return errJoined
	}
	return nil
}
