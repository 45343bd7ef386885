package contacts

import "testing"

func TestSmoke(t *testing.T) {
	h := newHouse(t)
	for _, q := range [][3]string{
		{"POST", "/v1/contact", `{"first":"Ada","phone":"15555550123","custom":{"a":"b"}}`},
		{"GET", "/v1/contacts", ""}, {"GET", "/v1/contacts?limit=0", ""}, {"GET", "/v1/contacts?cursor=x", ""},
		{"GET", "/v1/contact/1", ""}, {"GET", "/v1/contact/x", ""}, {"PUT", "/v1/contact/1", `{"phone":"+1555"}`},
		{"PUT", "/v1/contact/1", `{"phone":5,"Phone":"3","nope":1,"first":null}`},
		{"PUT", "/v1/contact/1", `{"phone":"5,`},
		{"PUT", "/v1/contact/1", `{"phone":"155","rev":7}`},
		{"PUT", "/v1/contact/1", `{"phone":"155","rev":1e30}`},
		{"PUT", "/v1/contact/1", `[]`},
		{"PUT", "/v1/contact/1", `{"phone":"155","rev":1.0}`},
		{"PUT", "/v1/contact/1", `{"phone":"155","rev":1,"id":[],"Updated":5}`},
		{"PUT", "/v1/contact/1", `{"phone":"155","rev":1,"id":[],"updated":5}`},
		{"DELETE", "/v1/contact/1", ""}, {"PATCH", "/v1/contact/1", ""}, {"GET", "/openapi.json", ""},
	} {
		a := h.ask(t, q[0], q[1], q[2])
		t.Log(q, a.Status, a.Header, a.text)
	}
	t.Log(h.log.String())
}
