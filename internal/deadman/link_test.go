package deadman

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func TestSureWaitsForTheAnswer(t *testing.T) {
	links(t, "p q", func(p *pit) {
		p.start()
		p.slow = time.Second
		p.sure(held("p", 10, 30))
		p.want("0: 1 hears p held")
		time.Sleep(time.Second)
		p.want("1: sure: <nil>")
	})
}

// What the deadman heard of a package before is not enough.
func TestSureWaitsForTheLastWord(t *testing.T) {
	links(t, "p q", func(p *pit) {
		p.start()
		p.slow = time.Second
		p.link.Say(held("q", 10, 30))
		synctest.Wait()
		p.link.Say(held("p", 10, 30))
		time.Sleep(1500 * time.Millisecond)
		p.sure(stopping("p", 30))
		time.Sleep(5 * time.Second)
		p.want("0: 1 hears q held", "1: 1 hears p held", "2: 1 hears p stopping", "3: sure: <nil>")
	})
}

func TestSureEndsWithItsContext(t *testing.T) {
	links(t, "p q", func(p *pit) {
		p.start()
		p.is(mute)
		ctx, cancel := context.WithTimeout(p.ctx, time.Second)
		defer cancel()
		if err := p.link.Sure(ctx, held("p", 10, 30)); !errors.Is(err, context.DeadlineExceeded) {
			p.t.Errorf("Sure() = %v", err)
		}
	})
}

// Sure is not so before a deadman has heard it that lives.
func TestSureOutlivesADeadman(t *testing.T) {
	links(t, "p q", func(p *pit) {
		p.start()
		p.slow = time.Second
		p.sure(held("p", 10, 30))
		time.Sleep(500 * time.Millisecond)
		p.dies()
		time.Sleep(5 * time.Second)
		p.want("0: 1 hears p held", "0.5: kill 1", "0.5: 2 hears "+helloPQ, "1.5: 2 hears p held, q free", "2.5: sure: <nil>")
	})
}

// A deadman that dies is replaced at once, by one that is told all that the first knew.
func TestDeadIsReplaced(t *testing.T) {
	links(t, "p q", func(p *pit) {
		p.start()
		p.link.Say(held("p", 10, 30))
		p.want("0: 1 hears p held")
		time.Sleep(time.Second)
		p.dies()
		p.want("1: kill 1", "1: 2 hears "+helloPQ, "1: 2 hears p held, q free")
		p.link.Say(stopping("q", 40))
		p.want("1: 2 hears q stopping")
	})
}

// One that hangs is killed after 2 s, and replaced; it is told the last word of each package.
func TestHangingIsReplaced(t *testing.T) {
	links(t, "p q", func(p *pit) {
		p.start()
		p.is(mute)
		p.link.Say(held("p", 10, 30))
		synctest.Wait()
		p.link.Say(held("q", 10, 30))
		time.Sleep(1999 * time.Millisecond)
		p.link.Say(stopping("q", 40))
		p.want("0: 1 hears p held")
		p.is(well)
		time.Sleep(time.Millisecond)
		p.want("2: kill 1", "2: 2 hears "+helloPQ, "2: 2 hears p held, q stopping")
	})
}

func TestDeafIsReplaced(t *testing.T) {
	links(t, "p q", func(p *pit) {
		p.is(deaf)
		p.undead = true
		if err := p.link.Open(); err != nil {
			p.t.Fatal(err)
		}
		p.is(well)
		p.run()
		time.Sleep(5 * time.Second)
		p.want("0: 1 hears "+helloPQ, "2: kill 1", "2: 2 hears "+helloPQ, "2: 2 hears p free, q free")
	})
}

// One that hangs before it has answered the hello is killed too, though not soon: nothing runs, and the host may be busy.
func TestMuteFromTheBeginning(t *testing.T) {
	links(t, "p", func(p *pit) {
		p.is(mute)
		if err := p.link.Open(); err == nil {
			p.t.Error("Open() = nil, want an error")
		}
		if got := time.Since(p.begin); got != openLimit {
			p.t.Errorf("Open took %v, want %v", got, openLimit)
		}
		if len(p.log) < 2 || p.log[1] != "60: kill 1" {
			p.t.Errorf("%q", p.log)
		}
	})
}

