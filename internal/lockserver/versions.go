package lockserver

import "backtowork/internal/lock"

// known is the newest version of log entries that every server of the cluster has said it knows (rule 14), those too
// that do not vote yet. One that was not heard since this server runs may be an older one. But what the table
// needs every server knew when it was agreed on, or it could not have gone on since.
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

// isSilent says whether who asks is to take k from a holder on another node that was only silent.
func (s *Server) isSilent(k lock.Lock, by lock.Owner) bool {
	return k.Held() && !k.Fenced && k.Node != by.Node && !s.Off.Unfenced && s.known() >= lock.Entry{Silent: true}.Needs()
}
