package lockserver

import "backtowork/internal/lock"

// known is the newest version of log entries that every server of the cluster has said it knows (rule 14), also those
// that do not vote yet. A server that was not heard since this one runs may be an older one. But the version that the
// table needs already is known to all: a server that did not know it would have stopped.
func (s *Server) known() int {
	if s.Off.Versions {
		return s.machine.knows
	}
	least := s.machine.knows
	for _, server := range s.configuration().Servers {
		if id := string(server.ID); id != s.self.ID {
			least = min(least, s.others.know(id))
		}
	}
	s.machine.mu.Lock()
	defer s.machine.mu.Unlock()
	return max(least, s.machine.table.Needs())
}

// isSilent says whether by takes k from a holder on another node that was only silent, and the log may say so.
func (s *Server) isSilent(k lock.Lock, by lock.Owner) bool {
	return k.Held() && !k.Fenced && k.Node != by.Node && !s.Off.Unfenced && s.known() >= lock.Entry{Silent: true}.Needs()
}
