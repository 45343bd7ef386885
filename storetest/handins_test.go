package storetest_test

import (
	"cmp"
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey"
	"latchkey/storetest"
)

// handInFault names the fault that TestHandInFaults plants.
const handInFault = "STORETEST_HANDIN_FAULT"

// A handInTable is a store of hand-ins in memory; with a fault, if it has one.
type handInTable struct {
	fault string
	mu    sync.Mutex
	rows  map[string]time.Time
}

func (m *handInTable) HandIn(_ context.Context, h latchkey.HandIn) error {
	m.mu.Lock()
	last, there := m.rows[h.Node]
	if m.fault == "updates are lost" {
		m.mu.Unlock()
		time.Sleep(time.Millisecond)
		m.mu.Lock()
	}
	defer m.mu.Unlock()
	node := strings.ReplaceAll(strings.ToValidUTF8(h.Node, "\uFFFD"), "\x00", "\uFFFD")
	switch m.fault {
	case "names are as they came":
		node = h.Node
	case "it goes back":
		there = false
	case "times are rounded up":
		h.Until = h.Until.Add(999)
	}
	until := time.UnixMicro(h.Until.UnixMicro()).UTC()
	if !there || until.After(last) {
		m.rows[node] = until
	}
	return nil
}

func (m *handInTable) HandIns(context.Context) (list []latchkey.HandIn, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for node, until := range m.rows {
		list = append(list, latchkey.HandIn{Node: node, Until: until})
	}
	slices.SortFunc(list, func(a, b latchkey.HandIn) int {
		if m.fault == "names have no case" {
			return cmp.Compare(strings.ToLower(a.Node), strings.ToLower(b.Node))
		}
		return cmp.Compare(a.Node, b.Node)
	})
	return list, nil
}

func (m *handInTable) ForgetHandIn(_ context.Context, node string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fault != "nothing is forgotten" {
		delete(m.rows, strings.ReplaceAll(strings.ToValidUTF8(node, "\uFFFD"), "\x00", "\uFFFD"))
	}
	return nil
}

// TestHandIns examines a good store; in a process that TestHandInFaults started,
// one with a fault.
func TestHandIns(t *testing.T) {
	storetest.HandIns(t, func(*testing.T) (a, b latchkey.HandInStore) {
		m := &handInTable{fault: os.Getenv(handInFault), rows: map[string]time.Time{}}
		return m, m
	})
}

// TestHandInFaults shows that each exam of hand-ins can fail.
func TestHandInFaults(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []struct{ fault, exam string }{
		{"names have no case", "HandIn"},
		{"times are rounded up", "HandIn"},
		{"it goes back", "HandInNeverGoesBack"},
		{"nothing is forgotten", "ForgetHandIn"},
		{"it goes back", "HandInsConcurrently"},
		{"updates are lost", "HandInsConcurrently"},
		{"names are as they came", "HostileNodes"},
	} {
		t.Run(f.fault+"/"+f.exam, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, self, "-test.run=^TestHandIns$/^"+f.exam+"$")
			cmd.Env = append(os.Environ(), handInFault+"="+f.fault)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "rule broken: ") {
				t.Errorf("a store whose fault is %q passes %s: %v\n%.2000s", f.fault, f.exam, err, out)
			}
		})
	}
}
