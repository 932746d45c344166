package shell

import (
	"maps"
	"strings"
	"sync"
)

// A quickMemory is what a run needs and leaves to the next: nothing of it outlives the run.
type quickMemory struct {
	vars  map[string]variable
	funcs map[string]quickFunc
	text  []byte   // words that are put together
	lists []string // what lists are cut from
	used  int
}

var quickMemories = sync.Pool{New: func() any {
	return &quickMemory{vars: make(map[string]variable, 96), funcs: make(map[string]quickFunc, 64), text: make([]byte, 0, 1<<10), lists: make([]string, 256)}
}}

// list is an empty list with room for n.
func (m *quickMemory) list(n int) []string {
	if m.used+n > len(m.lists) {
		m.lists, m.used = make([]string, max(2*len(m.lists), n)), 0
	}
	m.used += n
	return m.lists[m.used-n : m.used-n : m.used]
}

// forget gives it back, without what was in it.
func (m *quickMemory) forget() {
	if len(m.vars) > 1000 || len(m.funcs) > 1000 || cap(m.text) > 1<<16 || len(m.lists) > 1<<12 {
		return
	}
	clear(m.vars)
	clear(m.funcs)
	clear(m.lists)
	m.used = 0
	quickMemories.Put(m)
}

// store sets a variable; a subshell has its own from then on.
func (q *quick) store(name string, v variable) {
	q.ownVars()
	q.vars[name] = v
}

func (q *quick) ownVars() {
	if q.outer.vars {
		q.vars, q.outer.vars = maps.Clone(q.vars), false
	}
}

// define sets a function, alike.
func (q *quick) define(name string, f quickFunc) {
	if q.outer.funcs {
		q.funcs, q.outer.funcs = maps.Clone(q.funcs), false
	}
	q.funcs[name] = f
}

// plainSplit is split by blanks of a line of which nothing is quoted.
func plainSplit(values []string, line string) {
	blank := func(i int) bool { return line[i] == ' ' || line[i] == '\t' || line[i] == '\n' }
	for k := range values {
		i := 0
		for i < len(line) && blank(i) {
			i++
		}
		line = line[i:]
		if k == len(values)-1 {
			values[k] = strings.TrimRight(line, " \t\n")
			return
		}
		for i = 0; i < len(line) && !blank(i); i++ {
		}
		values[k], line = line[:i], line[i:]
	}
}
