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
	"slices"
	"strings"

	"backtowork/internal/lock"

	"github.com/google/renameio/v2"
	"github.com/hashicorp/raft"
)

// An identity is who a server is: state/identity. It is made once, at the server's first
// start, and lost with the state, so that a server without its memory is another server.
type identity struct {
	ID      string `json:"id"`      // lock_servers entry, "/", random
	Cluster string `json:"cluster"` // "" until the server is in one
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

// identify reads the server's identity, or makes one.
func (s *Server) identify() error {
	b, err := os.ReadFile(s.identityFile())
	switch {
	case errors.Is(err, fs.ErrNotExist) && s.hasBirth():
		return fmt.Errorf("cannot use %s: the file identity is gone, so this server does not know who it is any more; it must not vote", s.Dir)
	case errors.Is(err, fs.ErrNotExist):
		s.self = identity{ID: s.Entry + "/" + randomID()}
		return s.saveIdentity()
	case err != nil:
		return fmt.Errorf("cannot read %w", err)
	}
	if err := json.Unmarshal(b, &s.self); err != nil {
		return fmt.Errorf("cannot use %s: it is damaged (%w)", s.identityFile(), err)
	}
	if entryOf(s.self.ID) != s.Entry {
		return fmt.Errorf("%s is the state of %q, but lock_servers calls this host %q", s.Dir, entryOf(s.self.ID), s.Entry)
	}
	// A birth that was cut short is finished: its record comes before all else.
	record, err := s.birthRecord()
	if err != nil || record == nil || s.self.Cluster != "" {
		return err
	}
	return s.beBorn(*record)
}

func (s *Server) hasBirth() bool {
	_, err := s.store.Get(birthKey)
	return err == nil
}

func (s *Server) saveIdentity() error {
	b, err := json.Marshal(s.self)
	if err != nil {
		return err
	}
	return writeFile(s.identityFile(), b)
}

// writeFile replaces the file at path whole, and sees it to the disk.
func writeFile(path string, b []byte) error {
	if err := renameio.WriteFile(path, b, 0o600); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// marked says whether this server was in a cluster once, whatever became of its state.
func (s *Server) marked() bool {
	_, err := os.Stat(s.Mark)
	return s.self.Cluster != "" || err == nil
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

// lost says whether the server was in a cluster but has nothing left of it.
func (s *Server) lost() bool {
	record, err := s.birthRecord()
	return err != nil || record == nil || s.self.Cluster != record.Cluster
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
	if err := writeFile(s.Mark, []byte(record.Cluster+"\n")); err != nil {
		return err
	}
	s.self.Cluster = record.Cluster
	return s.saveIdentity()
}

// bootstrap writes the first entry of the log, the configuration, as raft.BootstrapCluster
// would, but so that it can be finished after a crash in the middle.
func (s *Server) bootstrap(record birth) error {
	var configuration raft.Configuration
	for _, id := range record.IDs {
		configuration.Servers = append(configuration.Servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
	}
	const firstTerm = 1
	if err := s.store.SetUint64([]byte(termKey), firstTerm); err != nil {
		return err
	}
	return s.store.StoreLog(&raft.Log{
		Index: 1, Term: firstTerm, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(configuration),
	})
}

// sameList refuses a lock_servers that differs from the servers of the cluster.
func (s *Server) sameList() error {
	record, err := s.birthRecord()
	if err != nil {
		return err
	}
	if record == nil {
		return errors.New("how the cluster began is not known")
	}
	entries, list := record.entries(), slices.Sorted(slices.Values(s.List))
	if lock.SameServers(entries, list) {
		return nil
	}
	slices.Sort(entries)
	return fmt.Errorf("cannot change the lock servers of a running cluster: it has %s, lock_servers says %s; put the list back",
		strings.Join(entries, " "), strings.Join(list, " "))
}
