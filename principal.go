package latchkey

import "context"

// A Method is a way to present a credential.
type Method string

// The three methods of authentication, and none.
const (
	MethodNone   Method = ""
	MethodBearer Method = "bearer" // the API key as a Bearer token
	MethodBasic  Method = "basic"  // the API key as Basic user name
	MethodJWT    Method = "jwt"    // a JWT signed with an API secret
)

// A Principal is who a request comes from, once its credential held.
type Principal struct {
	TeamID       string
	CredentialID string
	Method       Method
	Revision     Revision // the state of the credentials that the verdict was made from
}

type contextKey int

const (
	principalKey contextKey = iota
	requestIDKey
	reportKey
)

// WithPrincipal returns a context that carries p.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey, p)
}

// PrincipalFrom returns the principal of a request that passed the door. It
// reports false for one that did not: there is no zero principal.
func PrincipalFrom(ctx context.Context) (Principal, bool) {
	p, ok := ctx.Value(principalKey).(Principal)
	return p, ok
}

// WithRequestID returns a context that carries the request's ID.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey, id)
}

// RequestIDFrom returns the request's ID, or "".
func RequestIDFrom(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey).(string)
	return id
}

// WithReport returns a context in which report is told why a request that passed
// the door could not be answered.
func WithReport(ctx context.Context, report func(error)) context.Context {
	return context.WithValue(ctx, reportKey, report)
}

// Report tells the record of a request why what lies behind the door could not
// answer it; package problem does, before each answer. What is the caller's own
// fault says nothing to the record.
func Report(ctx context.Context, err error) {
	if report, ok := ctx.Value(reportKey).(func(error)); ok {
		report(err)
	}
}
