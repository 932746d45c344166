package manager

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"backtowork/internal/deadman"
	"backtowork/internal/failover"
	"backtowork/internal/lockclient"
	"backtowork/internal/notes"
)

// recordNote is the note in lockdir_P that says what there is to go on with, or to stop, where
// manager and deadman were killed at once.
const recordNote = "record"

// A Record is that note.
type Record struct {
	Boot   string          `json:"boot"` // of this host: its clocks count from then
	Node   string          `json:"node"`
	Mark   string          `json:"mark"` // in the environment of all processes of the package
	Cgroup string          `json:"cgroup,omitempty"`
	Also   []string        `json:"also,omitempty"`  // others, from when this host had other names
	Lived  json.RawMessage `json:"lived,omitempty"` // see lived
	Word   deadman.Word    `json:"word"`
}

// ReadRecord is what an earlier manager has left; the zero Record if nothing, or nothing of this boot.
func ReadRecord(of *notes.Dir, boot string) (r Record, err error) {
	text, err := of.Read(recordNote)
	if errors.Is(err, fs.ErrNotExist) {
		return Record{}, nil
	}
	if err != nil {
		return Record{}, fmt.Errorf("cannot read what an earlier back-to-work has left: %w", err)
	}
	if json.Unmarshal([]byte(text), &r) != nil || r.Boot != boot {
		return Record{}, nil // what ran is gone with the boot; a note cut short is of a host that crashed
	}
	return r, nil
}

// note is r as it stands on the disk.
func (r Record) note() string {
	b, err := json.Marshal(r)
	if err != nil {
		panic(err) // it is words and numbers
	}
	return string(b) + "\n"
}

// A predecessor is an earlier manager of a package on this node, which may still have had the lock when it died.
type predecessor struct {
	lockclient.PriorLease
	word deadman.Word // its last
}

// findPredecessor finds out what of the package there is to go on with. An earlier manager's deadman has told it, where
// there is one: that needs no disk. Where both were killed, the record in the package's directory says it.
func (g *Group) findPredecessor(m *member) error {
	r, err := ReadRecord(m.dir.Notes(), g.Boot)
	if err != nil && g.earlier == nil {
		return err
	}
	if g.earlier != nil {
		origin := g.earlier.Origins[m.pkg]
		r.Mark, r.Cgroup, r.Also, r.Lived, r.Word = origin.Mark, origin.Cgroup, origin.Also, origin.Params, g.earlier.Words[m.pkg]
	}
	m.mark = r.Mark
	m.also = r.Cgroups()
	m.lived = livedBy(r.Lived)
	f, ok, past := PriorLeaseOf(r.Word, g.Clock.Now())
	m.leaves = g.earlier != nil || r.Mark != "" || ok || past // else there was no earlier manager, or it has ended in good order
	if m.clear = past; ok {
		m.predecessor = &predecessor{f, r.Word}
		if g.earlier == nil && !g.AfterDeadman && (r.Word.Doing == string(failover.Halting) || r.Word.Doing == string(failover.Halted)) {
			m.predecessor.word.Doing = string(failover.Failing) // it is stopped, but whoever starts it by hand now wants it to be run again
		}
	}
	if m.last = r.Word; r.Word.Package == "" {
		m.last = deadman.Word{Package: m.pkg, Phase: deadman.Free}
	}
	if m.mark == "" { // written down before any process has it: a daemon that is overlooked is found by it later
		m.mark = lockclient.NewID()
		m.dir.Notes().Put(recordNote, Record{Boot: g.Boot, Node: g.Node, Mark: m.mark, Word: m.last}.note())
	}
	return nil
}

// Cgroups is all that processes of the package may be in, by their names on this host.
func (r Record) Cgroups() []string { return cgroups(r.Cgroup, r.Also) }

// cgroups is own and also, each once.
func cgroups(own string, also []string) (all []string) {
	for _, c := range append(slices.Clone(also), own) {
		if c != "" && !slices.Contains(all, c) {
			all = append(all, c)
		}
	}
	return all
}

// A lived is the parameters that a manager lives by, and what starts by earlier ones may have set up (Before): that
// is taken away by what it was set up with.
type lived struct {
	failover.Params
	Before failover.Standing `json:"before,omitzero"`
}

// livedBy is the lived that text says; nil for none.
func livedBy(text json.RawMessage) *lived {
	var l lived
	if len(text) == 0 || json.Unmarshal(text, &l) != nil {
		return nil
	}
	return &l
}

// standing is all that may have been set up.
func (l lived) standing() failover.Standing { return l.Before.And(l.Params.Standing()) }

// text is l in JSON, for a process that comes after this one.
func (l lived) text() json.RawMessage {
	b, err := json.Marshal(l)
	if err != nil {
		panic(err) // it is numbers and words
	}
	return b
}
