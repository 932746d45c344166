//go:build linux

package lab

import (
	"bytes"
	"cmp"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// How long TestHistory goes on with its faults, and the limits of the locks in it.
const (
	historyLong = 45 * time.Second
	historyT    = 6 * time.Second
)

// claimLoop takes a lock again and again for a while. Whoever has it writes a line with its term
// and the time, every 20 ms or so: all hosts of a lab have one clock.
const claimLoop = `#!/bin/bash
# claim LOCK: take it again and again
if [ "$1" != claims ] ; then
   while : ; do dex-lock/dex-exec -t 6 "$1" -- bash "$0" claims "$1" ; sleep 0.$((RANDOM % 9)) ; done
fi
n=$((RANDOM % 150))
while [ $((n -= 1)) -gt 0 ] ; do
   echo "$2 $BTW_TERM $EPOCHREALTIME $HOSTNAME" >> claims
   read -r -t 0.02 < <(:)
   sleep 0.02
done
`

// A claim is one line: at that time the holder of that term acted.
type claim struct {
	lock string
	term uint64
	at   time.Duration
	by   string
}

// TestHistory lets five hosts fight for two locks while faults come at random, and looks at what the
// holders did: at no time does one of an earlier term act after one of a later. At the end, with
// all faults mended, both locks go on changing hands. BTW_SEED repeats the faults of a run.
func TestHistory(t *testing.T) {
	t.Parallel()
	places <- struct{}{}
	defer func() { <-places }()
	needHosts(t)
	tr := buildTree(t)
	seed := uint64(time.Now().UnixNano() % 1e6)
	if s := os.Getenv("BTW_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		must(t, err)
	}
	t.Logf("to repeat: BTW_SEED=%d go test ./test/lab -run 'TestHistory$'", seed)
	l := newLab(t, tr, 5, nil, map[string]string{"dex-lock/conf/lock_servers": "h1 h2 h3"})
	f := &faults{l: l, rand: rand.New(rand.NewPCG(seed, 1))}
	for _, host := range l.hosts {
		must(t, os.WriteFile(filepath.Join(l.dir, host, labHome, "claim"), []byte(claimLoop), 0o755))
	}
	for _, host := range l.hosts[:3] {
		l.dex(host, "dex-lock/dex-server-init")
	}
	for _, host := range l.hosts {
		f.claim(host)
	}
	for end := time.Now().Add(historyLong); time.Now().Before(end); {
		f.next()
	}
	f.mend()
	healed := time.Now()
	within := 2*(historyT+time.Second) + 10*time.Second // a leader change, an election, and a server that is taken in again
	for _, name := range []string{"one", "two"} {
		l.await(within+10*time.Second, name+" is had again after the faults", func() bool {
			all := claimsOf(t, l)
			i := slices.IndexFunc(all, func(c claim) bool { return c.lock == name && c.at > time.Duration(healed.UnixNano()) })
			return i >= 0
		})
	}
	all := claimsOf(t, l)
	last, terms := map[string]claim{}, 0
	for _, c := range all {
		before := last[c.lock]
		if c.term < before.term {
			t.Errorf("%s: %s acts in term %d, %v after %s did in term %d", c.lock, c.by, c.term, c.at-before.at, before.by, before.term)
			continue
		}
		if c.term > before.term {
			terms++
		}
		last[c.lock] = c
	}
	t.Logf("%d faults, %d terms, %d claims", f.count, terms, len(all))
	if f.count < 5 || terms < 10 {
		t.Errorf("only %d faults and %d terms: that shows nothing", f.count, terms)
	}
}

// claimsOf is what the holders did, in the order of time.
func claimsOf(t *testing.T, l *lab) (all []claim) {
	t.Helper()
	for _, host := range l.hosts {
		text, err := os.ReadFile(filepath.Join(l.dir, host, labHome, "claims"))
		if os.IsNotExist(err) {
			continue
		}
		must(t, err)
		for line := range bytes.Lines(text) {
			words := strings.Fields(strings.Replace(string(line), ".", "", 1))
			if len(words) != 4 {
				continue // the host crashed while it wrote this
			}
			term, err1 := strconv.ParseUint(words[1], 10, 64)
			micros, err2 := strconv.ParseInt(words[2], 10, 64)
			must(t, errors.Join(err1, err2))
			all = append(all, claim{words[0], term, time.Duration(micros) * time.Microsecond, words[3]})
		}
	}
	slices.SortStableFunc(all, func(a, b claim) int { return cmp.Compare(a.at, b.at) })
	return all
}

// faults is what goes wrong, one thing after the other.
type faults struct {
	l     *lab
	rand  *rand.Rand
	count int
}

func (f *faults) host(from, to int) string { return f.l.hosts[from+f.rand.IntN(to-from)] }

// claim has a host fight for both locks.
func (f *faults) claim(host string) {
	for _, name := range []string{"one", "two"} {
		f.l.lab("bg", "-w", labHome, host, "claim-"+name, "bash", "./claim", name)
	}
}

func (f *faults) sleep(most time.Duration) {
	time.Sleep(500*time.Millisecond + time.Duration(f.rand.Int64N(int64(most))))
}

// next lets something go wrong for some seconds, and mends it.
func (f *faults) next() {
	l, server, other := f.l, f.host(0, 3), f.host(0, 5)
	f.count++
	switch f.rand.IntN(7) {
	case 0:
		l.lab("cut", other)
	case 1:
		if other == server {
			other = "h5"
		}
		l.lab("cut", "-o", server, other)
	case 2:
		l.lab("cut", "-p", "h1", "h2")
	case 3: // a server's processes stand still: nobody claims anything there meanwhile
		f.halt(server)
		l.lab("pause", server)
		f.sleep(4 * time.Second)
		l.lab("resume", server)
		f.claim(server)
	case 4:
		f.crash(other, func() {})
	case 5:
		wipe := func() {}
		if f.whole() { // a majority that forgot stays silent
			wipe = func() { must(l.t, os.RemoveAll(filepath.Join(l.dir, server, labHome, "dex-lock/state"))) }
		}
		f.crash(server, wipe)
	case 6:
		l.dex(server, "pkill", "-9", "-f", "^dex-server")
		f.sleep(2 * time.Second)
		l.dex(server, "dex-lock/dex-server-init")
	}
	f.sleep(4 * time.Second)
	l.lab("heal")
	f.sleep(3 * time.Second)
}

// whole says whether all three servers vote.
func (f *faults) whole() bool {
	cmd := exec.Command(f.l.repo+"/utils/lab", "exec", "-w", labHome, "h1", "dex-lock/dex-servers")
	cmd.Env = append(os.Environ(), "LAB_NAME="+f.l.name)
	return cmd.Run() == nil
}

// halt ends the fights of a host before it is made to stand still: a process that stands still with
// a lock would go on for a moment when it wakes.
func (f *faults) halt(host string) {
	for _, name := range []string{"one", "two"} {
		f.l.lab("sigg", host, "claim-"+name, "KILL")
	}
	f.l.dex(host, "bash", "-c", "for i in $(seq 100) ; do pgrep -f '[c]laim claims' || exit 0 ; sleep 0.1 ; done ; exit 1")
}

// crash kills everything on a host, does what is to be done to its disk, and boots it again.
func (f *faults) crash(host string, meanwhile func()) {
	f.l.lab("kill9", host)
	f.sleep(3 * time.Second)
	meanwhile()
	f.l.lab("boot", host)
	if slices.Index(f.l.hosts, host) < 3 {
		f.l.dex(host, "dex-lock/dex-server-init")
	}
	f.claim(host)
}

// mend makes everything work again.
func (f *faults) mend() {
	f.l.lab("heal")
	for _, host := range f.l.hosts[:3] {
		f.l.dex(host, "dex-lock/dex-server-init")
	}
}