// Without any for 10 s the packages are halted, once; what could not be said is said as soon as
// there is one.
func TestNone(t *testing.T) {
	links(t, "p q", func(p *pit) {
		p.start()
		p.fail(true)
		p.dies()
		time.Sleep(9900 * time.Millisecond)
		p.want("0: kill 1")
		p.link.Say(held("p", 10, 30))
		time.Sleep(100 * time.Millisecond)
		p.want("10: none")
		time.Sleep(time.Minute)
		p.want()
		p.fail(false)
		time.Sleep(time.Second)
		p.want("71: 2 hears "+helloPQ, "71: 2 hears p held, q free")
	})
}

// Where one comes in the end nobody is halted.
func TestNoneForAWhile(t *testing.T) {
	links(t, "p q", func(p *pit) {
		p.start()
		p.fail(true)
		p.dies()
		time.Sleep(8500 * time.Millisecond)
		p.fail(false)
		time.Sleep(time.Minute)
		p.want("0: kill 1", "9: 2 hears "+helloPQ, "9: 2 hears p free, q free")
	})
}

// Say does not wait: not for a deadman that hangs, and not for one that there is not.
func TestSayNeverBlocks(t *testing.T) {
	for name, hurt := range map[string]func(*pit){
		"mute": func(p *pit) { p.is(mute) },
		"none": func(p *pit) { p.fail(true); p.dies() },
		"slow": func(p *pit) { p.slow = time.Second },
	} {
		t.Run(name, func(t *testing.T) {
			links(t, "p q", func(p *pit) {
				p.start()
				hurt(p)
				for i := range 100 {
					begin := time.Now()
					p.link.Say(held("p", float64(10+i), float64(30+i)))
					p.link.Say(held("q", float64(10+i), float64(30+i)))
					if took := time.Since(begin); took != 0 {
						p.t.Fatalf("Say took %v", took)
					}
					time.Sleep(100 * time.Millisecond)
				}
			})
		})
	}
}

// A manager goes on with the deadman of an earlier one, whose words it keeps, and tells it its own parameters.
func TestUse(t *testing.T) {
	links(t, "p q", func(p *pit) {
		conn, kill := p.deadman()
		at, err := Attach(conn, func(int) func() { return kill }, Hello{PID: 6, Packages: []Origin{{Package: "p"}}})
		if err != nil {
			p.t.Fatal(err)
		}
		if at.Words["p"] != held("p", 10, 30) || at.Origins["p"].Mark != "mark-p" || at.Version != "1.2" {
			p.t.Errorf("Attach() = %+v", at)
		}
		p.link.Use(at)
		p.run()
		p.want("0: 1 hears hello 6 []", "0: 1 hears p held, q free [p=mark-p q=mark-q]")
		p.link.Say(held("q", 20, 40))
		p.want("0: 1 hears q held")
		p.dies()
		p.want("0: kill 1", "0: 2 hears "+helloPQ, "0: 2 hears p held, q held")
	})
}

// After the last package nobody is started any more, and nothing is said.
func TestOverIsTheEnd(t *testing.T) {
	links(t, "p q", func(p *pit) {
		p.start()
		p.sure(over("p"))
		p.want("0: 1 hears p over", "0: sure: <nil>")
		p.sure(over("q"))
		p.want("0: 1 hears q over", "0: sure: <nil>")
		p.dies()
		time.Sleep(time.Minute)
		p.want("0: kill 1")
	})
}

// One that dies before it heard that all is over is replaced, to hear it.
func TestOverIsSaidToo(t *testing.T) {
	links(t, "p", func(p *pit) {
		if err := p.link.Open(); err != nil {
			p.t.Fatal(err)
		}
		p.run()
		p.is(mute)
		p.sure(over("p"))
		time.Sleep(time.Second)
		p.is(well)
		p.dies()
		p.want("0: 1 hears hello 5 [p=mark-p]", "0: 1 hears p free", "0: 1 hears p over",
			"1: kill 1", "1: 2 hears hello 5 [p=mark-p]", "1: 2 hears p over", "1: sure: <nil>")
	})
}

// A deadman is not to watch what an earlier one was told is over: it would start a manager for it.
func TestOverIsForGood(t *testing.T) {
	links(t, "p q", func(p *pit) {
		p.start()
		p.sure(over("p"))
		p.want("0: 1 hears p over", "0: sure: <nil>")
		p.dies()
		p.want("0: kill 1", "0: 2 hears hello 5 [q=mark-q]", "0: 2 hears q free")
	})
}

