package contacts

import (
	"errors"
	"io"
	"mime"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// How huma's errors leave through package problem, without its package-level
// variables: each request gets an exchange for its huma.Context. Whatever huma
// would answer is handed to catch first, the only transformer; an error is kept
// in the exchange, huma's status and body for it go nowhere, and when huma is
// done the error is answered like any other.

// adapter lets huma register its operations with a router.
type adapter struct{ *router }

// Handle is how huma adds an operation.
func (a adapter) Handle(op *huma.Operation, handle func(huma.Context)) {
	a.router.handle(op.Method, op.Path, func(w http.ResponseWriter, r *http.Request) error {
		x := &exchange{humaContext: humago.NewContext(op, r, w)}
		handle(x)
		return x.failed
	})
}

// humaContext has another name, because huma.Context has a method Context.
type humaContext = huma.Context

// exchange is one request on its way through huma.
type exchange struct {
	humaContext
	failed  error // what to answer instead
	readErr error // what reading the body ended with, if not with its end
}

// Header hides Accept, because there is one format (and huma's reading of the
// field can be made to panic), and gives Content-Type as RFC 9110 compares it.
func (x *exchange) Header(name string) string {
	value := x.humaContext.Header(name)
	switch name {
	case "Accept":
		return ""
	case "Content-Type":
		if value == "" {
			return ""
		}
		mediaType, _, err := mime.ParseMediaType(value)
		if err != nil {
			return "unreadable/type" // to huma ";" is as good as nothing
		}
		return mediaType
	}
	return value
}

// BodyReader is huma's way to the body; Read keeps the error as it was.
func (x *exchange) BodyReader() io.Reader { return x }

func (x *exchange) Read(p []byte) (int, error) {
	n, err := x.humaContext.BodyReader().Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		x.readErr = err
	}
	return n, err
}

func (x *exchange) SetStatus(status int) {
	if x.failed == nil {
		x.humaContext.SetStatus(status)
	}
}

func (x *exchange) BodyWriter() io.Writer {
	if x.failed != nil {
		return io.Discard
	}
	return x.humaContext.BodyWriter()
}

// failure carries an operation's error through huma, which knows errors with a
// status only.
type failure struct{ error }

// GetStatus is asked for by huma; the status that counts is package problem's.
func (failure) GetStatus() int { return http.StatusInternalServerError }

// catch is a huma.Transformer.
func catch(ctx huma.Context, _ string, answer any) (any, error) {
	if x, ok := ctx.(*exchange); ok {
		switch e := answer.(type) {
		case failure:
			x.failed = e.error
		case *huma.ErrorModel:
			x.failed = refusal(e, x.readErr)
		}
	}
	return answer, nil
}
