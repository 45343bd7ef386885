package latchkey

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"latchkey/jwt"
)

// A Sealer encrypts the values of credentials so that a copy of the store alone
// is worth nothing. It is Tink AEAD (AES-256-GCM) with the keys of a keyset
// file. The additional data names team, kind and ID: a sealed value that is
// copied to another row does not open.
type Sealer struct {
	primitive      tink.AEAD
	fingerprintKey []byte // see [Sealer.Fingerprint]
	pseudonym      string // see [Sealer.Pseudonym]
}

// probe is what a store keeps sealed, to know its own keyset again.
const probe = "latchkey keyset probe"

// CreateKeyset makes a keyset file with one new key, mode 0600, and opens it.
// The file must not exist. It is complete, and on disk, when it appears.
func CreateKeyset(path string) (*Sealer, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("make a keyset: %w", err)
	}
	var text bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&text)); err != nil {
		return nil, fmt.Errorf("write keyset: %w", err)
	}
	if err := writeOnce(path, text.Bytes()); err != nil {
		return nil, fmt.Errorf("create keyset: %w", err)
	}
	return newSealer(handle)
}

// OpenKeyset opens a keyset file: Tink's JSON form, in clear. A file that
// others than its owner and group may read, or others than its owner may
// write, is refused. A file that is missing is fs.ErrNotExist.
func OpenKeyset(path string) (*Sealer, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open keyset: %w", err)
	}
	if info.Mode().Perm()&0o027 != 0 {
		return nil, fmt.Errorf("keyset %s is open to others (mode %04o): chmod 600 it", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("open keyset: %w", err)
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(text)))
	if err != nil {
		// Tink's error could quote the file, which holds keys.
		return nil, fmt.Errorf("keyset %s is not a Tink keyset in JSON", path)
	}
	return newSealer(handle)
}

func newSealer(handle *keyset.Handle) (*Sealer, error) {
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, errors.New("keyset holds no usable AEAD key")
	}
	key, err := fingerprintKey(handle)
	if err != nil {
		return nil, err
	}
	name, err := pseudonym(handle)
	if err != nil {
		return nil, err
	}
	return &Sealer{primitive, key, name}, nil
}

// Seal encrypts the value of c, which must have its TeamID, Kind and ID.
func (s *Sealer) Seal(c *Credential, value Secret) ([]byte, error) {
	sealed, err := s.primitive.Encrypt([]byte(value.Reveal()), additionalData(c))
	if err != nil {
		return nil, fmt.Errorf("seal %s %s: %w", c.Kind, c.ID, err)
	}
	return sealed, nil
}

// Open decrypts the value of c. It fails for a value that was sealed for
// another team, kind or ID, or with another keyset.
func (s *Sealer) Open(c *Credential) (Secret, error) {
	value, err := s.primitive.Decrypt(c.Sealed, additionalData(c))
	if err != nil {
		return Secret{}, fmt.Errorf("open %s %s: the sealed value does not belong to this row or this keyset", c.Kind, c.ID)
	}
	return NewSecret(string(value)), nil
}

// additionalData binds a sealed value to its row. None of the parts can hold a
// NUL, so that no two rows share one.
func additionalData(c *Credential) []byte {
	return []byte(strings.Join([]string{"latchkey", c.TeamID, string(c.Kind), c.ID}, "\x00"))
}

// Probe returns a sealed value for a new store to keep.
func (s *Sealer) Probe() ([]byte, error) {
	return s.primitive.Encrypt([]byte(probe), []byte(probe))
}

// CheckProbe returns an error if the store that kept sealed was made with
// another keyset.
func (s *Sealer) CheckProbe(sealed []byte) error {
	if text, err := s.primitive.Decrypt(sealed, []byte(probe)); err != nil || string(text) != probe {
		return errors.New("the keyset is not the one that this store was made with")
	}
	return nil
}

// writeOnce makes a file that is never seen half-written and never overwrites.
func writeOnce(path string, content []byte) (err error) {
	dir := filepath.Dir(path)
	temp, err := os.CreateTemp(dir, ".keyset-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	_, err = temp.Write(content)
	if err == nil {
		err = temp.Sync()
	}
	if closeErr := temp.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if err := os.Link(temp.Name(), path); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s: %w", path, fs.ErrExist)
		}
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// TokenKey opens a live API secret as the key that its tokens are checked with.
func (s *Sealer) TokenKey(c *Credential) (*jwt.Key, error) {
	value, err := s.Open(c)
	if err != nil {
		return nil, err
	}
	return jwt.NewKey(c.ID, value.Reveal()), nil
}

// SignToken returns a JWT for an API secret, signed at the given time: it lives
// for five minutes.
func SignToken(id string, key Secret, at time.Time) Secret {
	return NewSecret(jwt.Sign(id, key.Reveal(), at))
}
