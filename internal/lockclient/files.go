package lockclient

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"backtowork/internal/lease"
	"backtowork/internal/lock"
	"backtowork/internal/notes"
)

// Files are the files in dex-lock/temp that say how a node sees its locks. Old scripts read them.
//
// What a request needs is read once, and known from then on: on a disk that hangs, and be it because it
// writes one of these files, nobody must wait who is to take over.
type Files struct {
	notes *notes.Dir

	mu      sync.Mutex
	terms   map[string]uint64
	cluster string
}

// NewFiles keeps files in dir.
func NewFiles(dir string) *Files { return &Files{notes: notes.In(dir), terms: map[string]uint64{}} }

// Note writes how a lock is: its holder, term, seq and previous holder, and the seconds left.
func (f *Files) Note(name string, l lock.Lock, left time.Duration) {
	holder, previous := lock.Invalid, l.Previous
	if l.Held() {
		holder = l.Node
	}
	if previous == "" {
		previous = lock.Invalid
	}
	f.notes.Put(name+"_htsp", fmt.Sprintf("%s %d %d %s\n", holder, l.Term, l.Seq, previous))
	f.notes.Put(name+"_counter", fmt.Sprintf("%d\n", int(math.Round(left.Seconds()))))
}

// Free writes that this node does not hold the lock.
func (f *Files) Free(name string, times lock.Times) {
	f.Note(name, lock.Lock{}, times.Timeout+times.Stop)
}

// Init writes the three files of a lock that nothing is known of yet.
func (f *Files) Init(name, node string, servers int, times lock.Times) {
	f.Free(name, times)
	f.notes.Put(name+"_params", fmt.Sprintf("%s %d\n", node, servers/2+1))
}

// Sync waits until all is written, and returns what went wrong last.
func (f *Files) Sync() error { return f.notes.Sync() }

// HTSP is the four words of a lock's file: holder, term, seq, previous.
func (f *Files) HTSP(name string) (words [4]string, err error) {
	text, err := f.notes.Read(name + "_htsp")
	if err != nil {
		return words, err
	}
	fields := strings.Fields(text)
	if len(fields) != len(words) {
		return words, fmt.Errorf("cannot read %s_htsp: four words are wanted there, not %d", name, len(fields))
	}
	return [4]string(fields), nil
}

// Had writes that this node had the lock in that term.
func (f *Files) Had(name string, term uint64) {
	f.mu.Lock()
	f.terms[name] = term
	f.mu.Unlock()
	f.notes.Put(name+"_term", fmt.Sprintf("%d\n", term))
}

// Term is the last term in which this node had a lock; 0 for none. In a cluster that knows less
// of the lock, the next term is above it all the same.
func (f *Files) Term(name string) uint64 {
	f.mu.Lock()
	term, ok := f.terms[name]
	f.mu.Unlock()
	if ok {
		return term
	}
	text, err := f.notes.Read(name + "_term")
	if err == nil {
		term, err = strconv.ParseUint(text, 10, 64)
	}
	if err != nil {
		term = 0
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if later, ok := f.terms[name]; ok {
		return later
	}
	f.terms[name] = term
	return term
}

// Counter is the seconds that a lock's counter file says.
func (f *Files) Counter(name string) (int, error) {
	text, err := f.notes.Read(name + "_counter")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(text)
}

// Cluster is the id of the cluster that this node knows; "" for none yet.
func (f *Files) Cluster() string {
	f.mu.Lock()
	id := f.cluster
	f.mu.Unlock()
	if id != "" {
		return id
	}
	id, err := f.notes.Read("cluster")
	if err != nil {
		return ""
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cluster == "" {
		f.cluster = id
	}
	return f.cluster
}

// SetCluster remembers the cluster.
func (f *Files) SetCluster(id string) error {
	f.mu.Lock()
	f.cluster = id
	f.mu.Unlock()
	return f.notes.Write("cluster", id+"\n")
}

// met is when this node met the cluster called id, which is now if it did not before, or not in
// this boot of the host.
func (f *Files) met(id string, now lease.Time) (lease.Time, error) {
	boot, err := lease.BootID()
	if err != nil {
		return now, err
	}
	var noted, notedBoot string
	var at int64
	if text, err := f.notes.Read("cluster_met"); err == nil {
		if _, err := fmt.Sscan(text, &noted, &notedBoot, &at); err == nil && noted == id && notedBoot == boot {
			return lease.FromBoot(time.Duration(at), now), nil
		}
	}
	return now, f.notes.Write("cluster_met", fmt.Sprintln(id, boot, int64(now.Boot())))
}
