package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

// The store keeps the newest snapshot too: one value, with a CRC as all others have, and its
// index in the state, so that it cannot be damaged, get lost, or grow old alone. (raft's own
// FileSnapshotStore guards the contents but not the meta data, and goes on with an older
// snapshot, or none, where the newest cannot be read: then the server votes with less than it
// has agreed to.)

var _ raft.SnapshotStore = (*Store)(nil)

// Create begins a snapshot. It is in the store once it is closed.
func (s *Store) Create(_ raft.SnapshotVersion, index, term uint64, c raft.Configuration, configurationIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	return &sinkOf{store: s, meta: raft.SnapshotMeta{
		Version: raft.SnapshotVersionMax, ID: fmt.Sprintf("%d-%d", term, index), Index: index, Term: term,
		Configuration: c, ConfigurationIndex: configurationIndex,
	}}, nil
}

// A sinkOf is a snapshot on its way to the store.
type sinkOf struct {
	bytes.Buffer
	store *Store
	meta  raft.SnapshotMeta
	over  bool
}

// ID is the name of the snapshot.
func (k *sinkOf) ID() string { return k.meta.ID }

// Cancel forgets the snapshot.
func (k *sinkOf) Cancel() error { k.over = true; return nil }

// Close keeps the snapshot. It is durable when Close returns.
func (k *sinkOf) Close() error {
	if k.over {
		return nil
	}
	k.over = true
	s := k.store
	return s.call("write", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if k.meta.Index < s.state.snapshot {
			return nil // a later one was kept meanwhile
		}
		next := s.state
		next.snapshot = k.meta.Index
		return s.write(next, func(tx *bbolt.Tx) error {
			s.buf = appendSnapshot(s.buf, k.meta, k.Bytes())
			return tx.Bucket(stateBucket).Put(snapshotKey, s.buf)
		})
	})
}

// List is the newest snapshot, if there is one.
func (s *Store) List() ([]*raft.SnapshotMeta, error) {
	meta, _, err := s.snapshot()
	if err != nil || meta == nil {
		return nil, err
	}
	return []*raft.SnapshotMeta{meta}, nil
}

// Open reads the snapshot called id.
func (s *Store) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	meta, data, err := s.snapshot()
	if err == nil && (meta == nil || meta.ID != id) {
		err = fmt.Errorf("cannot open snapshot %q: there is a newer one", id)
	}
	return meta, io.NopCloser(bytes.NewReader(data)), err
}

func (s *Store) snapshot() (meta *raft.SnapshotMeta, data []byte, err error) {
	err = s.call("read", func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			meta, data, err = readSnapshot(tx)
			return err
		})
	})
	return meta, data, err
}

// Newest is the index of the last entry that the store has, in the log or in the snapshot; 0 if none.
func (s *Store) Newest() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return max(s.state.last, s.state.snapshot)
}

// readSnapshot reads the snapshot, which is the one that the state says, or nil if that says none.
func readSnapshot(tx *bbolt.Tx) (*raft.SnapshotMeta, []byte, error) {
	b := tx.Bucket(stateBucket)
	s, err := decodeState(b.Get(stateKey))
	if err != nil || s.snapshot == 0 {
		return nil, nil, err
	}
	meta, data, err := decodeSnapshot(b.Get(snapshotKey))
	if err == nil && meta.Index != s.snapshot {
		err = fmt.Errorf("the snapshot is of entry %d, not %d", meta.Index, s.snapshot)
	}
	return meta, data, err
}

var snapshotKey = []byte("snapshot")

// appendSnapshot appends the code of a snapshot to b: version, index, term, index and code of the
// configuration, the data.
func appendSnapshot(b []byte, meta raft.SnapshotMeta, data []byte) []byte {
	start := len(b)
	b = append(b, 1)
	b = binary.AppendUvarint(b, meta.Index)
	b = binary.AppendUvarint(b, meta.Term)
	b = binary.AppendUvarint(b, meta.ConfigurationIndex)
	b = appendBytes(b, raft.EncodeConfiguration(meta.Configuration))
	b = appendBytes(b, data)
	return appendCRC(b, start)
}

func decodeSnapshot(v []byte) (*raft.SnapshotMeta, []byte, error) {
	body, err := open(v, "snapshot", 1)
	if err != nil {
		return nil, nil, err
	}
	r := reader{rest: body}
	meta := &raft.SnapshotMeta{Version: raft.SnapshotVersionMax, Index: r.uvarint(), Term: r.uvarint(), ConfigurationIndex: r.uvarint()}
	configuration, data := r.bytes(), r.bytes()
	if r.failed || len(r.rest) != 0 {
		return nil, nil, errDamaged
	}
	meta.ID, meta.Size = fmt.Sprintf("%d-%d", meta.Term, meta.Index), int64(len(data))
	meta.Configuration = raft.DecodeConfiguration(configuration)
	return meta, data, nil
}
