package replica

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"latchkey"
)

func openHistory(t *testing.T, path string) *history {
	t.Helper()
	var h history
	if err := h.open(path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.close() })
	return &h
}

func TestHistoryIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	h := openHistory(t, path)
	if h.state.Sequence != 0 {
		t.Fatalf("a new file knows of %+v", h.state)
	}
	var accepted []string
	for revision := range latchkey.Revision(5) {
		p := latchkey.Position{Revision: revision + 1, ChangeID: "change"}
		accepted = append(accepted, "acceptance")
		if err := h.move(p, accepted); err != nil {
			t.Fatal(err)
		}
		got := openHistory(t, path).state
		if got.Position != p || !slices.Equal(got.Acceptances, accepted) {
			t.Fatalf("kept %+v, want %+v", got, p)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() != 2*slotSize {
		t.Errorf("the file is %v, %v: it must have its whole room from the start, so that a full disk does not matter", info, err)
	}
}

func TestTornHistory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	h := openHistory(t, path)
	for revision := range latchkey.Revision(3) {
		if err := h.move(latchkey.Position{Revision: revision + 1, ChangeID: "change"}, nil); err != nil {
			t.Fatal(err)
		}
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	spoil := func(slots ...int) error {
		torn := bytes.Clone(whole)
		for _, s := range slots {
			torn[s*slotSize+20] ^= 0xff
		}
		if err := os.WriteFile(path, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		return new(history).open(path)
	}
	if err := spoil(1); err != nil {
		t.Fatalf("the state before a torn one: %v", err)
	}
	if got := openHistory(t, path).state.Position.Revision; got != 2 {
		t.Errorf("after a torn write, revision %d is known, not 2", got)
	}
	if err := spoil(0, 1); err == nil {
		t.Error("a file of which nothing can be read counts as one that knows nothing")
	}
	if err := os.WriteFile(path, whole[:100], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := new(history).open(path); err == nil {
		t.Error("a file that was cut off counts as one that knows nothing")
	}
}

func TestAcceptances(t *testing.T) {
	r := &Replica{}
	if err := r.remember(latchkey.Position{Revision: 1, ChangeID: "a"}, []string{"one"}); err != nil {
		t.Fatal(err)
	}
	if r.acceptedSince([]string{"one"}) {
		t.Error("an acceptance that was known before the histories parted counts")
	}
	if !r.acceptedSince([]string{"one", "two"}) {
		t.Error("an acceptance that is new does not count")
	}
	if err := r.remember(latchkey.Position{Revision: 2, ChangeID: "b"}, nil); err != nil {
		t.Fatal(err)
	}
	if r.acceptedSince([]string{"one"}) {
		t.Error("an acceptance was forgotten: a restored backup that has it would be taken for accepted")
	}
}
