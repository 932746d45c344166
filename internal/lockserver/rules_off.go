package lockserver

import (
	"context"

	"backtowork/internal/api"
	"backtowork/internal/lock"
	"backtowork/internal/lockserver/store"

	"github.com/hashicorp/raft"
)

// What a server does with a rule switched off, where that is more than to leave something out.
// Only tests switch rules off.

// lessRules is k as it is judged, without the rules that are off.
func (s *Server) lessRules(k lock.Lock) lock.Lock {
	if s.Off.Blocked {
		k.Blocked = ""
	}
	if s.Off.Fencing {
		k.Fencing = lock.Fencing{}
	}
	return k
}

// resume, without rule 12, makes this server the one again that it was.
func (s *Server) resume(status api.Status) {
	for _, m := range status.Servers {
		if s.Off.Memory && entryOf(m.ID) == s.Entry {
			s.self.ID = m.ID
		}
	}
}

// impose, without rule 13, makes lock_servers the servers of the cluster at once, as far as this
// server is concerned.
func (s *Server) impose(ctx context.Context, known raft.Configuration) error {
	if !s.Off.Members {
		return nil
	}
	ids := map[string]string{s.Entry: s.self.ID}
	for _, server := range known.Servers {
		ids[entryOf(string(server.ID))] = string(server.ID)
	}
	for entry, status := range s.askOthers(ctx) {
		ids[entry] = status.ID
	}
	record := birth{Cluster: s.self.Cluster}
	for _, entry := range s.list() {
		if id := ids[entry]; id != "" {
			record.IDs = append(record.IDs, id)
		}
	}
	if len(known.Servers) == 0 || api.SameServers(record.entries(), birthOf(known).entries()) {
		return nil
	}
	term, err := s.self.store.GetUint64([]byte(store.TermKey))
	if err != nil {
		return err
	}
	return s.self.store.StoreLog(&raft.Log{
		Index: s.self.store.Newest() + 1, Term: term, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(record.configuration()),
	})
}

// birthOf is the record that would give c.
func birthOf(c raft.Configuration) (b birth) {
	for _, server := range c.Servers {
		b.IDs = append(b.IDs, string(server.ID))
	}
	return b
}
