package problem_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"latchkey"
	"latchkey/problem"
)

// A handler gives its errors to the writer, whatever they are.
func ExampleWriter_Write() {
	problems := problem.Writer{Docs: "https://docs.example/errors"}
	handler := func(w http.ResponseWriter, r *http.Request) {
		problems.Write(w, r, &latchkey.InvalidError{Field: "phone", Problem: "is empty"})
	}
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/v1/contact", nil)
	handler(w, r.WithContext(latchkey.WithRequestID(r.Context(), "019…")))
	fmt.Print(w.Code, " ", w.Body)
	// Output:
	// 400 {"type":"https://docs.example/errors#invalid_request","title":"Invalid request","status":400,"detail":"phone is empty.","code":"invalid_request","request_id":"019…"}
}
