//go:build linux

package store

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

// snap keeps a snapshot that ends with the entry at index.
func snap(t testing.TB, s *Store, index uint64, data string) {
	t.Helper()
	servers := raft.Configuration{Servers: []raft.Server{{ID: "a/1", Address: "a/1"}, {Suffrage: raft.Nonvoter, ID: "b/2", Address: "b/2"}}}
	sink, err := s.Create(1, index, 7, servers, 3, nil)
	if err == nil {
		_, err = io.WriteString(sink, data)
	}
	if err := errors.Join(err, sink.Close(), sink.Close()); err != nil {
		t.Fatal(err)
	}
}

// The newest snapshot is there after a restart, just as it was.
func TestStoreSnapshot(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "raft.db")
	s, _ := mortalStore(t, path)
	if all, err := s.List(); err != nil || len(all) != 0 {
		t.Fatalf("List of none = %v, %v", all, err)
	}
	snap(t, s, 90, "older")
	snap(t, s, 100, "newer")
	snap(t, s, 95, "late")
	sink, err := s.Create(1, 200, 7, raft.Configuration{}, 1, nil)
	if err == nil {
		err = errors.Join(sink.Cancel(), sink.Close(), s.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := check(t, path); err != nil {
		t.Fatal(err)
	}
	s, d := mortalStore(t, path)
	all, err := s.List()
	if err != nil || len(all) != 1 || all[0].Index != 100 || all[0].Term != 7 || all[0].ConfigurationIndex != 3 || len(all[0].Configuration.Servers) != 2 {
		t.Fatalf("List = %+v, %v", all, err)
	}
	meta, r, err := s.Open(all[0].ID)
	if err != nil || !reflect.DeepEqual(meta, all[0]) {
		t.Fatalf("Open = %+v, %v, want %+v", meta, err, all[0])
	}
	if data, err := io.ReadAll(r); err != nil || string(data) != "newer" || meta.Size != 5 {
		t.Errorf("the data are %q, %v, of size %d", data, err, meta.Size)
	}
	if _, _, err := s.Open("7-90"); err == nil || len(d.reasons()) > 0 {
		t.Errorf("an old snapshot: %v, %v", err, d.reasons())
	}
}

// The check finds a snapshot that is damaged, gone, or not the newest.
func TestSnapshotInStoreDamaged(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*bbolt.Bucket, []byte) error{
		"gone":    func(b *bbolt.Bucket, _ []byte) error { return b.Delete(snapshotKey) },
		"flipped": func(b *bbolt.Bucket, v []byte) error { v[len(v)/2] ^= 1; return b.Put(snapshotKey, v) },
		"cut":     func(b *bbolt.Bucket, v []byte) error { return b.Put(snapshotKey, v[:len(v)-1]) },
		"older": func(b *bbolt.Bucket, _ []byte) error {
			return b.Put(snapshotKey, appendSnapshot(nil, raft.SnapshotMeta{Index: 90}, nil))
		},
	} {
		path := filepath.Join(t.TempDir(), "raft.db")
		s, _ := mortalStore(t, path)
		snap(t, s, 100, strings.Repeat("data", 3000))
		err := s.db.Update(func(tx *bbolt.Tx) error {
			b := tx.Bucket(stateBucket)
			return spoil(b, append([]byte(nil), b.Get(snapshotKey)...))
		})
		if err := errors.Join(err, s.Close()); err != nil {
			t.Fatal(err)
		}
		if err := check(t, path); err == nil || !strings.Contains(err.Error(), "it is damaged (snapshot: ") {
			t.Errorf("%s: %v, want it found", name, err)
		}
		_ = os.Remove(path)
	}
}
