package lockserver

import (
	"net/http"
	"sync"
	"time"

	"backtowork/internal/lock"
)

// reportLife is how long a node's word about its files counts: managers report every minute.
const reportLife = 3 * time.Minute

// reports are what nodes say of their configuration. They are kept in memory only, by every
// server for itself: nothing is decided by them.
type reports struct {
	mu   sync.Mutex
	last map[string]map[string]report // package to node to report
}

type report struct {
	lock.Report
	at time.Time
}

// maxReports bounds what is kept: packages, and nodes of each.
const maxReports = 1000

func (r *reports) put(q lock.Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.last = map[string]map[string]report{}
	}
	nodes := r.last[q.Package]
	if nodes == nil {
		if len(r.last) >= maxReports {
			return
		}
		nodes = map[string]report{}
		r.last[q.Package] = nodes
	}
	if _, known := nodes[q.Node]; known || len(nodes) < maxReports {
		nodes[q.Node] = report{q, time.Now()}
	}
}

// of is the reports about a package that still count.
func (r *reports) of(name string) []lock.Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := []lock.Report{}
	for node, report := range r.last[name] {
		if time.Since(report.at) > reportLife {
			delete(r.last[name], node)
			continue
		}
		all = append(all, report.Report)
	}
	return all
}

// takeReport is POST /v1/reports.
func (s *Server) takeReport(w http.ResponseWriter, r *http.Request) {
	q, err := readRequest[lock.Report](w, r)
	if err == nil {
		err = lock.CheckName(q.Package)
	}
	if err == nil {
		err = lock.CheckName(q.Node)
	}
	if err != nil {
		s.reply(w, nil, badRequest{err})
		return
	}
	s.reports.put(q)
	s.reply(w, struct{}{}, nil)
}
