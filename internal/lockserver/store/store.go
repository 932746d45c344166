// Package store keeps what a lock server may not forget, in one bbolt file: raft's log, its term and vote, its newest
// snapshot. Beside that stands a tally of its writes, by which an old copy of the file is known.
package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

// Limit is how long a call of the store may take. After that the process is ended, since a leader
// that hangs in such a call does not step down by itself.
const Limit = 2 * time.Second

// The buckets of the file, and the only key of the second one.
var (
	logBucket   = []byte("log")
	stateBucket = []byte("state")
	stateKey    = []byte("state")
)

// TermKey is the key under which raft keeps its current term, a number.
const TermKey = "CurrentTerm"

// errNotFound is returned for a value that was never set. Its text must stay: raft compares it.
var errNotFound = errors.New("not found")

// errNotStore is why a bbolt file cannot be used that something else wrote, or that lost a bucket.
var errNotStore = errors.New("it is not the store of a lock server")

// A Store keeps raft's log, its values and its newest snapshot in one bbolt file.
//
// What is wrong with the store ends the process, by fatal, rather than let raft go on: a write
// that fails, a call that takes longer than Limit, and a current term lower than one that
// was set before. From then on no call that touches the file returns; in tests, where fatal
// returns, they do nothing and return its error.
//
// The log has no gaps. When raft stores an entry beyond the end of the log, the store drops all entries
// that it has: raft leaves entries out only when a snapshot has them. Keeping the old ones (as a store
// that allows gaps does) would let raft find entries there that the cluster may never have agreed on.
// The store must not have a method IsMonotonic that says yes: then a late snapshot would make raft
// delete entries behind it that raft has already confirmed.
type Store struct {
	// Stall runs in every call that touches the file, as a slow disk would: nil but in tests and simulations.
	Stall func()

	path  string
	db    *bbolt.DB
	fatal func(error)

	slowest atomic.Pointer[slowCall] // of the last minute or so

	first, last atomic.Uint64 // as in state

	mu    sync.RWMutex // held over every write
	state state        // what the file says; its map is never changed, only replaced
	buf   []byte       // holds what is to be written, encoded; kept for the next call
	tally *os.File     // nil before CountIn

	dying sync.Mutex // held while fatal runs
	dead  error
}

var (
	_ raft.LogStore    = (*Store)(nil)
	_ raft.StableStore = (*Store)(nil)
)

// Open opens the file at path, making it if there is none. It should have been checked
// before: bbolt panics on some kinds of damage. fatal is told, as one line, why the process must
// end; except in tests it does not return. It must not call the store, nor wait for a goroutine that does.
func Open(path string, fatal func(error)) (*Store, error) {
	if info, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := createStore(path); err != nil {
			return nil, fmt.Errorf("cannot create %s: %s", path, reason(err))
		}
	} else if err == nil && info.Size() == 0 { // bbolt would take it for a new one
		return nil, fmt.Errorf("cannot use %s: it is empty", path)
	}
	db, err := bbolt.Open(path, 0o600, boltOptions())
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %s", path, reason(err))
	}
	s := &Store{path: path, db: db, fatal: fatal}
	if err := s.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot use %s: %w", path, err), db.Close())
	}
	return s, nil
}

func boltOptions() *bbolt.Options {
	return &bbolt.Options{
		Timeout:        time.Second,
		NoFreelistSync: true, // found again at open; the file stays small by snapshots
		FreelistType:   bbolt.FreelistMapType,
		NoStatistics:   true,
	}
}

// createStore makes an empty store at path, whole or not at all.
func createStore(path string) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	db, err := bbolt.Open(f.Name(), 0o600, boltOptions())
	if err != nil {
		return errors.Join(err, f.Close())
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err1 := tx.CreateBucket(logBucket)
		b, err2 := tx.CreateBucket(stateBucket)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		return b.Put(stateKey, appendState(nil, state{}))
	})
	if err := errors.Join(err, f.Sync(), f.Close(), db.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// load reads the state of a file that was just opened.
func (s *Store) load() error {
	return s.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(stateBucket)
		if b == nil || tx.Bucket(logBucket) == nil {
			return errNotStore
		}
		var err error
		s.state, err = decodeState(b.Get(stateKey))
		s.first.Store(s.state.first)
		s.last.Store(s.state.last)
		return err
	})
}

// Close closes the file and the tally. A call that comes later fails, and ends nothing.
func (s *Store) Close() error {
	err := s.db.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tally != nil {
		err = errors.Join(err, s.tally.Close())
		s.tally = nil
	}
	return err
}

