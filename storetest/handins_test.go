package storetest_test

import (
	"cmp"
	"context"
	"maps"
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
	open  map[string]openRow // by request ID
}

type openRow struct {
	node   string
	record latchkey.Record
}

func (m *handInTable) name(node string) string {
	if m.fault == "names are as they came" {
		return node
	}
	return strings.ReplaceAll(strings.ToValidUTF8(node, "\uFFFD"), "\x00", "\uFFFD")
}

func (m *handInTable) now() time.Time {
	if m.fault == "the clock stands" {
		return time.Now().UTC().Truncate(time.Hour)
	}
	return time.Now().UTC().Truncate(time.Microsecond)
}

func (m *handInTable) JoinHandIns(_ context.Context, h latchkey.HandIn) (time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, there := m.rows[m.name(h.Node)]
	if !there || m.fault == "joining begins anew" {
		until := h.Until
		if until.IsZero() {
			until = m.now()
		}
		m.rows[m.name(h.Node)] = until
	}
	if m.fault == "joining forgets what is open" {
		m.dropOpen(m.name(h.Node))
	}
	return m.now(), nil
}

// dropOpen forgets what a node has open. m.mu is held.
func (m *handInTable) dropOpen(node string) {
	maps.DeleteFunc(m.open, func(_ string, o openRow) bool { return o.node == node })
}

func (m *handInTable) HandIn(_ context.Context, h latchkey.HandIn, open latchkey.OpenRecords) (time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rows := maps.Clone(m.rows)
	if m.fault == "updates are lost" {
		m.mu.Unlock()
		time.Sleep(time.Millisecond)
		m.mu.Lock()
	}
	node := m.name(h.Node)
	if m.fault == "times are rounded up" {
		h.Until = h.Until.Add(999)
	}
	until := time.UnixMicro(h.Until.UnixMicro()).UTC()
	if m.fault != "it never goes back" || until.After(rows[node]) {
		rows[node] = until
	}
	for other, last := range rows {
		if other != node && m.now().Sub(last) > latchkey.MaxHandInAge && m.fault != "nothing gets old" {
			delete(rows, other)
			m.dropOpen(other)
		}
	}
	m.rows = rows
	m.change(node, open)
	return m.now(), nil
}

// change notes what a node has open. m.mu is held.
func (m *handInTable) change(node string, open latchkey.OpenRecords) {
	switch {
	case open.All && m.fault == "all is of all nodes":
		clear(m.open)
	case open.All && m.fault != "all is more":
		m.dropOpen(node)
	}
	for _, id := range open.Ended {
		if m.open[id].node == node || m.fault == "anybody ends" {
			delete(m.open, id)
		}
	}
	for _, r := range open.Began {
		if _, there := m.open[r.RequestID]; !there || m.fault != "the first counts" {
			m.open[r.RequestID] = openRow{node, r}
		}
	}
}

func (m *handInTable) OpenRecord(_ context.Context, id string) (latchkey.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	row, there := m.open[strings.ToLower(id)]
	if !there {
		return latchkey.Record{}, latchkey.NotFound("request", id)
	}
	row.record.Open = m.fault != "open looks ended"
	return row.record, nil
}

func (m *handInTable) HandIns(context.Context) (list []latchkey.HandIn, now time.Time, _ error) {
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
	return list, m.now(), nil
}

func (m *handInTable) ForgetHandIn(_ context.Context, node string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fault != "nothing is forgotten" {
		delete(m.rows, m.name(node))
	}
	if m.fault != "open stays" {
		m.dropOpen(m.name(node))
	}
	return nil
}

// TestHandIns examines a good store; in a process that TestHandInFaults started,
// one with a fault.
func TestHandIns(t *testing.T) {
	storetest.HandIns(t, func(*testing.T) (a, b latchkey.HandInStore) {
		m := &handInTable{fault: os.Getenv(handInFault), rows: map[string]time.Time{}, open: map[string]openRow{}}
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
		{"it never goes back", "HandInAgain"},
		{"the clock stands", "HandInClock"},
		{"joining begins anew", "JoinHandIns"},
		{"open looks ended", "OpenRecords"},
		{"all is more", "OpenRecords"},
		{"the first counts", "OpenRecords"},
		{"all is of all nodes", "OpenRecordsOfNodes"},
		{"anybody ends", "OpenRecordsOfNodes"},
		{"joining forgets what is open", "OpenRecordsOfNodes"},
		{"open stays", "OpenRecordsOfNodes"},
		{"nothing is forgotten", "ForgetHandIn"},
		{"nothing gets old", "OldHandIns"},
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
