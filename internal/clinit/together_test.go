package clinit

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Of many who tell at once none is answered before the record says so, and it is written once for all of them.
func TestTellTogether(t *testing.T) {
	const clients = 30
	file := ""
	for i := range clients {
		file += fmt.Sprintf("g%d:t%d:1:respawn:stays\n", i, i)
	}
	inWorld(t, file, func(w *world) {
		busy, written, answered := make(chan struct{}), 0, 0
		go w.daemon.post(func() {
			<-busy
			keep := w.daemon.cfg.Keep
			w.daemon.cfg.Keep = func(text string) error { written++; return keep(text) }
		})
		synctest.Wait()
		var all sync.WaitGroup
		var mu sync.Mutex
		for i := range clients {
			all.Go(func() {
				a, _ := w.daemon.Do(Ask{Op: Tell, Group: fmt.Sprintf("g%d", i), Level: "1"}, nil)
				mu.Lock()
				defer mu.Unlock()
				if answered++; a.Refused || written != 1 {
					t.Errorf("answer %d: %+v, when the record was written %d times", answered, a, written)
				}
			})
		}
		synctest.Wait()
		close(busy)
		all.Wait()
	})
}

// BenchmarkSwitch is of a group of 2,000 entries, half of which stop.
func BenchmarkSwitch(b *testing.B) {
	var table []Entry
	for i := range 2000 {
		e := Entry{Group: "g", Tag: fmt.Sprint(i), Levels: "12", Mode: Respawn, Command: "x", Options: DefaultOptions(Clinit)}
		if i%2 == 0 {
			e.Levels = "1"
		}
		table = append(table, e)
	}
	for b.Loop() {
		g := &group{Name: "g", State: GroupConfigured, dialect: Clinit}
		now := time.Now()
		todo := g.tell("1", table, now)
		told := false
		for len(todo) > 0 || !told {
			if len(todo) == 0 {
				told, todo = true, g.tell("2", table, now)
				continue
			}
			e := todo[0]
			todo = todo[1:]
			switch {
			case e.m == nil:
			case e.order.do == doExec:
				todo = append(todo, g.happened(e.m, event{kind: evBegan, now: now})...)
			case e.order.do == doSignal:
				todo = append(todo, g.happened(e.m, event{kind: evEnded, now: now})...)
			case e.order.do == doLook:
				todo = append(todo, g.happened(e.m, event{kind: evGone, now: now})...)
			}
		}
		if len(g.members) != 1000 || g.State != GroupDone {
			b.Fatalf("%d members, %s", len(g.members), g.State)
		}
	}
}
