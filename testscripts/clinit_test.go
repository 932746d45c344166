package testscripts

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var (
	initKills  = flag.Int("clinit.kills", 10, "how often TestClinitKilled kills the daemon")
	initGroups = flag.Int("clinit.groups", 8, "how many groups TestClinitLoad has, of ten entries each")
)

// An initHost is a directory with a cltab, and the daemon that runs there.
type initHost struct {
	t   *testing.T
	dir string
	cmd *exec.Cmd
}

func newInitHost(t *testing.T, cltab string) *initHost {
	h := &initHost{t: t, dir: t.TempDir()}
	t.Cleanup(func() { endAll(h.dir) })
	h.write("cltab", ":::socket:s\n:::clstat:clstat\n:::log:log\n"+cltab)
	h.write("entry.sh", `tag=$1
exec 9>> $tag.lock
flock -w 0.5 -E 99 9 # what was killed may hold its lock for a moment longer; and this may as well be ended by a stop
[ $? -ne 99 ] || echo $tag >> twice
case $2 in
stays) exec sleep 86800 ;;
dies) sleep 0.1 ;;
forks) setsid sleep 86801 & for i in 1 2 3 ; do (trap '' INT ; exec sleep 86802) & done ; exec sleep 86803 ;;
deaf) trap '' INT TERM ; while : ; do sleep 0.1 ; done ;;
leaves) setsid sleep 86804 & ;;
esac
`)
	return h
}

func (h *initHost) write(name, text string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

func (h *initHost) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "clinit", append([]string{"-c", "cltab"}, args...)...)
	cmd.Dir, cmd.Env = h.dir, append(os.Environ(), "WORK="+h.dir, "GORACE=atexit_sleep_ms=0")
	return cmd
}

// begin starts the daemon, and waits until it answers.
func (h *initHost) begin() {
	h.t.Helper()
	h.cmd = h.command(context.Background(), "-d")
	h.cmd.Stderr = os.Stderr
	if err := h.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); h.command(context.Background(), "status").Run() != nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			h.t.Fatal("the daemon does not begin")
		}
	}
}

func (h *initHost) kill() {
	_ = h.cmd.Process.Kill()
	_ = h.cmd.Wait()
}

// initLimit is how long a call may take, on a machine with much else to do.
const initLimit = 3 * time.Minute

// ask runs clinit.
func (h *initHost) ask(args ...string) string {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), initLimit)
	defer cancel()
	out, err := h.command(ctx, args...).CombinedOutput()
	if ctx.Err() != nil {
		status, _ := h.command(context.Background(), "status").CombinedOutput()
		h.t.Fatalf("clinit %s does not end: %s", strings.Join(args, " "), status)
	}
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		h.t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// copies is how many of an entry's command run, of those with "entry.sh TAG".
func (h *initHost) copies() map[string]int {
	n := map[string]int{}
	for pid := range processes(h.dir) {
		env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		group, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/9", pid))
		_, tag, found := bytes.Cut(env, []byte("\x00CLINIT_ENTRY="))
		pgid, _ := syscall.Getpgid(pid)
		if tag, _, _ = bytes.Cut(tag, []byte{0}); found && group != "" && pgid == pid {
			n[string(tag)]++
		}
	}
	return n
}

// However often the daemon is killed, and whenever: nothing is begun while something of the same entry is left, what the
// level has runs once, all else is gone; and when all is halted nothing is left.
func TestClinitKilled(t *testing.T) {
	t.Parallel()
	var file strings.Builder
	for g := range 4 {
		for tag, rest := range map[string]string{
			"a": "123:respawn:stays", "b": "12:respawn:dies", "c": "1:once:forks", "d": "12:wait:dies", "e": "23:test:none",
			"f": "3:respawn:deaf", "h": "2:once:forks", "l": "13:wait:leaves", "r": "12:respawn:forks",
		} {
			at := strings.LastIndex(rest, ":")
			fmt.Fprintf(&file, "g%d:%s%d:%s:sh entry.sh %s%d %s\n:::opt:%s%d:stop_timeout=0.6\n", g, tag, g, rest[:at], tag, g, rest[at+1:], tag, g)
		}
	}
	h := newInitHost(t, file.String())
	h.begin()
	for range *initKills {
		for range 1 + rand.IntN(4) {
			h.ask(fmt.Sprintf("g%d", rand.IntN(4)), fmt.Sprint(1+rand.IntN(4)))
		}
		time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond)
		h.kill()
		h.begin()
	}
	for g := range 4 {
		h.ask(fmt.Sprintf("g%d", g), "3", "--wait")
	}
	now := h.copies()
	for g := range 4 {
		for tag, want := range map[string]int{"a": 1, "b": 0, "c": 0, "d": 0, "e": 0, "f": 1, "h": 0, "r": 0} {
			if tag += fmt.Sprint(g); now[tag] != want {
				t.Errorf("%d of %s run, want %d", now[tag], tag, want)
			}
		}
	}
	if twice, _ := os.ReadFile(filepath.Join(h.dir, "twice")); len(twice) > 0 {
		t.Errorf("begun while something of the same entry ran: %q", twice)
	}
	h.ask("-k", "--wait")
	_ = h.cmd.Wait()
	if left := processes(h.dir); len(left) > 0 {
		t.Errorf("left when all was halted: %v", left)
	}
	if t.Failed() {
		log, _ := os.ReadFile(filepath.Join(h.dir, "log"))
		t.Logf("%s", log[max(0, len(log)-20000):])
	}
}

