package lockserver

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"backtowork/internal/lockserver/store"

	"github.com/hashicorp/raft"
)

// An identity is who a server is: state/identity. It is made once, at the server's first
// start, and lost with the state, so that a server without its memory is another server.
type identity struct {
	ID      string       `json:"id"`              // lock_servers entry, "/", random
	File    store.FileID `json:"file"`            // of the database
	Starts  uint64       `json:"starts"`          // under this id; the others remember it
	Run     string       `json:"run"`             // random, of the last start
	Past    []string     `json:"past,omitempty"`  // the same of those before, the newest last
	Outrun  bool         `json:"outrun,omitzero"` // another server remembers a later start
	Forced  bool         `json:"forced,omitzero"` // an admin has said that the others are down for good
	Cluster string       `json:"cluster"`         // "" until the server is in one
}

// EntryIn is what lock_servers called the server whose state is in dir.
func EntryIn(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, "identity"))
	if err != nil {
		return "", err
	}
	var id identity
	err = json.Unmarshal(b, &id)
	return entryOf(id.ID), err
}

// A birth is how a cluster began: kept in the database, and told to every server of it.
type birth struct {
	Cluster string   `json:"cluster"`
	IDs     []string `json:"ids"`
}

// entries is what lock_servers called the servers of the cluster.
func (b birth) entries() []string {
	var all []string
	for _, id := range b.IDs {
		all = append(all, entryOf(id))
	}
	return all
}

// birthKey is where the database keeps the birth.
var birthKey = []byte("btw-birth")

func randomID() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(b)
}

func (s *Server) identityFile() string { return filepath.Join(s.Dir, "identity") }

func (s *Server) storeFile() string { return filepath.Join(s.Dir, storeName) }

func (s *Server) newIdentity() { s.self = identity{ID: s.Entry + "/" + randomID()} }

// identify opens the store and learns who this server is. One that lost its memory is set aside:
// then this is another server, which does not vote until the others have taken it in (rule 12).
func (s *Server) identify() (err error) {
	if err = s.openStore(); err != nil {
		return err
	}
	why, err := s.recall()
	switch {
	case err != nil || why == "":
	case s.Forcing:
		s.doubted = why
		if s.self.ID == "" {
			s.newIdentity()
		}
	default:
		err = s.setAside(why)
	}
	if err == nil {
		err = s.begun()
	}
	if err != nil {
		return errors.Join(err, s.store.Close())
	}
	return nil
}

// recall reads the identity, or makes one. It returns why the state cannot be believed.
func (s *Server) recall() (why string, err error) {
	b, err := os.ReadFile(s.identityFile())
	switch {
	case errors.Is(err, fs.ErrNotExist) && s.store.Writes() > 0:
		return "the file identity is gone", nil
	case errors.Is(err, fs.ErrNotExist):
		s.newIdentity()
		return "", nil
	case err != nil:
		return "", fmt.Errorf("cannot read %w", err)
	}
	if err := json.Unmarshal(b, &s.self); err != nil {
		return "", fmt.Errorf("cannot use %s: it is damaged (%w)", s.identityFile(), err)
	}
	record, err := s.birthRecord()
	if err != nil {
		return "", err
	}
	file, err := store.FileOf(s.storeFile())
	switch another := entryOf(s.self.ID) != s.Entry; {
	case err != nil:
		return "", err
	case s.self.Cluster == "" && record == nil:
		if another || !file.Same(s.self.File) { // it came with a copy of the tree, and never voted
			s.newIdentity()
		}
		return "", nil
	case another:
		return "", fmt.Errorf("%s is the state of %q, but lock_servers calls this host %q: write the old name back, or, to leave its cluster: dex-server-init --join",
			s.Dir, entryOf(s.self.ID), s.Entry)
	}
	return s.doubt(file), nil
}

// begun counts this start, and finishes a birth that was cut short.
func (s *Server) begun() error {
	file, err := store.FileOf(s.storeFile())
	if err != nil {
		return err
	}
	if s.self.Starts > 0 {
		s.self.Past = append(s.self.Past, s.self.Run)
	}
	s.self.Past = s.self.Past[max(0, len(s.self.Past)-keptRuns):]
	s.self.File, s.self.Run = file, randomID()
	s.self.Starts++
	if err := errors.Join(s.saveIdentity(), s.store.CountIn(s.tallyFile())); err != nil {
		return err
	}
	record, err := s.birthRecord()
	if err != nil || record == nil || s.self.Cluster != "" {
		return err
	}
	return s.beBorn(*record)
}

func (s *Server) saveIdentity() error {
	b, err := json.Marshal(s.self)
	if err != nil {
		return err
	}
	return store.WriteFile(s.identityFile(), b)
}

// markOf is the cluster that this server was in once, whatever became of its state: "" for none.
func (s *Server) markOf() string {
	if s.self.Cluster != "" {
		return s.self.Cluster
	}
	b, err := os.ReadFile(s.Mark)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func (s *Server) birthRecord() (*birth, error) {
	b, err := s.store.Get(birthKey)
	if err != nil || len(b) == 0 {
		return nil, nil // the store ends the process by itself if it cannot read
	}
	var record birth
	if err := json.Unmarshal(b, &record); err != nil {
		return nil, fmt.Errorf("cannot read how the cluster began: %w", err)
	}
	return &record, nil
}

// beBorn puts this server into the cluster that begins with record. Every server of it does
// the same with the same record, which raft allows. The record is written first and the mark
// before raft starts, so a crash in between is finished at the next start, and a server that
// may have voted is always marked.
func (s *Server) beBorn(record birth) error {
	b, err := json.Marshal(record)
	if err != nil {
		return err
	}
	if err := s.store.Set(birthKey, b); err != nil {
		return err
	}
	if last, err := s.store.LastIndex(); err != nil {
		return err
	} else if last == 0 {
		if err := s.bootstrap(record); err != nil {
			return fmt.Errorf("cannot begin the cluster: %w", err)
		}
	}
	return s.enter(record.Cluster)
}

// enter notes that this server is in the cluster now. The mark comes first, so that a server that
// may have voted is always marked.
func (s *Server) enter(cluster string) error {
	if err := store.WriteFile(s.Mark, []byte(cluster+"\n")); err != nil {
		return err
	}
	s.self.Cluster = cluster
	return s.saveIdentity()
}

// bootstrap writes the first entry of the log, the configuration, as raft.BootstrapCluster
// would, but so that it can be finished after a crash in the middle.
func (s *Server) bootstrap(record birth) error {
	const firstTerm = 1
	if err := s.store.SetUint64([]byte(store.TermKey), firstTerm); err != nil {
		return err
	}
	return s.store.StoreLog(&raft.Log{
		Index: 1, Term: firstTerm, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(record.configuration()),
	})
}
