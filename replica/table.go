package replica

import (
	"maps"
	"sync/atomic"
)

// shards is how many parts a table has: a change copies one of them.
const shards = 256

// A table is a map that is read without a lock. A part of it is replaced as a
// whole, and never written: a reader holds it for as long as it likes. Writers
// take turns by a lock of their own.
type table[K comparable, V any] struct {
	part [shards]atomic.Pointer[map[K]V]
}

// read returns a part; nobody writes it.
func (t *table[K, V]) read(shard uint8) map[K]V {
	if m := t.part[shard].Load(); m != nil {
		return *m
	}
	return nil
}

// write puts all of changes into the table, with one copy of each part that
// they touch. If fresh, the table holds nothing else afterwards.
func (t *table[K, V]) write(changes map[K]V, shardOf func(K) uint8, fresh bool) {
	var next [shards]map[K]V
	for k, v := range changes {
		s := shardOf(k)
		if next[s] == nil {
			next[s] = make(map[K]V)
			if !fresh {
				maps.Copy(next[s], t.read(s))
			}
		}
		next[s][k] = v
	}
	for s := range next {
		if fresh || next[s] != nil {
			t.part[s].Store(&next[s])
		}
	}
}

// remove takes out of the table what is not wanted any more.
func (t *table[K, V]) remove(unwanted func(V) bool) {
	for s := range t.part {
		next := maps.Clone(t.read(uint8(s)))
		before := len(next)
		maps.DeleteFunc(next, func(_ K, v V) bool { return unwanted(v) })
		if len(next) < before {
			t.part[s].Store(&next)
		}
	}
}