// Other parameters are told at once, with the last word of their package, and in the hello of the
// next deadman.
func TestUpdate(t *testing.T) {
	links(t, "p q", func(p *pit) {
		p.start()
		p.link.Say(held("p", 10, 30))
		p.want("0: 1 hears p held")
		p.link.Update(Origin{Package: "p", Mark: "new"})
		p.want("0: 1 hears p held [p=new]")
		p.dies()
		p.want("0: kill 1", "0: 2 hears hello 5 [p=new q=mark-q]", "0: 2 hears p held, q free")
	})
}

// They are not forgotten where they come while the deadman is told something else.
func TestUpdateInBetween(t *testing.T) {
	links(t, "p q", func(p *pit) {
		p.start()
		p.slow = time.Second
		p.link.Say(held("p", 10, 30))
		synctest.Wait()
		p.link.Update(Origin{Package: "p", Mark: "new"})
		time.Sleep(5 * time.Second)
		p.want("0: 1 hears p held", "1: 1 hears p held [p=new]")
	})
}

// What has ended has no parameters.
func TestUpdateAfterTheEnd(t *testing.T) {
	links(t, "p q", func(p *pit) {
		p.start()
		p.sure(over("p"))
		p.want("0: 1 hears p over", "0: sure: <nil>")
		p.link.Update(Origin{Package: "p", Mark: "new"})
		p.sure(over("q"))
		p.dies()
		time.Sleep(time.Minute)
		p.want("0: 1 hears q over", "0: sure: <nil>", "0: kill 1")
	})
}

// A manager that never comes to Run leaves nothing to watch.
func TestClose(t *testing.T) {
	links(t, "p", func(p *pit) {
		p.link.Close() // there is none to tell
		if err := p.link.Open(); err != nil {
			p.t.Fatal(err)
		}
		p.link.Close()
		p.want("0: 1 hears hello 5 [p=mark-p]", "0: 1 hears p over", "0: 1 is hung up on")
	})
}

// A deadman that is of no use is told that there is nothing to watch.
func TestDismiss(t *testing.T) {
	links(t, "p", func(p *pit) {
		conn, kill := p.deadman()
		at, err := Attach(conn, func(int) func() { return kill }, Hello{PID: 6})
		if err != nil {
			p.t.Fatal(err)
		}
		at.Dismiss()
		p.want("0: 1 hears hello 6 []", "0: 1 hears p over", "0: 1 is hung up on")
	})
}

// What is detached is the connection that a newer program goes on with. Nothing is said on it in
// between.
func TestDetach(t *testing.T) {
	links(t, "p q", func(p *pit) {
		p.start()
		c := p.link.Detach(p.ctx)
		p.link.Say(held("p", 10, 30))
		time.Sleep(time.Minute)
		p.want()
		if err := newWire(c).send(question{Hello: &Hello{PID: 6}}); err != nil {
			p.t.Error(err)
		}
		p.want("60: 1 hears hello 6 []")
	})
}

// Where there is no deadman now there is nothing to detach.
func TestDetachNothing(t *testing.T) {
	links(t, "p q", func(p *pit) {
		p.start()
		p.fail(true)
		p.dies()
		p.want("0: kill 1")
		ctx, cancel := context.WithTimeout(p.ctx, time.Second)
		defer cancel()
		if c := p.link.Detach(ctx); c != nil {
			p.t.Errorf("Detach() = %v", c)
		}
	})
}

// The link hangs up when it ends: that is how a deadman knows.
func TestLinkHangsUp(t *testing.T) {
	links(t, "p q", func(p *pit) {
		var cancel context.CancelFunc
		p.ctx, cancel = context.WithCancel(p.ctx)
		p.start()
		time.Sleep(time.Second)
		cancel()
		p.want("1: 1 is hung up on")
	})
}

// The manager is told why there can be no deadman.
func TestRefuse(t *testing.T) {
	links(t, "p", func(p *pit) {
		ours, theirs := net.Pipe()
		p.link.spawn = func() (io.ReadWriteCloser, func(), error) { return ours, func() {}, nil }
		go func() {
			_, conn, err := Greet(theirs)
			if err == nil {
				err = conn.Refuse(errors.New("the file is locked"))
			}
			if err != nil {
				p.t.Error(err)
			}
		}()
		if err := p.link.Open(); err == nil || err.Error() != "cannot start the deadman: the file is locked" {
			p.t.Errorf("Open() = %v", err)
		}
	})
}
