package lockserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"backtowork/internal/lockserver/store"
)

// storeName is the database in the state directory.
const storeName = "raft.db"

// seenKey is where the database keeps what this server remembers of the others.
var seenKey = []byte("btw-seen")

// errOutrun means that this server runs on an old copy of its state.
var errOutrun = errors.New("this server runs on an old copy of its state: another lock server remembers a later start of it")

// tallyFile is the file that counts the writes of the store. It stands beside the mark and not in the state
// directory, so that whoever puts an old copy of that back does not put back the count.
func (me *self) tallyFile() string { return filepath.Join(filepath.Dir(me.cfg.Mark), "writes") }

// doubt is why the state of a server that is in a cluster, whose database is file, cannot be the
// newest that it had: "" if it can.
func (me *self) doubt(file store.FileID) string {
	tally, err := store.ReadTally(me.tallyFile())
	switch {
	case me.cfg.Off.Memory:
		return ""
	case me.Outrun:
		return errOutrun.Error()
	case !file.Same(me.File):
		return "raft.db is not the file that it was, but a copy"
	case err != nil:
		return fmt.Sprintf("how often it was written is not known any more (%s)", err)
	case tally > me.store.Writes():
		return fmt.Sprintf("raft.db is an old copy: the last %d writes are missing", tally-me.store.Writes())
	}
	return ""
}

// setAside moves the state, which cannot be believed, to a directory of its own, and begins
// anew under another id.
func (me *self) setAside(why string) error {
	to, err := SetAside(me.cfg.Dir)
	if err != nil {
		return err
	}
	me.cfg.Log.Error("this server lost its memory: it does not vote until the others have taken it in as a new one",
		"reason", why, "old_state", to)
	if err := me.store.Close(); err != nil {
		return err
	}
	if err = me.open(); err != nil {
		return err
	}
	me.newIdentity()
	return nil
}

// SetAside moves what is in the state directory dir to a new directory in it, lost-1 or the next
// that is free, and returns its path. Nothing is removed: an admin may want to look at it.
func SetAside(dir string) (to string, err error) {
	for n := 1; ; n++ {
		to = filepath.Join(dir, fmt.Sprintf("lost-%d", n))
		if err = os.Mkdir(to, 0o700); !errors.Is(err, os.ErrExist) {
			break
		}
	}
	for _, name := range []string{storeName, "identity"} {
		if err != nil {
			break
		}
		if err = os.Rename(filepath.Join(dir, name), filepath.Join(to, name)); errors.Is(err, os.ErrNotExist) {
			err = nil
		}
	}
	if err != nil {
		return to, fmt.Errorf("cannot set the old state aside: %w", err)
	}
	return to, nil
}

// A sighting is the last start of another server that this one saw.
type sighting struct {
	Starts uint64 `json:"starts"`
	Run    string `json:"run"`
}

// present is this start of this server.
func (me *self) present() sighting { return sighting{me.Starts, me.Run} }

// seen is the last start of each other server, by id.
func (me *self) seen() (map[string]sighting, error) {
	all := map[string]sighting{}
	b, err := me.store.Get(seenKey)
	if err != nil {
		return all, nil // nothing yet: the store ends the process by itself if it cannot read
	}
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("cannot read what was seen of the other servers: %w", err)
	}
	return all, nil
}

// keptRuns is how many earlier starts a server can name. An old copy of its state that was started
// as often as the server itself cannot name those that the others saw.
const keptRuns = 16

// remember notes the present start of the server called id, or says why that server must not take part: it
// runs on an old copy of its state (outrun), or it is not the only one of that id. past is the runs of its
// starts before, as far as it names them. members returns the ids of the cluster's servers; what was seen of
// others is forgotten.
func (me *self) remember(id string, now sighting, past []string, members func() []string) (outrun bool, err error) {
	if me.cfg.Off.Memory || me.cfg.Off.Identity {
		return false, nil
	}
	me.turn <- struct{}{}
	defer func() { <-me.turn }()
	all, err := me.seen()
	if err != nil {
		return false, err
	}
	switch last := all[id]; {
	case last == now:
		return false, nil
	case now.Starts < last.Starts:
		return true, fmt.Errorf("%s runs on an old copy of its state: it has started %d times, and was seen after %d", id, now.Starts, last.Starts)
	case now.Starts > last.Starts && last.Run != "" && now.Starts-last.Starts <= uint64(len(past)) &&
		past[len(past)-int(now.Starts-last.Starts)] != last.Run:
		return true, fmt.Errorf("%s runs on an old copy of its state: its start number %d was another", id, last.Starts)
	case now.Starts == last.Starts:
		return false, fmt.Errorf("two live servers have the id %q: one runs on a copy of the other's state", id)
	}
	servers := members()
	maps.DeleteFunc(all, func(other string, _ sighting) bool { return !slices.Contains(servers, other) })
	all[id] = now
	b, err := json.Marshal(all)
	if err != nil {
		return false, err
	}
	return false, me.store.Set(seenKey, b)
}

// outrun notes that this server runs on an old copy of its state, and makes it begin again, as one that lost
// its memory.
func (s *Server) outrun() {
	s.mu.Lock()
	s.self.Outrun = true
	err := s.self.store.Beside(s.self.save) // all requests wait for s.mu: a disk that hangs ends the process
	s.mu.Unlock()
	if err != nil {
		s.Fatal(err)
		return
	}
	s.beginAgain(errOutrun.Error())
}
