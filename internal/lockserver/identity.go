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
	Past    []string     `json:"past,omitempty"`  // the Run of each of the last starts before, the newest last
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

// A self is who a server is, and what it knows of its past, as its disk says. The identity and the store are in one
// directory. In another place are a mark and a tally, which show if the first two got lost or are old (rule 12). The
// server's mutex guards the identity.
type self struct {
	identity
	cfg     Config // of the server
	store   *store.Store
	stall   func()        // the store's
	doubted string        // why the state may be an old copy, while an admin forces a new cluster
	turn    chan struct{} // full while somebody changes what was seen of the other servers: one at a time
}

func newSelf(cfg Config) *self { return &self{cfg: cfg, turn: make(chan struct{}, 1)} }

// open opens the store.
func (me *self) open() (err error) {
	if me.store, err = store.Open(me.storeFile(), me.cfg.Fatal); err == nil {
		me.store.Stall = me.stall
	}
	return err
}

func randomID() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(b)
}

func (me *self) identityFile() string { return filepath.Join(me.cfg.Dir, "identity") }

func (me *self) storeFile() string { return filepath.Join(me.cfg.Dir, storeName) }

func (me *self) newIdentity() { me.identity = identity{ID: me.cfg.Entry + "/" + randomID()} }

// identify opens the store and learns who this server is. A state that cannot be believed is set aside:
// then this is another server, which does not vote until the others have taken it in (rule 12).
func (me *self) identify() (err error) {
	if err = me.open(); err != nil {
		return err
	}
	why, err := me.recall()
	switch {
	case err != nil || why == "":
	case me.cfg.Forcing:
		me.doubted = why
		if me.ID == "" {
			me.newIdentity()
		}
	default:
		err = me.setAside(why)
	}
	if err == nil {
		err = me.begun()
	}
	if err != nil {
		return errors.Join(err, me.store.Close())
	}
	return nil
}

// recall reads the identity, or makes one. It returns why the state cannot be believed; "" if it can.
func (me *self) recall() (why string, err error) {
	b, err := os.ReadFile(me.identityFile())
	switch {
	case errors.Is(err, fs.ErrNotExist) && me.store.Writes() > 0:
		return "the file identity is gone", nil
	case errors.Is(err, fs.ErrNotExist):
		me.newIdentity()
		return "", nil
	case err != nil:
		return "", fmt.Errorf("cannot read %w", err)
	}
	if err := json.Unmarshal(b, &me.identity); err != nil {
		return "", fmt.Errorf("cannot use %s: it is damaged (%w)", me.identityFile(), err)
	}
	record, err := me.birthRecord()
	if err != nil {
		return "", err
	}
	file, err := store.FileOf(me.storeFile())
	switch another := entryOf(me.ID) != me.cfg.Entry; {
	case err != nil:
		return "", err
	case me.Cluster == "" && record == nil:
		if another || !file.Same(me.File) { // it came with a copy of the tree, and never voted
			me.newIdentity()
		}
		return "", nil
	case another:
		return "", fmt.Errorf("%s is the state of %q, but lock_servers calls this host %q: write the old name back, or, to leave its cluster: dex-server-init --join",
			me.cfg.Dir, entryOf(me.ID), me.cfg.Entry)
	}
	return me.doubt(file), nil
}

// begun counts this start, and finishes a birth that was cut short.
func (me *self) begun() error {
	file, err := store.FileOf(me.storeFile())
	if err != nil {
		return err
	}
	if me.Starts > 0 {
		me.Past = append(me.Past, me.Run)
	}
	me.Past = me.Past[max(0, len(me.Past)-keptRuns):]
	me.File, me.Run = file, randomID()
	me.Starts++
	if err := errors.Join(me.save(), me.store.CountIn(me.tallyFile())); err != nil {
		return err
	}
	record, err := me.birthRecord()
	if err != nil || record == nil || me.Cluster != "" {
		return err
	}
	return me.beBorn(*record)
}

func (me *self) save() error {
	b, err := json.Marshal(me.identity)
	if err != nil {
		return err
	}
	return store.WriteFile(me.identityFile(), b)
}

// markOf is the cluster that this server was in once, whatever became of its state: "" for none.
func (me *self) markOf() string {
	if me.Cluster != "" {
		return me.Cluster
	}
	b, err := os.ReadFile(me.cfg.Mark)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func (me *self) birthRecord() (*birth, error) {
	b, err := me.store.Get(birthKey)
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
func (me *self) beBorn(record birth) error {
	b, err := json.Marshal(record)
	if err != nil {
		return err
	}
	if err := me.store.Set(birthKey, b); err != nil {
		return err
	}
	if last, err := me.store.LastIndex(); err != nil {
		return err
	} else if last == 0 {
		if err := me.bootstrap(record); err != nil {
			return fmt.Errorf("cannot begin the cluster: %w", err)
		}
	}
	return me.enter(record.Cluster)
}

// enter notes that this server is in the cluster now. The mark comes first, so that a server that
// may have voted is always marked.
func (me *self) enter(cluster string) error {
	if err := store.WriteFile(me.cfg.Mark, []byte(cluster+"\n")); err != nil {
		return err
	}
	me.Cluster = cluster
	return me.save()
}

// bootstrap writes the first entry of the log, the configuration, as raft.BootstrapCluster
// would, but so that it can be finished after a crash in the middle.
func (me *self) bootstrap(record birth) error {
	const firstTerm = 1
	if err := me.store.SetUint64([]byte(store.TermKey), firstTerm); err != nil {
		return err
	}
	return me.store.StoreLog(&raft.Log{
		Index: 1, Term: firstTerm, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(record.configuration()),
	})
}
