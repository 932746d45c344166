package clinit

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What an earlier daemon has begun goes on under the next: with the same processes, and nothing is run again.
func TestResume(t *testing.T) {
	inWorld(t, `g:a:1:respawn:stays
g:w:1:wait:for 1s leaves
g:o:1:once:for 1s
g:t:1:test:for 1s
g:dies:1:respawn:for 20s
h:x:1:wait:for 10s
h:y:1:once:stays
`, func(w *world) {
		w.tellAndWait("g", "1")
		w.tell("h", "1")
		time.Sleep(time.Second)
		pid, from := w.process("a").PID, w.count()
		w.kill()
		time.Sleep(3 * time.Second)
		w.start()
		if now := w.process("a").PID; now != pid {
			t.Errorf("a has pid %d, then %d", pid, now)
		}
		w.want("nothing is run again", w.happened(from), "")
		time.Sleep(30 * time.Second)
		synctest.Wait()
		w.want("it goes on", w.happened(from), "12.0 end x 0; 12.0 begin y; 22.0 end dies 0; 22.0 begin dies")
		w.want("the level", w.seen("h"), "1 STARTING, 1 CHECKING, 1 DONE")
	})
}

// Of a process that nobody has noted anything, nothing is left when the next is begun.
func TestResumeWithoutRecord(t *testing.T) {
	inWorld(t, "g:a:1:respawn:noint\n", func(w *world) {
		w.tellAndWait("g", "1")
		w.kill()
		w.kept = "{"
		w.start()
		w.tellAndWait("g", "1")
		w.want("from the start", w.happened(0), "0.0 begin a; 0.0 signal 2 a; 5.0 signal 15 a; 5.0 end a 143; 5.0 begin a")
	})
}

// A daemon that is killed at random moments leaves one copy of everything.
func TestKilledAtRandom(t *testing.T) {
	for seed := range uint64(40) {
		inWorld(t, `g:a:1:respawn:stays
g:w:1:wait:for 300ms leaves
g:b:12:respawn:for 1100ms
g:n:2:respawn:noint leaves
g:t:12:test:for 200ms
g:o:1:once:stays
h:x:1:respawn:deaf
h:y:2:wait:for 500ms
h:z:12:respawn:stays
`, func(w *world) {
			random := rand.New(rand.NewPCG(seed, 1))
			for range 30 {
				w.tell("g", fmt.Sprint(1+random.IntN(3)))
				w.tell("h", fmt.Sprint(1+random.IntN(3)))
				time.Sleep(time.Duration(random.IntN(4000)) * time.Millisecond)
				w.kill()
				time.Sleep(time.Duration(random.IntN(500)) * time.Millisecond)
				w.start()
				time.Sleep(time.Duration(random.IntN(3000)) * time.Millisecond)
			}
			w.tellAndWait("g", "2")
			w.tellAndWait("h", "1")
			synctest.Wait()
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, tag := range strings.Fields("n b x z") {
				if len(w.procs[tag]) != 1 {
					t.Errorf("seed %d: %d of %s run, want 1", seed, len(w.procs[tag]), tag)
				}
			}
			for _, tag := range strings.Fields("a w o y") {
				if len(w.procs[tag]) != 0 {
					t.Errorf("seed %d: %d of %s run, want none", seed, len(w.procs[tag]), tag)
				}
			}
		})
	}
}
