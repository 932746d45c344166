package lockserver

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/sim/virtual"
)

func TestReports(t *testing.T) {
	virtual.Test(t, func(t *testing.T) {
		var r reports
		r.put(api.Report{Node: "h1", Package: "p", Params: map[string]string{"timeout": "20"}})
		r.put(api.Report{Node: "h2", Package: "p"})
		r.put(api.Report{Node: "h2", Package: "q"})
		time.Sleep(reportLife / 2)
		r.put(api.Report{Node: "h1", Package: "p", Params: map[string]string{"timeout": "30"}})
		if got := r.of("p"); len(got) != 2 {
			t.Errorf("of p: %v, want those of two nodes", got)
		}
		time.Sleep(reportLife/2 + time.Second)
		if got := r.of("p"); len(got) != 1 || got[0].Node != "h1" || got[0].Age != (reportLife/2+time.Second).Milliseconds() || got[0].Params["timeout"] != "30" {
			t.Errorf("of p: %v, want the last of h1 only", got)
		}
		if got := r.of("none"); got == nil || len(got) != 0 {
			t.Errorf("of an unknown package: %#v, want an empty list", got)
		}
		time.Sleep(reportLife)
		if got := append(r.of("p"), r.of("q")...); len(got) != 0 || r.bytes != 0 || len(r.last) != 0 {
			t.Errorf("%v is left, %d bytes, %d packages", got, r.bytes, len(r.last))
		}
	})
}

// A client that tells reports of ever more nodes takes no more memory than is meant for it, and
// there is room again when they are old.
func TestReportsFull(t *testing.T) {
	virtual.Test(t, func(t *testing.T) {
		var r reports
		long := map[string]string{"vip_ip_0": strings.Repeat("x", 15<<10)}
		kept := func() (n int) {
			for _, nodes := range r.last {
				n += len(nodes)
			}
			return n
		}
		for i := range 2 * maxReports / (15 << 10) {
			r.put(api.Report{Node: fmt.Sprint("h", i), Package: fmt.Sprint("p", i%1000), Params: long})
		}
		if n := kept(); r.bytes > maxReports || n > maxReports/(15<<10) || n < maxReports/(16<<10) {
			t.Errorf("%d reports, %d bytes are kept, want at most %d bytes", n, r.bytes, maxReports)
		}
		r.put(api.Report{Node: "h0", Package: "p0", Params: long}) // in place of its last
		if len(r.of("p0")) == 0 {
			t.Error("a node that is known cannot report any more")
		}
		r.put(api.Report{Node: "late", Package: "late", Params: long})
		if got := r.of("late"); len(got) != 0 {
			t.Errorf("of one too many: %v", got)
		}
		time.Sleep(reportLife + time.Second)
		r.put(api.Report{Node: "late", Package: "late", Params: long})
		if got := r.of("late"); len(got) != 1 || kept() != 1 {
			t.Errorf("of one when the others are old: %v; %d are kept", got, kept())
		}
	})
}
