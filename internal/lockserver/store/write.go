package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

// keepBuffer is how large a buffer the store keeps for the next call.
const keepBuffer = 1 << 20

// errMisuse is why a call is refused that would break the log; raft makes none.
var errMisuse = errors.New("raft asks for what would break the log")

// StoreLog appends one entry.
func (s *Store) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs appends entries, all or none. They are durable when it returns.
func (s *Store) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	return s.call("write", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		gap := s.state.last != 0 && logs[0].Index > s.state.last+1
		if err := s.checkAppend(logs, gap); err != nil {
			return err
		}
		next, end := s.state, logs[len(logs)-1]
		next.last, next.lastTerm = end.Index, end.Term
		if gap || next.first == 0 {
			next.first = logs[0].Index
		}
		return s.write(next, func(tx *bbolt.Tx) error {
			if gap {
				if err := emptyLog(tx); err != nil {
					return err
				}
			}
			return s.putAll(tx.Bucket(logBucket), logs)
		})
	})
}

// checkAppend refuses entries that do not follow each other, or the last one.
func (s *Store) checkAppend(logs []*raft.Log, gap bool) error {
	index, term := s.state.last, s.state.lastTerm
	if gap || index == 0 {
		index, term = logs[0].Index-1, 0
	}
	for _, l := range logs {
		if l.Index != index+1 || l.Index == 0 || l.Term < term {
			return fmt.Errorf("%w: entry %d of term %d after entry %d of term %d", errMisuse, l.Index, l.Term, index, term)
		}
		index, term = l.Index, l.Term
	}
	return nil
}

func (s *Store) putAll(log *bbolt.Bucket, logs []*raft.Log) error {
	log.FillPercent = 1 // entries are only ever added at the end
	var key [8]byte
	for _, l := range logs {
		start := len(s.buf)
		s.buf = appendEntry(s.buf, l) // s.buf may move; bbolt then keeps the old memory, which nobody changes
		binary.BigEndian.PutUint64(key[:], l.Index)
		if err := log.Put(key[:], s.buf[start:]); err != nil {
			return err
		}
	}
	return nil
}

// DeleteRange drops the entries from low to high, which must reach to an end of the log.
func (s *Store) DeleteRange(low, high uint64) error {
	return s.call("write", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		next := s.state
		low, high := max(low, next.first), min(high, next.last)
		if low > high || high == 0 {
			return nil
		}
		switch {
		case low == next.first && high == next.last:
			next.first, next.last, next.lastTerm = 0, 0, 0
			return s.write(next, emptyLog)
		case low == next.first:
			next.first = high + 1
		case high == next.last:
			next.last = low - 1
			var l raft.Log
			if err := s.read(next.last, &l); err != nil {
				return err
			}
			next.lastTerm = l.Term
		default:
			return fmt.Errorf("%w: deleting %d to %d of %d to %d", errMisuse, low, high, next.first, next.last)
		}
		return s.write(next, func(tx *bbolt.Tx) error {
			log := tx.Bucket(logBucket)
			for i := low; i <= high; i++ {
				if err := log.Delete(indexKey(i)); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// emptyLog drops all entries.
func emptyLog(tx *bbolt.Tx) error {
	if err := tx.DeleteBucket(logBucket); err != nil {
		return err
	}
	_, err := tx.CreateBucket(logBucket)
	return err
}

// Set keeps a value of raft's own. It is durable when Set returns: a vote may be spoken then.
func (s *Store) Set(key, v []byte) error {
	return s.call("write", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		old, ok := s.state.values[string(key)]
		if ok && bytes.Equal(old, v) {
			return nil
		}
		if string(key) == TermKey && (len(v) != 8 || bytes.Compare(v, old) < 0) { // big endian
			return fmt.Errorf("raft's term would go back from %x to %x", old, v)
		}
		next := s.state
		next.values = maps.Clone(next.values)
		if next.values == nil {
			next.values = map[string][]byte{}
		}
		next.values[string(key)] = append([]byte(nil), v...)
		return s.write(next, func(*bbolt.Tx) error { return nil })
	})
}

// write makes next the state and does change, both in one transaction. The caller holds s.mu.
func (s *Store) write(next state, change func(*bbolt.Tx) error) error {
	next.writes++
	err := s.db.Update(func(tx *bbolt.Tx) error {
		s.buf = s.buf[:0]
		if err := change(tx); err != nil {
			return err
		}
		start := len(s.buf)
		s.buf = appendState(s.buf, next)
		return tx.Bucket(stateBucket).Put(stateKey, s.buf[start:])
	})
	if cap(s.buf) > keepBuffer {
		s.buf = nil
	}
	if err != nil {
		return err
	}
	s.state = next
	s.first.Store(next.first)
	s.last.Store(next.last)
	return s.count()
}
