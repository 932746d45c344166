package clinit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func (w *world) want(what, got, want string) {
	w.t.Helper()
	if got != want {
		w.t.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}

// The documented life of a group: entries in the order of lines, wait and test before those below them, and the states
// that clstat shows, in their order.
func TestLevels(t *testing.T) {
	inWorld(t, `g:one:1:wait:for 2s
g:two:12:respawn:stays
g:three:1:once:for 1s
g:four:2:test:for 1s
h:other:1:respawn:stays
`, func(w *world) {
		w.want("answer", w.tell("g", "1"), "level transition started")
		w.want("at once", w.happened(0), "0.0 begin one")
		time.Sleep(5 * time.Second)
		synctest.Wait()
		w.want("level 1", w.happened(0), "0.0 begin one; 2.0 end one 0; 2.0 begin two; 2.0 begin three; 3.0 end three 0")
		w.want("states", w.seen("g"), "1 STARTING, 1 CHECKING, 1 DONE")
		pid, from := w.process("two").PID, w.count()
		w.want("again", w.tellAndWait("g", "1"), "DONE")
		w.want("again: nothing is begun", w.happened(from), "")
		w.want("level 2", w.tellAndWait("g", "2"), "DONE")
		w.want("level 2", w.happened(from), "5.0 begin four; 6.0 end four 0")
		if now := w.process("two").PID; now != pid {
			t.Errorf("what both levels have was begun again: pid %d, then %d", pid, now)
		}
		w.want("states", w.seen("g"), "1 STARTING, 1 CHECKING, 1 DONE, 1 STOPPING, 1 DUMPING, 1 STARTING, 1 CHECKING, 1 DONE, "+
			"1 STOPPING, 1 DUMPING, 2 STARTING, 2 CHECKING, 2 DONE")
		from = w.count()
		w.want("a level that nothing has", w.tellAndWait("g", "999"), "DONE")
		w.want("a level that nothing has", w.happened(from), "6.0 signal 2 two; 6.0 end two 130")
		from = w.count()
		w.want("back", w.tell("g", "1"), "level transition started")
		time.Sleep(5 * time.Second)
		synctest.Wait()
		w.want("back: all runs again", w.happened(from), "6.0 begin one; 8.0 end one 0; 8.0 begin two; 8.0 begin three; 9.0 end three 0")
		w.want("no such group", w.tell("x", "1"), "no such group: x")
	})
}

// INT at once, TERM after 5 seconds, KILL after 15: to each process by its own clock.
func TestStopLadder(t *testing.T) {
	inWorld(t, `g:a:1:respawn:deaf
g:b:1:respawn:noint
g:c:1:respawn:stays
g:d:1:respawn:deaf
:::opt:d:stop_signal=QUIT
:::opt:d:stop_timeout=3
g:new:2:once:for 1s
`, func(w *world) {
		w.tellAndWait("g", "1")
		from := w.count()
		w.tellAndWait("g", "2")
		got := strings.Split(w.happened(from), "; ")
		slices.SortStableFunc(got, func(a, b string) int { // what happens at one time has no order
			at := func(s string) (f float64) { _, _ = fmt.Sscan(s, &f); return f }
			return cmp.Or(cmp.Compare(at(a), at(b)), strings.Compare(a[len(a)-1:], b[len(b)-1:]))
		})
		w.want("stop", strings.Join(got, "; "), "0.0 end c 130; 0.0 signal 2 a; 0.0 signal 2 b; 0.0 signal 2 c; 0.0 signal 3 d; 1.0 signal 15 d; "+
			"3.0 end d 137; 3.0 signal 9 d; 5.0 end b 143; 5.0 signal 15 a; 5.0 signal 15 b; 15.0 end a 137; 15.0 signal 9 a; 15.0 begin new")
	})
}

// Seven runs, a minute, two runs, a minute: measured of the original with what lives for 0.2 s.
func TestFlap(t *testing.T) {
	inWorld(t, "g:a:1:respawn:for 200ms\ng:b:1:respawn:for 1s\n", func(w *world) {
		w.tell("g", "1")
		time.Sleep(130 * time.Second)
		synctest.Wait()
		var runs []int
		last := -100.0
		for _, line := range strings.Split(w.happened(0), "; ") {
			fields := strings.Fields(line)
			if fields[1] != "begin" || fields[2] != "a" {
				continue
			}
			at, _ := time.ParseDuration(fields[0] + "s")
			if at.Seconds()-last > 30 {
				runs = append(runs, 0)
			}
			runs[len(runs)-1]++
			last = at.Seconds()
		}
		if len(runs) != 3 || runs[0] != 7 || runs[1] != 2 || runs[2] != 2 {
			t.Errorf("runs between pauses = %v, want 7 2 2", runs)
		}
		if n := strings.Count(w.happened(0), "begin b"); n < 129 {
			t.Errorf("what lives for a second was begun %d times in 130 s", n)
		}
		w.mu.Lock()
		lastSaid := w.said[len(w.said)-1]
		w.mu.Unlock()
		w.want("said", lastSaid, "a respawning too rapidly: sleeping 60 seconds")
		w.want("state", string(w.process("a").State), "PAUSING")
		from := w.count()
		w.tellAndWait("g", "9")
		if strings.Contains(w.happened(from), "begin a") {
			t.Error("a pausing process was begun though its group has another level")
		}
	})
}

func TestVerdicts(t *testing.T) {
	inWorld(t, `p:p1:1:test:for 1s
p:p2:1:test:for 1s
f:f1:1:test:for 1s exit 7
f:f2:1:test:for 1s
m:m1:1:test:for 1s
m:m2:1:once:stays
n:n1:1:respawn:bad
n:n2:1:once:stays
n:n3:1:respawn:stays
z:0:0:respawn:stays
w:w1:1:wait:for 1s exit 7
o:o1:1:off:stays
o:o2:1:once:stays
`, func(w *world) {
		for group, want := range map[string]string{"p": "PASSED", "f": "FAILED", "m": "DONE", "n": "FAILED", "w": "DONE", "o": "DONE"} {
			w.want(group, w.tellAndWait(group, "1"), want)
		}
		if !strings.Contains(w.happened(0), "begin f2") {
			t.Error("a failed test keeps those below it from being begun")
		}
		w.want("level 0", w.tellAndWait("z", "0"), "DONE")
		w.want("clstat", w.seen("z"), "0 STARTING, 0 CHECKING, 0 DONE")
		w.want("what cannot be run", string(w.process("n1").State), "FAILED")
		w.want("its neighbour", string(w.process("n3").State), "DONE")
		if v := w.process("n1"); v.Trouble == "" {
			t.Error("it is not said why n1 could not be run")
		}
		w.want("an entry that is off", w.process("o1").Tag, "")
	})
}

// A tell takes the place of one that is under way; levels in between are never begun.
func TestLaterTell(t *testing.T) {
	inWorld(t, "g:a:1:respawn:noint\ng:b:2:once:stays\ng:c:3:once:stays\n", func(w *world) {
		w.tellAndWait("g", "1")
		w.tell("g", "2")
		time.Sleep(time.Second)
		w.want("the last", w.tellAndWait("g", "3"), "DONE")
		if got := w.happened(0); strings.Contains(got, "begin b") {
			t.Errorf("a level in between was begun: %s", got)
		}
	})
}

// What an ended command has left goes on until the new level stands, as a stop script of that level may want it; then
// it is ended. Before the same entry is begun again it is gone.
func TestLeftovers(t *testing.T) {
	inWorld(t, `g:svc:1:wait:for 1s leaves
g:stop:2:wait:for 1s
g:r:4:respawn:for 2s leaves
g:k:5:respawn:for 2s leaves
:::opt:k:leftover=keep
`, func(w *world) {
		w.tellAndWait("g", "1")
		w.tellAndWait("g", "2")
		w.want("a level with entries", w.happened(0),
			"0.0 begin svc; 1.0 end svc 0; 1.0 begin stop; 2.0 end stop 0; 2.0 signal 2 svc")
		w.tellAndWait("g", "1")
		from := w.count()
		w.tellAndWait("g", "3")
		w.want("a level without", w.happened(from), "3.0 signal 2 svc")
		w.want("states", w.seen("g")[len(w.seen("g"))-len("3 DONE"):], "3 DONE")
		from = w.count()
		w.tellAndWait("g", "4")
		time.Sleep(3 * time.Second)
		synctest.Wait()
		w.want("a respawn", w.happened(from), "3.0 begin r; 5.0 end r 0; 5.0 signal 2 r; 5.0 begin r")
		w.tellAndWait("g", "3")
	})
}

func TestChangedFile(t *testing.T) {
	inWorld(t, "g:a:1:respawn:stays\ng:b:1:respawn:stays\nh:c:1:respawn:stays\n", func(w *world) {
		w.tellAndWait("g", "1")
		w.tellAndWait("h", "1")
		from := w.count()
		w.file = "g:a:1:respawn:stays\ng:b:1:respawn:other\ng:a:1:wait:x\n"
		a := w.ask(Reread, "")
		if !a.Refused || len(a.Bad) == 0 || !strings.HasPrefix(a.Bad[0], "cltab:3: error: ") {
			t.Errorf("a bad file: %+v", a)
		}
		w.want("a bad file changes nothing", w.happened(from), "")
		w.file = "g:a:12:respawn:stays\ng:b:1:respawn:other\ng:c:1:respawn:stays\n"
		a = w.ask(Reread, "")
		if a.Refused {
			t.Errorf("a good file: %+v", a)
		}
		w.want("a group that is in it no more", w.happened(from), "0.0 signal 2 c; 0.0 end c 130")
		from = w.count()
		w.tellAndWait("g", "1")
		w.want("what was changed", w.happened(from), "0.0 signal 2 b; 0.0 end b 130; 0.0 begin b; 0.0 begin c")
		w.file = ""
		a = w.ask(Reread, "")
		if !a.Refused {
			t.Errorf("no file: %+v", a)
		}
		w.want("without a file", w.tellAndWait("g", "9"), "DONE")
	})
}

// A tag that was moved to another group is not begun there before it is gone here.
func TestMovedTag(t *testing.T) {
	inWorld(t, "g:a:1:respawn:noint\nh:x:1:respawn:stays\n", func(w *world) {
		w.tellAndWait("g", "1")
		w.file = "g:y:1:respawn:stays\nh:a:1:respawn:noint\n"
		w.want("moved", w.tellAndWait("h", "1"), "DONE")
		w.want("moved", w.happened(0), "0.0 begin a; 0.0 signal 2 a; 5.0 signal 15 a; 5.0 end a 143; 5.0 begin a")
	})
}

func TestByHand(t *testing.T) {
	inWorld(t, "g:a:1:respawn:stays\ng:b:2:respawn:stays\n", func(w *world) {
		w.tellAndWait("g", "1")
		w.want("stop", w.ask(Stop, "a").Msg, "a: stopping")
		time.Sleep(time.Minute)
		w.want("stopped", w.happened(0), "0.0 begin a; 0.0 signal 2 a; 0.0 end a 130")
		w.want("start", w.ask(Start, "a").Msg, "a: starting")
		w.want("start again", w.ask(Start, "a").Msg, "a runs")
		w.want("restart", w.ask(Restart, "a").Msg, "a: restarting")
		w.want("restarted", w.happened(3), "60.0 begin a; 60.0 signal 2 a; 60.0 end a 130; 60.0 begin a")
		w.want("not of this level", w.ask(Start, "b").Msg, "b is not of the level that group g has")
		w.want("no such tag", w.ask(Stop, "x").Msg, "no such tag: x")
	})
}

func TestStopOrder(t *testing.T) {
	inWorld(t, ":::group:g:stop_order=reverse\ng:a:1:respawn:stays\ng:b:1:respawn:noint\ng:c:1:respawn:stays\n", func(w *world) {
		w.tellAndWait("g", "1")
		from := w.count()
		w.tellAndWait("g", "9")
		w.want("reverse", w.happened(from), "0.0 signal 2 c; 0.0 end c 130; 0.0 signal 2 b; 5.0 signal 15 b; 5.0 end b 143; 5.0 signal 2 a; 5.0 end a 130")
	})
}

func TestReady(t *testing.T) {
	inWorld(t, `g:a:1:respawn:stays
:::opt:a:ready=for 200ms exit 0
g:b:1:once:stays
h:c:1:respawn:stays
:::opt:c:ready=for 100ms exit 1
:::opt:c:ready_timeout=5
h:d:1:once:stays
`, func(w *world) {
		w.want("ready", w.tellAndWait("g", "1"), "DONE")
		w.want("ready", w.happened(0), "0.0 begin a; 0.0 begin a\tready; 0.2 end a\tready 0; 0.2 begin b")
		w.want("never ready", w.tellAndWait("h", "1"), "FAILED")
		if got := w.happened(0); !strings.HasSuffix(got, "5.2 begin d") {
			t.Errorf("got %s, want d begun when c was given up", got)
		}
	})
}

func TestShutdown(t *testing.T) {
	inWorld(t, "g:a:1:respawn:deaf\np:b:1:test:for 1s\n", func(w *world) {
		w.tellAndWait("g", "1")
		w.tellAndWait("p", "1")
		a, _ := w.daemon.Do(Ask{Op: Shutdown, Wait: Any}, nil)
		w.want("shutdown", a.Msg, "all groups halted")
		if at := time.Since(w.began); at != 16*time.Second {
			t.Errorf("it took until %v, want the whole ladder", at)
		}
		<-w.done
	})
}
