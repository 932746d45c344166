package deadman

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"backtowork/internal/journal"
)

// rates is clocks that are right, and that drift.
var rates = []float64{1, 0.99, 1.01}

// atRates tells a story on hosts whose clocks run at different rates: on the host's own clock all
// is the same.
func atRates(t *testing.T, story func(*host)) {
	t.Helper()
	for _, rate := range rates {
		t.Run(fmt.Sprint(rate), func(t *testing.T) { bubble(t, rate, story) })
	}
}

// sayUntil repeats words every second, as a manager does, up to the second before end.
func (p *peer) sayUntil(end float64, words ...Word) {
	p.h.t.Helper()
	for p.h.clock.Now().Longest(at(end)) < -time.Second {
		p.says(words...)
		p.h.sleep(time.Second)
	}
}

func TestOrdinaryCut(t *testing.T) {
	atRates(t, func(h *host) {
		m := h.start("p")
		m.says(held("p", 10, 30))
		h.until(9)
		m.says(held("p", 15, 35))
		h.until(15)
		m.sayUntil(36, stopping("p", 35))
		h.want("35 kill p")
		h.until(36)
		m.says(over("p"))
		h.want("35 kill p", "36 let go p")
		h.wantEnded(true)
	})
}

// A manager that hangs: its connection stays open, even when it was killed.
func TestHangingManager(t *testing.T) {
	atRates(t, func(h *host) {
		h.stopTakes["p"] = 2 * time.Second
		m := h.start("p")
		m.says(held("p", 10, 30))
		h.until(10.299)
		h.want()
		h.until(13)
		h.want("10.3 kill manager", "10.3 stop p", "12.3 let go p", "12.3 begin p")
		h.wantEnded(true)
		m.wantHungUp()
		if h.words[0] != held("p", 10, 30) {
			t.Errorf("stopped with %+v", h.words)
		}
	})
}

func TestKillEndPassesWhileStopHangs(t *testing.T) {
	bubble(t, 1, func(h *host) {
		h.stopTakes["p"] = hang
		h.start("p").says(held("p", 10, 30))
		h.until(100)
		h.want("10.3 kill manager", "10.3 stop p", "30 kill p")
		h.wantEnded(false)
	})
}

func TestKilledManager(t *testing.T) {
	atRates(t, func(h *host) {
		m := h.start("p")
		m.says(held("p", 10, 30))
		h.until(5)
		m.dies()
		m = h.revived()
		h.until(6)
		got := m.adopts()
		if len(got.Words) != 1 || got.Words["p"] != held("p", 10, 30) || got.Origins["p"].Mark != "mark-p" || got.Version != "1.2" {
			t.Errorf("the revived manager is to go on with %+v", got)
		}
		h.until(9)
		m.says(held("p", 19, 39))
		h.until(19.299)
		h.want("5 revive p")
		m.says(free("p"))
		h.until(60)
		m.says(over("p"))
		h.want("5 revive p", "60 let go p")
		h.wantEnded(true)
	})
}

func TestManagerKilledWhileItStops(t *testing.T) {
	bubble(t, 1, func(h *host) {
		m := h.start("p")
		m.says(held("p", 10, 30))
		h.until(10)
		m.sayUntil(20, stopping("p", 30))
		m.dies()
		m = h.revived()
		if got := m.adopts().Words["p"]; got != stopping("p", 30) {
			t.Errorf("the revived manager is to go on with %+v", got)
		}
		m.sayUntil(32, stopping("p", 30))
		h.want("19 revive p", "30 kill p")
		m.says(over("p"))
		h.wantEnded(true)
	})
}

// A manager that hangs while it stops is replaced by one that has time to say how it stands.
func TestManagerHangsWhileItStops(t *testing.T) {
	bubble(t, 1, func(h *host) {
		m := h.start("p")
		m.sayUntil(30.5, stopping("p", 30))
		h.until(32)
		m = h.revived()
		m.adopts()
		h.until(33)
		m.says(over("p"))
		h.want("30 kill p", "31.3 kill manager", "31.3 revive p", "33 let go p")
		h.wantEnded(true)
	})
}

