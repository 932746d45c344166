package applet

import (
	"strings"
	"testing"
	"time"
)

func TestParseArping(t *testing.T) {
	t.Parallel()
	o, err := parseArping(split("-D -c 2 -w 3 -i 0.5 -I eth0 -s 10.0.0.1 -fqb 10.0.0.2"))
	want := arpingOptions{
		detect: true, first: true, quiet: true, toAll: true, count: 2, deadline: 3 * time.Second, interval: time.Second / 2,
		device: "eth0", source: "10.0.0.1", target: "10.0.0.2",
	}
	if err != nil || *o != want {
		t.Errorf("parseArping = %+v, %v, want %+v", o, err, want)
	}
	for args, tells := range map[string][2]bool{"-U x": {true, false}, "-A x": {true, true}, "-AU x": {true, true}, "-AD x": {false, true}} {
		if o, err := parseArping(split(args)); err != nil || o.tell != tells[0] || o.byReply != tells[1] {
			t.Errorf("parseArping(%q) = %+v, %v, want tell, byReply %v", args, o, err, tells)
		}
	}
}

// Status 1 would say that the address is in use.
func TestArpingErrors(t *testing.T) {
	t.Parallel()
	for _, row := range []string{
		"", "-D", "a b", "-x a", "-c 0 a", "-c x a", "-c", "-w 0 a", "-w -1 a", "-w x a", "-i 0 a",
		"-D -I no-such-device 10.9.0.1", "-I no-such-device 10.9.0.1", "-D -I lo 127.0.0.1", "-D -c1 no-such-host.invalid",
		"-U -I lo 192.0.2.1", "-D -s 192.0.2.1 -I lo 192.0.2.2", "-D -s ::1 -I lo 192.0.2.2",
	} {
		status, stdout, stderr := run(t, nil, "arping", split(row)...)
		if status != 2 || stdout != "" || !strings.HasPrefix(stderr, "arping: ") {
			t.Errorf("arping %s: status %d, stdout %q, stderr %q, want 2", row, status, stdout, stderr)
		}
	}
}