// Many groups, told by many at the same time, of what ignores signals, forks, and dies at once: each comes to its level,
// and nothing is left in the end.
func TestClinitLoad(t *testing.T) {
	t.Parallel()
	var file strings.Builder
	for g := range *initGroups {
		for i := range 10 {
			rest := "123:respawn:sleep 86810"
			switch i {
			case 0:
				rest = "13:once:trap '' INT TERM; while : ; do sleep 1 ; done"
			case 1:
				rest = "12:respawn:false"
			case 2:
				rest = "2:once:setsid sleep 86811 & sleep 86812 & exec sleep 86813"
			case 3:
				rest = "12:wait:sleep 86814 & exit 0"
			}
			fmt.Fprintf(&file, "g%d:t%d.%d:%s\n:::opt:t%d.%d:stop_timeout=1\n", g, g, i, rest, g, i)
		}
	}
	h := newInitHost(t, file.String())
	h.begin()
	began := time.Now()
	const tellers = 30
	var all sync.WaitGroup
	for n := range tellers {
		all.Go(func() {
			for i := range (*initGroups*3 + tellers - 1) / tellers {
				at := n + tellers*i
				if out := h.ask(fmt.Sprintf("g%d", at%*initGroups), fmt.Sprint(1+at%3)); out != "level transition started" {
					t.Errorf("a tell said %q", out)
				}
			}
		})
	}
	all.Wait()
	told := time.Since(began)
	for _, level := range []string{"1", "2", "3"} {
		for g := range *initGroups {
			all.Go(func() {
				if out := h.ask(fmt.Sprintf("g%d", g), level, "--wait"); out != "DONE" {
					t.Errorf("g%d at %s: %q", g, level, out)
				}
			})
			if g%tellers == tellers-1 {
				all.Wait()
			}
		}
		all.Wait()
	}
	began = time.Now()
	h.ask("-k", "--wait")
	_ = h.cmd.Wait()
	t.Logf("%d entries: told 3 levels each in %v, halted in %v", 10**initGroups, told, time.Since(began))
	if left := processes(h.dir); len(left) > 0 {
		t.Errorf("left when all was halted: %v", left)
	}
}

// What the original takes up to a second for: a switch with nothing to stop, and how soon a dead entry is begun again.
// The median of many counts, and the bounds are for a machine that does other things too: else 50 ms and 20 ms.
func TestClinitPace(t *testing.T) {
	t.Parallel()
	h := newInitHost(t, "g:a:12:respawn:sleep 86820\ng:b:3:once:true\nr:r:1:respawn:echo $$ >> pids; exec sleep 86821\n")
	h.begin()
	h.ask("g", "1", "--wait")
	var switches, respawns []time.Duration
	for i := range 31 {
		began := time.Now()
		h.ask("g", fmt.Sprint(1+i%2), "--wait")
		switches = append(switches, time.Since(began))
	}
	h.ask("r", "1", "--wait")
	pids := filepath.Join(h.dir, "pids")
	last := func(n int) (pid int) {
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			text, _ := os.ReadFile(pids)
			if lines := strings.Fields(string(text)); len(lines) >= n {
				_, _ = fmt.Sscan(lines[n-1], &pid)
				return pid
			}
			if time.Now().After(end) {
				t.Fatalf("run %d does not begin", n)
			}
		}
	}
	for n := 1; n <= 5; n++ { // the sixth that follows soon would have to rest
		pid := last(n)
		began := time.Now()
		_ = syscall.Kill(pid, syscall.SIGKILL)
		last(n + 1)
		respawns = append(respawns, time.Since(began))
	}
	for what, c := range map[string]struct {
		times []time.Duration
		most  time.Duration
	}{"a switch": {switches, 500 * time.Millisecond}, "a respawn": {respawns, 300 * time.Millisecond}} {
		slices.Sort(c.times)
		median := c.times[len(c.times)/2]
		t.Logf("%s takes %v (median), %v to %v", what, median, c.times[0], c.times[len(c.times)-1])
		if median > c.most {
			t.Errorf("%s takes %v: more than %v", what, median, c.most)
		}
	}
	h.ask("-k", "--wait")
	_ = h.cmd.Wait()
}