func TestNobodyComesBack(t *testing.T) {
	for name, row := range map[string]struct {
		dies float64
		want []string
	}{
		"in time":               {5, []string{"5 revive p", "6.5 kill manager", "6.5 stop p", "6.5 let go p", "6.5 begin p"}},
		"by the lease's end":    {9.5, []string{"9.5 revive p", "10 kill manager", "10 stop p", "10 let go p", "10 begin p"}},
		"after the lease's end": {10.2, []string{"10.2 stop p", "10.2 let go p", "10.2 begin p"}},
	} {
		t.Run(name, func(t *testing.T) {
			atRates(t, func(h *host) {
				m := h.start("p")
				m.says(held("p", 10, 30))
				h.until(row.dies)
				m.dies()
				h.until(20)
				h.want(row.want...)
				h.wantEnded(true)
			})
		})
	}
}

// A manager that comes too late is hung up on, whether it did so before it was there or before its
// hello.
func TestComesTooLate(t *testing.T) {
	for name, takes := range map[string]time.Duration{"hello": 0, "manager": 1600 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, func(h *host) {
				h.reviveTakes, h.stopTakes["p"] = takes, 10*time.Second
				m := h.start("p")
				m.says(held("p", 10, 30))
				h.until(5)
				m.dies()
				h.until(7)
				m = h.revived()
				m.wantHungUp()
				if _, err := Attach(m.conn, func(int) func() { return func() {} }, Hello{PID: 6}); err == nil {
					t.Error("a manager that came too late was answered")
				}
				h.until(20)
				revived := "6.6 revive p"
				if takes == 0 {
					revived = "5 revive p"
				}
				got := slices.DeleteFunc(h.log(), func(line string) bool { return line == revived })
				if want := "[6.5 kill manager 6.5 stop p 16.5 let go p 16.5 begin p]"; fmt.Sprint(got) != want {
					t.Errorf("done: %v, want %s", got, want)
				}
				h.wantEnded(true)
			})
		})
	}
}

// Where no manager can be started, the package is stopped after the third try, and nothing is tried
// after that.
func TestReviveFails(t *testing.T) {
	bubble(t, 1, func(h *host) {
		h.reviveFails, h.reviveTakes = true, 100*time.Millisecond
		m := h.start("p")
		m.says(held("p", 10, 30))
		h.until(5)
		m.dies()
		h.until(60)
		h.want("5.1 revive p", "5.2 revive p", "5.3 revive p", "5.3 stop p", "5.3 let go p")
		h.wantEnded(true)
		for _, line := range []string{"error: cannot start a manager: no such file", "no manager goes on.", "stopping package p."} {
			if !slices.Contains(h.said, line) {
				t.Errorf("%q was not said, but %q", line, h.said)
			}
		}
	})
}

// The third manager in a row is the last.
func TestRevivedManagersDie(t *testing.T) {
	bubble(t, 1, func(h *host) {
		m := h.start("p")
		m.says(held("p", 10, 30))
		h.until(5)
		m.dies()
		m = h.revived()
		m.dies() // before its hello
		for range 2 {
			m = h.revived()
			m.adopts()
			m.dies()
		}
		h.until(60)
		h.want("5 revive p", "5 revive p", "5 revive p", "5 stop p", "5 let go p")
		h.wantEnded(true)
	})
}

// While the deadman still stops p, another manager goes on with q.
func TestStopsOneWhileAnotherGoesOn(t *testing.T) {
	bubble(t, 1, func(h *host) {
		h.stopTakes["p"], h.reviveTakes = 5*time.Second, 100*time.Millisecond
		h.start("p", "q").says(held("p", 10, 30), held("q", 20, 40))
		h.until(11)
		m := h.revived()
		if got := m.adopts(); len(got.Words) != 1 || got.Words["q"] != held("q", 20, 40) || len(got.Origins) != 1 {
			t.Errorf("the revived manager is to go on with %+v", got)
		}
		m.says(held("q", 21, 41), free("p")) // p is not its own any more
		if want := []Word{held("p", 10, 30), held("q", 20, 40), held("q", 21, 41)}; !slices.Equal(h.heard, want) {
			t.Errorf("heard %+v, want %+v", h.heard, want)
		}
		h.until(12)
		m.says(over("q"))
		h.wantEnded(false)
		m.dies()
		h.until(16)
		h.want("10.3 kill manager", "10.3 stop p", "10.4 revive q", "12 let go q", "15.3 let go p", "15.3 begin p")
		h.wantEnded(true)
	})
}

