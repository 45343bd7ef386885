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
	rows  map[handInKey]time.Time
	open  map[string]openRow // by request ID
}

// A handInKey is whose a row is.
type handInKey struct{ node, journal string }

type openRow struct {
	whose  handInKey
	record latchkey.Record
}

func (m *handInTable) name(node string) string {
	if m.fault == "names are as they came" {
		return node
	}
	return strings.ReplaceAll(strings.ToValidUTF8(node, "\uFFFD"), "\x00", "\uFFFD")
}

func (m *handInTable) key(node, journal string) handInKey {
	if m.fault == "a name is one node" {
		journal = ""
	}
	return handInKey{m.name(node), m.name(journal)}
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
	whose := m.key(h.Node, h.Journal)
	_, there := m.rows[whose]
	if !there || m.fault == "joining begins anew" {
		until := h.Until
		if until.IsZero() {
			until = m.now()
		}
		m.rows[whose] = until
	}
	if m.fault == "joining forgets what is open" {
		m.dropOpen(whose)
	}
	return m.now(), nil
}

// dropOpen forgets what a journal has open. m.mu is held.
func (m *handInTable) dropOpen(whose handInKey) {
	maps.DeleteFunc(m.open, func(_ string, o openRow) bool { return o.whose == whose })
}

// old reports whether a row is to be forgotten when another hands in.
func (m *handInTable) old(row, by handInKey, last time.Time) bool {
	age := m.now().Sub(last)
	switch {
	case row == by:
		return false
	case row.node == by.node || m.fault == "lost journals of all nodes go":
		return age > latchkey.LostJournalAge && m.fault != "lost journals stay"
	}
	return age > latchkey.MaxHandInAge && m.fault != "nothing gets old"
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
	whose := m.key(h.Node, h.Journal)
	if _, there := m.rows[whose]; !there && !open.All && m.fault != "anybody is there" {
		return time.Time{}, latchkey.NotFound("hand-in of node", h.Node)
	}
	if m.fault == "times are rounded up" {
		h.Until = h.Until.Add(999)
	}
	until := time.UnixMicro(h.Until.UnixMicro()).UTC()
	if m.fault != "it never goes back" || until.After(rows[whose]) {
		rows[whose] = until
	}
	for other, last := range rows {
		if m.old(other, whose, last) {
			delete(rows, other)
			m.dropOpen(other)
		}
	}
	m.rows = rows
	m.change(whose, open)
	return m.now(), nil
}

// change notes what a journal has open. m.mu is held.
func (m *handInTable) change(whose handInKey, open latchkey.OpenRecords) {
	switch {
	case open.All && m.fault == "all is of all nodes":
		clear(m.open)
	case open.All && m.fault != "all is more":
		m.dropOpen(whose)
	}
	for _, id := range open.Ended {
		if m.open[id].whose == whose || m.fault == "anybody ends" {
			delete(m.open, id)
		}
	}
	for _, r := range open.Began {
		if _, there := m.open[r.RequestID]; !there || m.fault != "the first counts" {
			m.open[r.RequestID] = openRow{whose, r}
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
	for whose, until := range m.rows {
		list = append(list, latchkey.HandIn{Node: whose.node, Journal: whose.journal, Until: until})
	}
	slices.SortFunc(list, func(a, b latchkey.HandIn) int {
		if m.fault == "names have no case" {
			return cmp.Compare(strings.ToLower(a.Node), strings.ToLower(b.Node))
		}
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Journal, b.Journal))
	})
	return list, m.now(), nil
}

func (m *handInTable) ForgetHandIn(_ context.Context, node, journal string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fault != "nothing is forgotten" {
		delete(m.rows, m.key(node, journal))
	}
	if m.fault != "open stays" {
		m.dropOpen(m.key(node, journal))
	}
	return nil
}

// TestHandIns examines a good store; in a process that TestHandInFaults started,
// one with a fault.
func TestHandIns(t *testing.T) {
	storetest.HandIns(t, func(*testing.T) (a, b latchkey.HandInStore) {
		m := &handInTable{fault: os.Getenv(handInFault), rows: map[handInKey]time.Time{}, open: map[string]openRow{}}
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
		{"anybody is there", "HandInOfNobody"},
		{"a name is one node", "HandInsOfNamesakes"},
		{"lost journals stay", "LostJournals"},
		{"lost journals of all nodes go", "LostJournals"},
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
