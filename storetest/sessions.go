package storetest

import (
	"bytes"
	"time"
)

func examSessions(x *exam) {
	now := x.clock.stop()
	find := func(token string) ([]byte, bool) {
		x.Helper()
		data, found, err := x.b.FindCtx(x.Context(), token)
		x.must("find session", err)
		return data, found
	}
	commit := func(token, data string, expiry time.Time) {
		x.Helper()
		x.must("commit session", x.a.CommitCtx(x.Context(), token, []byte(data), expiry))
	}
	_, found := find("none")
	x.rule(!found, "a session that is not there is not found, without an error")
	commit("one", "first\x00data", now.Add(time.Hour))
	commit("two", "other", now.Add(2*time.Hour))
	data, found := find("one")
	x.rule(found && bytes.Equal(data, []byte("first\x00data")), "a session is there when CommitCtx returns, byte for byte")
	commit("one", "second", now.Add(time.Hour))
	data, found = find("one")
	x.rule(found && string(data) == "second", "a session is written over, not added")
	for _, token := range []string{"", "ONE", "one ", "one' OR '1'='1"} {
		_, found := find(token)
		x.rule(!found, "a token is compared to the letter")
	}

	x.clock.set(now.Add(time.Hour))
	_, found = find("one")
	x.rule(!found, "a session that is over by the store's clock is not found")
	data, found = find("two")
	x.rule(found && string(data) == "other", "a session lives until its expiry")
	commit("one", "third", now.Add(3*time.Hour))
	data, found = find("one")
	x.rule(found && string(data) == "third", "a token can be used again")

	x.must("delete session", x.b.DeleteCtx(x.Context(), "two"))
	_, found, err := x.a.FindCtx(x.Context(), "two")
	x.rule(err == nil && !found, "a session that was deleted is not found: %v", err)
	x.must("delete a session that is not there", x.a.DeleteCtx(x.Context(), "two"))
	_, found = find("one")
	x.rule(found, "deleting one session leaves the others")
}
