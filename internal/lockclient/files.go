package lockclient

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/lease"
	"backtowork/internal/lock"
	"backtowork/internal/notes"
)

// Files are the files in dex-lock/temp that say how a node sees its locks. Old scripts read them.
//
// What a request needs is read once and then kept in memory. For the disk may hang, perhaps while it writes
// one of these files, and a node that is to take over must not wait for it.
type Files struct {
	notes *notes.Dir

	mu    sync.Mutex
	known map[string]string // texts of notes
}

// NewFiles keeps files in dir.
func NewFiles(dir string) *Files { return FilesOn(notes.In(dir)) }

// FilesOn keeps files as notes.
func FilesOn(of *notes.Dir) *Files { return &Files{notes: of, known: map[string]string{}} }

// Note writes how a lock is: its holder, term, seq and previous holder, and the seconds left. The previous
// holder is the one that this node has it from, or would have it from: see [tookFrom].
func (f *Files) Note(name string, l lock.Lock, previous string, left time.Duration) {
	holder := lock.Invalid
	if l.Held() {
		holder = l.Node
		f.saw(name, l.Times)
	}
	f.notes.Put(name+"_htsp", fmt.Sprintf("%s %d %d %s\n", holder, l.Term, l.Seq, cmp.Or(previous, lock.Invalid)))
	f.notes.Put(name+"_counter", fmt.Sprintf("%d\n", int(math.Round(left.Seconds()))))
}

// NoteOther is Note for a lock that this node does not have: whoever has it now would be the previous holder.
func (f *Files) NoteOther(name string, l lock.Lock, left time.Duration) {
	f.Note(name, l, l.Node, left)
}

// tookFrom is the node from which l was taken in its silence; "" if that gave it back, or there was none. Old
// scripts power off the node that dex-previous names.
func tookFrom(l lock.Lock) string {
	if silent := l.Unfenced.All(); len(silent) > 0 && silent[len(silent)-1] == l.Previous {
		return l.Previous
	}
	return ""
}

// saw notes what times the holder of a lock lives by, where that is known: see HolderTimes.
func (f *Files) saw(name string, times lock.Times) {
	file, text := name+"_times", fmt.Sprint(int64(times.Timeout), " ", int64(times.Stop))
	f.mu.Lock()
	same := f.known[file] == text
	f.mu.Unlock()
	if times == (lock.Times{}) || same {
		return
	}
	f.remember(file, text)
	f.notes.PutToLast(file, text+"\n")
}

// HolderTimes are the times of the last holder of a lock that this node saw. The node keeps them itself, because the
// servers of another cluster may know nothing of that holder.
func (f *Files) HolderTimes(name string) (times lock.Times) {
	if _, err := fmt.Sscan(f.recall(name+"_times", "0 0"), &times.Timeout, &times.Stop); err != nil {
		return lock.Times{}
	}
	return times
}

// Free writes that this node does not hold the lock.
func (f *Files) Free(name string, times lock.Times) {
	f.NoteOther(name, lock.Lock{}, times.Timeout+times.Stop)
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

// recall is the text of a note. The file is read only the first time. If there is no note, the text is none;
// that is remembered too, unless it is "".
func (f *Files) recall(file, none string) string {
	f.mu.Lock()
	text := f.known[file]
	f.mu.Unlock()
	if text != "" {
		return text
	}
	text, err := f.notes.Read(file)
	if err != nil || text == "" {
		text = none
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known[file] == "" { // else it was written meanwhile
		f.known[file] = text
	}
	return f.known[file]
}

func (f *Files) remember(file, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known[file] = text
}

// Had writes that this node had the lock in that term, by that session. It is still known after a reboot.
func (f *Files) Had(name string, term uint64, session string) {
	text := fmt.Sprint(term, " ", session)
	f.remember(name+"_term", text)
	f.notes.PutToLast(name+"_term", text+"\n")
}

// Term is the last term in which this node had a lock; 0 for none. Requests name it, so that even a
// cluster that knows less of the lock gives it a higher term next.
func (f *Files) Term(name string) uint64 {
	term, _ := f.had(name)
	return term
}

// Was is the session that had a lock last on this node, whatever the node was called then; "" for none.
func (f *Files) Was(name string) string {
	_, session := f.had(name)
	return session
}

func (f *Files) had(name string) (term uint64, session string) {
	_, _ = fmt.Sscan(f.recall(name+"_term", "0"), &term, &session) // the session is not there if an older version wrote it
	if api.CheckSession(session) != nil {
		session = "" // none, in a damaged file: servers refuse who says so, and its manager would end
	}
	return term, session
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
func (f *Files) Cluster() string { return f.recall("cluster", "") }

// SetCluster remembers the cluster.
func (f *Files) SetCluster(id string) error {
	f.remember("cluster", id)
	return f.notes.Write("cluster", id+"\n")
}

// met is when this node first met the cluster called id, in this boot of the host. If it has not met it
// before, that is now, and is noted.
func (f *Files) met(id string, now lease.Time) (lease.Time, error) {
	boot, err := lease.BootID()
	if err != nil {
		return now, err
	}
	var noted, notedBoot string
	var at, raw time.Duration
	if text, err := f.notes.Read("cluster_met"); err == nil {
		n, _ := fmt.Sscan(text, &noted, &notedBoot, &at, &raw)
		switch {
		case noted != id || notedBoot != boot:
		case n == 4:
			return lease.Reading(at, raw), nil
		case n == 3: // of an older version
			return lease.FromBoot(at, now), nil
		}
	}
	return f.meet(id, now)
}

// meet notes that this node met the cluster called id now.
func (f *Files) meet(id string, now lease.Time) (lease.Time, error) {
	boot, err := lease.BootID()
	if err != nil {
		return now, err
	}
	return now, f.notes.Write("cluster_met", fmt.Sprintln(id, boot, int64(now.Boot()), int64(now.Raw())))
}
