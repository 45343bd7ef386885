// Package client is the caller's side: it puts a credential on every request to
// an API that authenticates by Bearer token, HTTP Basic or signed JWT.
//
// Three functions make a [Transport], an [http.RoundTripper] for any
// [http.Client]:
//
//	hc := &http.Client{Transport: client.Bearer(key)}               // Authorization: Bearer KEY
//	hc := &http.Client{Transport: client.Basic(key)}                // Authorization: Basic base64(KEY:)
//	hc := &http.Client{Transport: client.JWT(secretID, secretKey)}  // Authorization: Bearer SIGNED_JWT
//
// On top of it, [Client] makes calls that speak JSON, and returns every answer
// that is not a 2xx as an [*Error] whose text ends with the request ID, ready to
// be pasted to support:
//
//	c, err := client.New("https://api.example.com", client.Bearer(key))
//	var page struct{ Contacts []Contact }
//	err = c.Do(ctx, "GET", "/v1/contacts", nil, &page)
//
// # Where a credential goes
//
// A credential goes over https, or over http to this machine (localhost,
// 127.0.0.0/8, ::1). Clear text to any other host is an error, unless
// [Transport.AllowClearText] is set.
//
// A credential stays with the origin (scheme, host and port) of the request that
// the program made. An [http.Client] hands each redirect to its transport as a
// new request; the Transport follows [http.Request.Response] back to the first,
// and once any step has left the origin, this step and all after it go without
// the credential, also when they come back. The one step that counts as staying
// is from http on port 80 to https on port 443 of the same host.
// [Transport.Host] binds the credential to one host besides. A Client does not
// follow a redirect that leaves its origin at all.
//
// A request that has an Authorization header already is an error: two
// credentials are a mistake, and to choose one in silence would hide it. A user
// name in the URL counts, as net/http makes such a header of it.
//
// # The clock
//
// A token lives for five minutes after its iat, and is used for less than four.
// If the server answers 401 token_not_yet_valid or token_expired, the Transport
// takes the time from the Date header of that answer, keeps the difference from
// this machine's clock for later tokens, and tries once more. A server that gives
// no such code is believed if its Date is more than 30 s from this clock.
// A difference of more than 24 hours is not: a clock so wrong fails at TLS
// before, and whoever can name the time gets tokens signed for it.
package client
