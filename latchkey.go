// Package latchkey is the vocabulary of latchkey: teams and the credentials
// that they hold, the principal that a credential stands for, the record of a
// request, and the small interfaces behind which all of it is kept.
//
// It reads the Authorization field ([ReadAuthorization]) and says yes or no
// ([Keyring.Authenticate]); it issues, rolls and ends credentials (the other
// methods of [Keyring]). It knows no HTTP and no SQL, so that every door and
// every store asks the same code.
//
// Errors come in two families that must never be mixed up. A [*Denial] is "no":
// the credential was looked at and does not hold. An [*Unavailable] is "could
// not find out". Everything else is a mistake of whoever called
// ([*InvalidError], [ErrNotFound], [ErrConflict]) or a fault underneath.
package latchkey
