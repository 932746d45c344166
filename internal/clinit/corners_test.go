package clinit

import (
	"bufio"
	"encoding/hex"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"backtowork/internal/journal"
	"backtowork/internal/script"
)

// view is how a group stands.
func (w *world) view(group string) GroupView {
	for _, g := range w.ask(Look, "").Groups {
		if g.Group == group {
			return g
		}
	}
	return GroupView{}
}

// A tag may look like anything that the daemon has names of its own for.
func TestOddTags(t *testing.T) {
	inWorld(t, "g:a:1:wait:for 1s\ng:a ready:1:wait:for 2s\ng: ready:1:wait:for 2s\ng: log:1:once:stays\ng:readylog:1:once:stays\n", func(w *world) {
		w.want("all", w.tellAndWait("g", "1"), "DONE")
		w.want("in their order", w.happened(0), "0.0 begin a; 1.0 end a 0; 1.0 begin a ready; 3.0 end a ready 0; 3.0 begin  ready; 5.0 end  ready 0; "+
			"5.0 begin  log; 5.0 begin readylog")
		w.kill()
		w.start()
		w.want("it goes on", string(w.process(" log").State), "DONE")
	})
}

// What ends before it is ready has failed its group, though it is begun again; once it is ready that is forgotten.
func TestUnready(t *testing.T) {
	inWorld(t, `g:a:1:respawn:for 2s
:::opt:a:ready=for 3s exit 0
h:b:1:respawn:for 10s
:::opt:b:ready=for 4s exit 1
:::opt:b:ready_timeout=3
`, func(w *world) {
		w.want("it ends before", w.tellAndWait("g", "1"), "FAILED")
		w.file = strings.ReplaceAll(w.file, "for 3s", "for 1s")
		w.tellAndWait("g", "1")
		w.want("it is ready", w.tellAndWait("g", "1"), "DONE")
		w.want("not in time", w.tellAndWait("h", "1"), "FAILED")
		w.want("it runs on", string(w.process("b").State), "FAILED")
	})
}

func TestPrevLevel(t *testing.T) {
	inWorld(t, "g:a:12:respawn:stays\n", func(w *world) {
		w.tellAndWait("g", "1")
		w.want("at first", w.view("g").Prev, "")
		w.tellAndWait("g", "2")
		w.tellAndWait("g", "2")
		w.want("the one before, not the same told again", w.view("g").Prev, "1")
	})
}

// Who waits has a group of which nothing old is left, and is not sent away by another who wants the same.
func TestWaiters(t *testing.T) {
	inWorld(t, `g:w:1:wait:for 1s leaves noint
g:s:2:wait:for 1s
g:n:1:respawn:noint
`, func(w *world) {
		w.tellAndWait("g", "1")
		w.tellAndWait("g", "2")
		if got := w.happened(0); !strings.HasSuffix(got, "signal 15 w") {
			t.Errorf("it stands, but what it left was not gone: %s", got)
		}
		w.tellAndWait("g", "1")
		answers := make(chan string, 3)
		for _, level := range []string{"9", "9"} {
			go func() {
				a, _ := w.daemon.Do(Ask{Op: Tell, Group: "g", Level: level, Wait: Any}, nil)
				answers <- a.Msg
			}()
			synctest.Wait()
		}
		w.want("the first", <-answers, "DONE")
		w.want("the second", <-answers, "DONE")
		w.tellAndWait("g", "1")
		go func() {
			a, _ := w.daemon.Do(Ask{Op: Tell, Group: "g", Level: "9", Wait: Any}, nil)
			answers <- a.Msg
		}()
		synctest.Wait()
		w.tell("g", "2")
		w.want("of another level", <-answers, "another level was told meanwhile")
		go func() {
			a, _ := w.daemon.Do(Ask{Op: Tell, Group: "g", Level: "1", Wait: Any}, nil)
			answers <- a.Msg
		}()
		synctest.Wait()
		w.ask(Shutdown, "")
		w.want("of one that is halted", <-answers, "the group was halted meanwhile")
	})
}

// A group that is not in the file is forgotten once it is halted, and so is a tag that has moved.
func TestForgotten(t *testing.T) {
	inWorld(t, "g:a:1:respawn:stays\ng:b:1:respawn:stays\nh:c:1:respawn:stays\n", func(w *world) {
		w.tellAndWait("g", "1")
		w.tellAndWait("h", "1")
		w.file = "g:b:1:respawn:stays\ni:a:1:respawn:stays\n"
		w.want("moved", w.tellAndWait("i", "1"), "DONE")
		w.want("the group that is gone", w.view("h").Group, "")
		if n := len(w.view("g").Entries); n != 1 {
			t.Errorf("g has %d entries, want b alone", n)
		}
	})
}

// By hand, what is being stopped or rests is begun all the same.
func TestByHandAgain(t *testing.T) {
	inWorld(t, "g:a:1:respawn:noint\ng:f:1:respawn:for 100ms\n", func(w *world) {
		w.tellAndWait("g", "1")
		w.ask(Stop, "a")
		w.want("while it is being stopped", w.ask(Start, "a").Msg, "a: starting")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		w.want("it runs again", string(w.process("a").State), "DONE")
		w.want("f rests", string(w.process("f").State), "PAUSING")
		from := w.count()
		w.want("while it rests", w.ask(Start, "f").Msg, "f: starting")
		w.want("at once", w.happened(from), "10.0 begin f")
	})
}

