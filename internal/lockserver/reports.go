package lockserver

import (
	"net/http"
	"sync"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/lock"
)

// reportLife is how long a node's word about its files counts: managers report every minute.
const reportLife = 3 * time.Minute

// reports are what nodes say of their configuration. They are kept in memory only, by every
// server for itself: nothing is decided by them.
type reports struct {
	mu    sync.Mutex
	last  map[string]map[string]report // package to node to report
	bytes int                          // of all
}

type report struct {
	api.Report
	at   time.Time
	size int
}

// maxReports bounds what is kept, in bytes: an honest report has 2 or 3 KiB.
const maxReports = 64 << 20

// put keeps a report in place of the node's last one; not if there is no room.
func (r *reports) put(q api.Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	size := sizeOf(q)
	r.drop(q.Package, q.Node)
	if r.bytes+size > maxReports {
		r.dropOld()
	}
	if r.bytes+size > maxReports {
		return
	}
	if r.last == nil {
		r.last = map[string]map[string]report{}
	}
	if r.last[q.Package] == nil {
		r.last[q.Package] = map[string]report{}
	}
	r.last[q.Package][q.Node] = report{q, time.Now(), size}
	r.bytes += size
}

// sizeOf is about how much memory a report takes.
func sizeOf(q api.Report) int {
	const each = 300 // a report, its place, and the strings of an honest one
	size := each + len(q.Package) + len(q.Node) + len(q.Servers) + len(q.Script) + len(q.Version) + len(q.AllModules)
	for _, m := range []map[string]string{q.Modules, q.Params} {
		for k, v := range m {
			size += 50 + len(k) + len(v)
		}
	}
	for _, l := range q.Lacks {
		size += 100 + len(l.File) + len(l.Level) + len(l.Reason) + len(l.Rule)
	}
	return size
}

func (r *reports) drop(name, node string) {
	r.bytes -= r.last[name][node].size
	delete(r.last[name], node)
	if len(r.last[name]) == 0 {
		delete(r.last, name)
	}
}

// dropOld drops the reports that do not count any more.
func (r *reports) dropOld() {
	for name, nodes := range r.last {
		for node, report := range nodes {
			if time.Since(report.at) > reportLife {
				r.drop(name, node)
			}
		}
	}
}

// of is the reports about a package that still count.
func (r *reports) of(name string) []api.Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := []api.Report{}
	for node, report := range r.last[name] {
		if time.Since(report.at) > reportLife {
			r.drop(name, node)
			continue
		}
		report.Age = max(1, time.Since(report.at).Milliseconds())
		all = append(all, report.Report)
	}
	return all
}

// takeReport is POST /v1/reports.
func (h *handler) takeReport(w http.ResponseWriter, r *http.Request) {
	q, err := readRequest[api.Report](w, r)
	if err == nil {
		err = lock.CheckName(q.Package)
	}
	if err == nil {
		err = lock.CheckName(q.Node)
	}
	if err != nil {
		h.reply(w, nil, badRequest{err})
		return
	}
	h.reports.put(q)
	h.reply(w, struct{}{}, nil)
}
