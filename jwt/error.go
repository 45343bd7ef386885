package jwt

import "time"

// Kind says which family of rules a token broke.
type Kind int

// The kinds of [Error], in the order in which Parse comes to them.
const (
	// Form: it is not a compact JWS of strict base64url and strict JSON, or its
	// header asks for what is not supported.
	Form Kind = iota + 1
	// Algorithm: its alg is not HS256.
	Algorithm
	// Claim: iss, iat, exp or nbf is missing or is not what it must be.
	Claim
)

// String returns "form", "algorithm" or "claim".
func (k Kind) String() string {
	switch k {
	case Form:
		return "form"
	case Algorithm:
		return "algorithm"
	case Claim:
		return "claim"
	}
	return "unknown"
}

// Error is why [Token.Parse] refused a token.
type Error struct {
	Kind Kind
	// Detail tells the caller in a sentence what is wrong and how to mend it. It
	// repeats nothing of the token, so it may be shown and recorded.
	Detail string
}

// Error returns the kind and the detail.
func (e *Error) Error() string {
	return "token " + e.Kind.String() + ": " + e.Detail
}

// TimeError is why [Token.CheckTime] refused a token.
type TimeError struct {
	// Expired says that the token is too old. Otherwise it is from the future.
	Expired bool
	// By is how long the token has been dead, 0 or more; or how far in the future
	// its time is, the leeway not taken off. It stops at 292 years.
	By time.Duration
	// Claim is the claim that decided: "iat" or "exp" if Expired, else "iat" or
	// "nbf".
	Claim string
}

// Error says how long the token has been dead, or how far in the future it is.
func (e *TimeError) Error() string {
	switch {
	case e.Expired && e.Claim == "exp":
		return "token expired " + e.By.String() + " ago, by its exp"
	case e.Expired:
		return "token expired " + e.By.String() + " ago, five minutes after its iat"
	}
	return "token is not valid yet: its " + e.Claim + " is " + e.By.String() + " in the future"
}