// FirstIndex is the index of the oldest entry, or 0.
func (s *Store) FirstIndex() (uint64, error) { return s.first.Load(), nil }

// LastIndex is the index of the newest entry, or 0.
func (s *Store) LastIndex() (uint64, error) { return s.last.Load(), nil }

// GetLog reads the entry at index into l: raft.ErrLogNotFound if there is none.
func (s *Store) GetLog(index uint64, l *raft.Log) error {
	if index == 0 || index < s.first.Load() || index > s.last.Load() {
		return raft.ErrLogNotFound
	}
	return s.call("read", func() error { return s.read(index, l) })
}

func (s *Store) read(index uint64, l *raft.Log) error {
	return s.db.View(func(tx *bbolt.Tx) error {
		v := tx.Bucket(logBucket).Get(indexKey(index))
		if v == nil { // deleted just now
			return raft.ErrLogNotFound
		}
		return decodeEntry(v, l)
	})
}

// Get reads a value: its error says "not found" if none was ever set.
func (s *Store) Get(key []byte) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	v, ok := s.state.values[string(key)]
	if !ok {
		return nil, errNotFound
	}
	return append([]byte(nil), v...), nil
}

// GetUint64 reads a number, as Get does.
func (s *Store) GetUint64(key []byte) (uint64, error) {
	v, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, fmt.Errorf("cannot read %q from %s: not a number", key, s.path)
	}
	return binary.BigEndian.Uint64(v), nil
}

// SetUint64 keeps a number, as Set does.
func (s *Store) SetUint64(key []byte, v uint64) error { return s.Set(key, indexKey(v)) }

// ErrHangs is why a process ends whose disk has not answered for [Limit].
var ErrHangs = errors.New("the disk has not answered")

// call runs f, which is what the store is asked to do. It ends the process if f fails, or as soon as
// f has taken longer than Limit.
func (s *Store) call(what string, f func() error) error {
	if err := s.end(nil); err != nil {
		return err
	}
	hangs := func() error {
		return s.end(fmt.Errorf("cannot %s %s: %w for %v", what, s.path, ErrHangs, Limit))
	}
	slow := time.AfterFunc(Limit, func() { _ = hangs() })
	begin := time.Now()
	if s.Stall != nil {
		s.Stall()
	}
	err := f()
	s.took(what, begin, time.Since(begin))
	switch {
	case !slow.Stop():
		return hangs()
	case err == nil || errors.Is(err, raft.ErrLogNotFound):
		return err
	case errors.Is(err, berrors.ErrDatabaseNotOpen):
		return fmt.Errorf("cannot %s %s: it is closed", what, s.path)
	}
	return s.end(fmt.Errorf("cannot %s %s: %s", what, s.path, reason(err)))
}

// slowLimit is how long a call may take before it is worth a word.
const slowLimit = 250 * time.Millisecond

// Beside runs write, which writes to a file that stands beside the store: it ends the process as a write of the
// store's own does, when it fails or hangs.
func (s *Store) Beside(write func() error) error { return s.call("write beside", write) }

// A slowCall is a call of the store that took long, because the disk did.
type slowCall struct {
	what string
	at   time.Time
	took time.Duration
}

// took notes a call that took long.
func (s *Store) took(what string, at time.Time, took time.Duration) {
	last := s.slowest.Load()
	if took >= slowLimit && (last == nil || took >= last.took || time.Since(last.at) > time.Minute) {
		s.slowest.Store(&slowCall{what, at, took})
	}
}

// Slow says how slow the disk was in the last minute: "" if it was not.
func (s *Store) Slow() string {
	last := s.slowest.Load()
	if last == nil || time.Since(last.at) > time.Minute {
		return ""
	}
	return fmt.Sprintf("slow: one %s took %v", last.what, last.took.Round(10*time.Millisecond))
}

// end ends the process for the first err that is not nil. From then on it always returns that err.
func (s *Store) end(err error) error {
	s.dying.Lock()
	defer s.dying.Unlock()
	if s.dead == nil && err != nil {
		s.dead = err
		s.fatal(err)
	}
	return s.dead
}

// reason says in a few words why a file cannot be used. bbolt passes on some errors of the
// system only by their text.
func reason(err error) string {
	for _, full := range []syscall.Errno{unix.ENOSPC, unix.EDQUOT} {
		if errors.Is(err, full) || strings.Contains(err.Error(), full.Error()) {
			return "disk full (" + full.Error() + ")"
		}
	}
	if errors.Is(err, berrors.ErrTimeout) {
		return "another process uses it"
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

func indexKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