func TestOverForAll(t *testing.T) {
	bubble(t, 1, func(h *host) {
		m := h.start("p", "q")
		m.says(held("p", 10, 30), held("q", 10, 30))
		h.until(5)
		m.says(over("p"))
		h.wantEnded(false)
		m.says(over("q"))
		h.want("5 let go p", "5 let go q")
		h.wantEnded(true)
	})
}

// Other parameters count for who stops the package, and for who goes on with it.
func TestOtherParameters(t *testing.T) {
	bubble(t, 1, func(h *host) {
		m := h.start("p")
		h.until(5)
		m.ask(question{
			Words:   []Word{held("p", 15, 35)},
			Origins: []Origin{{Package: "p", Mark: "other", Params: json.RawMessage("7")}},
		})
		m.dies()
		if got := h.revived().adopts(); got.Origins["p"].Mark != "other" {
			t.Errorf("the revived manager is to go on with %+v", got)
		}
		h.until(15.4)
		h.want("5 update p 7", "5 revive p", "15.3 kill manager", "15.3 stop p", "15.3 let go p", "15.3 begin p")
	})
}

// A manager that is replaced by a newer program in place says hello again.
func TestExecInPlace(t *testing.T) {
	bubble(t, 1, func(h *host) {
		m := h.start("p", "q")
		m.says(held("p", 10, 30), stopping("q", 20))
		h.until(5)
		got := m.adopts()
		if len(got.Words) != 2 || got.Words["p"] != held("p", 10, 30) || got.Words["q"] != stopping("q", 20) {
			t.Errorf("the newer program is to go on with %+v", got)
		}
		h.until(9)
		m.says(held("p", 19, 39), over("q"))
		h.until(19)
		h.want("9 let go q")
		m.dies()
		h.want("9 let go q", "19 stop p", "19 let go p", "19 begin p")
		h.wantEnded(true)
	})
}

// Both ends as they are, through a manager's death.
func TestLinkAndDeadman(t *testing.T) {
	atRates(t, func(h *host) {
		say, none := func(journal.Line) {}, func() { h.t.Error("there is a deadman") }
		hello := Hello{PID: 5, Packages: []Origin{{Package: "p", Mark: "mark-p"}}}
		ctx, die := context.WithCancel(h.ctx)
		first := NewLink(hello, h.spawn, say, none)
		if err := first.Open(); err != nil {
			h.t.Fatal(err)
		}
		go first.Run(ctx)
		if err := first.Sure(ctx, held("p", 10, 30)); err != nil {
			h.t.Fatal(err)
		}
		h.until(9)
		die()
		got := h.revived().adopts()
		if got.Words["p"] != held("p", 10, 30) {
			h.t.Errorf("the revived manager is to go on with %+v", got)
		}
		hello = Hello{PID: 6, Packages: []Origin{{Package: "p", Mark: "mark-p", Params: json.RawMessage(`"new"`)}}}
		second := NewLink(hello, h.spawn, say, none)
		second.Use(got)
		go second.Run(h.ctx)
		second.Say(stopping("p", 29))
		h.until(29)
		h.want("9 revive p", `9 update p "new"`, "29 kill p")
		if err := second.Sure(h.ctx, over("p")); err != nil {
			h.t.Error(err)
		}
		h.until(60)
		h.want("9 revive p", `9 update p "new"`, "29 kill p", "29 let go p")
		h.wantEnded(true)
	})
}

// A deadman that replaces another knows what is held from the manager's first words on: that may be
// killed right after them.
func TestHelloSaysAll(t *testing.T) {
	t.Parallel()
	bubble(t, 1, func(h *host) {
		spawns := 0
		l := NewLink(Hello{PID: 5, Packages: []Origin{{Package: "p"}}}, func() (io.ReadWriteCloser, func(), error) {
			spawns++
			c, _, err := h.spawn()
			return c, func() {}, err
		}, func(journal.Line) {}, func() {})
		l.Say(held("p", 10, 30))
		if err := l.Open(); err != nil {
			t.Fatal(err)
		}
		_ = l.raw.Close() // the manager is killed
		at := h.revived().adopts()
		if w := at.Words["p"]; w.Phase != Held || spawns != 1 {
			t.Errorf("the next manager is told %+v, by deadman %d", w, spawns)
		}
	})
}