// IS::Init's rule: more than five starts in ten seconds, whatever came of them.
func TestIsinitFlap(t *testing.T) {
	r := rules{mode: Respawn, perStart: true, hard: true, backoff: time.Minute, stopTimeout: 31 * time.Second}
	p, now := process{State: Configured}, epoch
	var starts []time.Duration
	give := func(k kind) (s step) {
		s = next(p, r, event{kind: k, now: now})
		p = s.process
		return s
	}
	give(evStart)
	for len(starts) < 12 {
		starts = append(starts, now.Sub(epoch))
		give(evBegan)
		now = now.Add(time.Second)
		give(evEnded)
		give(evGone)
		if p.State == Pausing {
			now = now.Add(time.Minute)
			give(evTimer)
		}
	}
	for i, want := range []int{0, 1, 2, 3, 4, 5, 66, 67, 68, 69, 70, 71} {
		if starts[i] != time.Duration(want)*time.Second {
			t.Fatalf("starts after %v, want six, a minute's rest, six", starts)
		}
	}
}

// What a daemon that was killed had not noted yet, or was about to do.
func TestResumeCorners(t *testing.T) {
	inWorld(t, "g:w:1:wait:for 1s\ng:b:1:once:noint\nh:bad:1:respawn:bad\nh:r:1:respawn:noint\nh:s:1:respawn:noint\n", func(w *world) {
		w.tell("g", "1")
		w.tellAndWait("h", "1")
		w.mu.Lock()
		kept := w.kept // b is still to be begun
		w.mu.Unlock()
		time.Sleep(2 * time.Second)
		w.kill()
		w.kept = kept
		w.start()
		w.want("it is stopped before it is begun again", w.tellAndWait("g", "1"), "DONE")
		synctest.Wait()
		if len(w.twice) > 0 {
			t.Errorf("begun while it ran: %q", w.twice)
		}

		tried := func() (n int) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, line := range w.said {
				if strings.Contains(line, "cannot run bad") {
					n++
				}
			}
			return n
		}
		before := tried()
		time.Sleep(2 * time.Minute)
		if n := tried() - before; n < 1 {
			t.Error("what could not be run is not tried again under the next daemon")
		}

		w.ask(Restart, "r")
		w.ask(Stop, "s")
		w.kill()
		from := w.count()
		w.start()
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if got := w.happened(from); !strings.Contains(got, "begin r") || strings.Contains(got, "begin s") {
			t.Errorf("after a restart of r and a stop of s: %s", got)
		}
		if !w.process("s").Stopped {
			t.Error("that s was stopped by hand is forgotten")
		}
	})
}

// The original's bytes are understood, however they come, and answered in kind. Clients that say nothing hold up neither
// others nor the end.
func TestOldClient(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	hands := &world{t: t, file: "g:a:1:respawn:stays\n", procs: map[string][]*fake{}, ended: make(chan script.Ended, 100)}
	d, _ := New(Config{
		Dialect: Clinit, File: "cltab", Hands: hands, Log: func(journal.Line) {},
		Read:   func() ([]byte, error) { return []byte(hands.file), nil },
		Status: func(string) error { return nil }, Keep: func(string) error { return nil },
		Start: func(key string, _ Entry, command string, env ...string) (int, error) {
			return hands.Start(key, script.Launch{Argv: []string{command}, Env: env})
		},
	})
	go d.Run(t.Context())
	served := make(chan error, 1)
	go func() { served <- d.Serve(l) }()
	dial := func() *net.UnixConn {
		conn, err := net.Dial("unix", filepath.Join(dir, "s"))
		if err != nil {
			t.Fatal(err)
		}
		return conn.(*net.UnixConn)
	}
	for range 2 * clientsMax {
		defer dial().Close() // says nothing
	}
	body, _ := hex.DecodeString("050b" + "0200000001" + "04" + "0300000002" + "0a0131" + "00000005" + hex.EncodeToString([]byte("level")) +
		"0a0167" + "00000005" + hex.EncodeToString([]byte("group")))
	half := dial()
	defer half.Close()
	_, _ = half.Write([]byte("00000037\x05\x0b"))
	for _, bytewise := range []bool{false, true} {
		conn := dial()
		defer conn.Close()
		frame := append([]byte("00000037"), body...)
		for i := 0; bytewise && i < len(frame); i++ {
			_, _ = conn.Write(frame[i : i+1])
		}
		if !bytewise {
			_, _ = conn.Write(frame)
		}
		_ = conn.CloseWrite()
		said, err := readFrame(bufio.NewReader(conn))
		if err != nil || said["msg"] != "no such group: g" && said["msg"] != "level transition started" {
			t.Errorf("it says %v, %v", said, err)
		}
		if said["_dfa_event"] != "GROUPTOLD" {
			t.Errorf("it says %v", said)
		}
	}
	began := time.Now()
	d.Do(Ask{Op: Shutdown, Wait: Any}, nil)
	l.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > askLimit/2 {
		t.Errorf("silent clients hold up the end for %v", took)
	}
}
