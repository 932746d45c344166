package native

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestArping holds arping against that of iputils, with a host at the other end of a cable.
func TestArping(t *testing.T) {
	t.Parallel() // most of it is waiting
	aNetwork(t, "ip link set lo up\nip link add a0 type veth peer name b0\nip link set a0 up\nip addr add 10.9.9.1/24 dev a0\nip link add c0 type veth peer name c1\nip addr add 10.9.8.1/24 dev c0")
	usual(t, "arping")
	other := exec.Command("unshare", "-n", "sh", "-c", "echo; exec sleep 60")
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = other.Process.Kill()
		_ = other.Wait()
	})
	_, _ = out.Read(make([]byte, 1)) // now it has a network of its own
	pid := fmt.Sprint(other.Process.Pid)
	for _, line := range []string{
		"ip link set b0 netns " + pid, "nsenter -t " + pid + " -n ip link set b0 up", "nsenter -t " + pid + " -n ip addr add 10.9.9.2/24 dev b0",
	} {
		if out, err := exec.Command(words(line)[0], words(line)[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", line, err, out)
		}
	}
	for range 200 { // until the cable is there
		if out, _ := exec.Command("ip", "link", "show", "dev", "a0").Output(); strings.Contains(string(out), "LOWER_UP") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	for _, line := range []string{
		"arping -q -D -c 1 -w 1 -I a0 10.9.9.2", "arping -q -D -c 2 -w 1 -I a0 10.9.9.3", "arping -D -q -w 1 -I a0 10.9.9.2", "arping -q -U -c 1 -w 1 -I a0 10.9.9.1",
		"arping -q -A -c 1 -w 1 -I a0 10.9.9.1", "arping -q -U -c 1 -I a0 10.9.9.77", "arping -q -A -c 1 -I a0 -s 10.9.9.7 10.9.9.7",
		"arping -q -D -c 1 -w 1 -I nosuch0 10.9.9.2", "arping -q -U -c 1 -w 1 -I c0 10.9.8.1", "arping -q -D -c 1 -w 1 -I lo 10.9.9.2", "arping -q -D -c 1 -w 1 -I a0 nonsense..",
	} {
		if taken := agreeArping(t, words(line)); !taken {
			t.Errorf("%q is not taken", line)
		}
	}
	// Their versions say different things with these: the real program is run.
	for _, line := range []string{"arping -q -c 1 -w 1 -I a0 10.9.9.2", "arping -D -c 1 -w 1 -I a0 10.9.9.2", "arping -q -D -I a0 10.9.9.2", "arping -q -D -c 1 10.9.9.2", "arping -q -b -D -c 1 -I a0 10.9.9.2", "arping -V", "arping", "arping -D -q -c 1 -I a0 ::1"} {
		if _, ok := ours(t, "/", "", plainEnv, words(line)...); ok {
			t.Errorf("%q is taken", line)
		}
	}
}

// agreeArping: what is said on stderr is ours.
func agreeArping(t *testing.T, args []string) (taken bool) {
	t.Helper()
	got, ok := ours(t, "/", "", plainEnv, args...)
	if !ok {
		return false
	}
	want := theirs(t, "/", "", plainEnv, args...)
	if got.status != want.status || got.stdout != want.stdout {
		t.Errorf("%q:\n  ours   %d, %q, %q\n  theirs %d, %q, %q", args, got.status, got.stdout, got.stderr, want.status, want.stdout, want.stderr)
	}
	return true
}
