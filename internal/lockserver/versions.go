package lockserver

import (
	"backtowork/internal/lock"

	"github.com/hashicorp/raft"
)

// said notes the newest version of log entries that the server with that id knows, by its own word: one from
// before there were two does not say. Who connects to it hears it anew, so one that was started again with an
// older program is believed before it is sent anything.
func (s *Server) said(id string, entries int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries == nil {
		s.entries = map[string]int{}
	}
	s.entries[id] = max(entries, 1)
}

// known is the newest version of log entries that every server of the cluster has said it knows (rule 14), those too
// that do not vote yet. One that was not heard since this server runs may be an older one. But what the table
// needs every server knew when it was agreed on, or it could not have gone on since.
func (s *Server) known() int {
	if s.Off.Versions {
		return s.machine.knows
	}
	least := s.machine.knows
	for _, server := range s.configuration().Servers {
		least = min(least, s.knownBy(server.ID))
	}
	s.machine.mu.Lock()
	defer s.machine.mu.Unlock()
	return max(least, s.machine.table.Needs())
}

func (s *Server) knownBy(id raft.ServerID) int {
	if string(id) == s.self.ID {
		return s.machine.knows
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(1, s.entries[string(id)])
}

// isSilent says whether who asks is to take k from a holder on another node that was only silent.
func (s *Server) isSilent(k lock.Lock, by lock.Owner) bool {
	return k.Held() && !k.Fenced && k.Node != by.Node && !s.Off.Unfenced && s.known() >= lock.Entry{Silent: true}.Needs()
}
