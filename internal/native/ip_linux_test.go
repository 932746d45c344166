package native

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// aNetwork makes a network of this test's own, with devices of many kinds.
func aNetwork(t testing.TB, lines string) {
	t.Helper()
	if os.Getuid() != 0 {
		skip(t, "needs root: network namespaces")
	}
	usual(t, "ip")
	runtime.LockOSThread() // the thread is thrown away with its namespace
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		skip(t, "cannot make a network namespace: %v", err)
	}
	for line := range strings.Lines(lines) {
		args := words(strings.TrimSpace(line))
		if len(args) == 0 {
			continue
		}
		may := args[0] == "?"
		if may {
			args = args[1:]
		}
		cmd := exec.Command(args[0], args[1:]...)
		if out, err := cmd.CombinedOutput(); err != nil && !may {
			t.Fatalf("%q: %v: %s", args, err, out)
		}
	}
}

const devices = `
	ip link set lo up
	ip link add d0 type veth peer name d0p
	ip link set d0p up
	ip link set d0 up
	ip addr add 10.0.2.12/24 dev d0
	ip addr add 10.0.2.13/24 brd + dev d0 label d0:vip0
	ip addr add 10.0.2.14/32 dev d0 valid_lft 3000 preferred_lft 2000
	ip addr add 10.0.3.1 peer 10.0.3.2/32 dev d0
	ip addr add 192.168.7.1/24 scope link dev d0
	ip addr add 192.168.8.1/24 scope host dev d0
	ip addr add 192.168.9.1/24 dev d0 noprefixroute
	ip addr add 192.168.10.1/24 dev d0 metric 50
	ip addr add 2001:db8::1/64 dev d0
	ip addr add 2001:db8::2/64 dev d0 nodad
	ip addr add 2001:db8::3/128 dev d0 valid_lft 3000 preferred_lft 0
	ip addr add 10.0.2.15/32 dev d0 valid_lft 3000 preferred_lft 0
	ip link add d1 type veth peer name d1p
	ip link add d2 mtu 1400 type veth peer name d2p
	? ip link add dummy0 type dummy
	? ip addr add 10.20.0.1/24 dev dummy0
	? ip link set dummy0 up
	ip link set d2 alias 'the second'
	? ip link property add dev d2 altname othername altname yetanother
	ip link set d2 address 02:00:00:00:00:02 txqueuelen 0
	ip link add v0 type veth peer name v1
	ip link set v0 up
	ip addr add 10.1.0.1/16 dev v0
	ip addr add 2001:db8:1::1/64 dev v0
	? ip link add link d0 name d0.5 type vlan id 5
	? ip link set d0.5 up
	? ip addr add 10.5.0.1/24 dev d0.5
	? ip link add link d1 name d1.6 type vlan id 6
	? ip link set d1.6 up
	? ip link add br0 type bridge
	? ip link set br0 up
	? ip addr add 10.6.0.1/24 dev br0
	ip link add d3 type veth peer name d3p
	? ip link set d3 master br0
	? ip link set d3 up promisc on
	? ip link add mv0 link d0 type macvlan mode bridge
	? ip link add bond0 type bond
	? ip link add ve0 type veth peer name ve1
	? ip link set ve1 netns 1
	? ip tuntap add dev tun0 mode tun
	? ip addr add 10.7.0.1 peer 10.7.0.2 dev tun0
	? ip link set tun0 up
	? ip link add gre1 type gre local 10.0.2.12 remote 10.0.2.99
	? ip link add ipip1 type ipip local 10.0.2.12 remote 10.0.2.99
	? ip link add vx0 type vxlan id 5 dev d0 dstport 4789
	ip link add dormant0 type veth peer name dormant1
	? ip link set dormant0 mode dormant arp off multicast off allmulticast on up
	? ip link set d1 group 5
	ip route add default via 10.0.2.1
	ip route add 10.9.0.0/16 via 10.0.2.2 metric 100 proto static
	ip route add 10.10.0.1 via 10.0.2.3 src 10.0.2.12
	ip route add 10.12.0.0/24 via 10.0.2.1 dev d0 onlink
	ip route add unreachable 10.11.0.0/16
	ip -6 route add default via 2001:db8::99 dev d0
	ip -6 route add 2001:db8:77::/48 dev d0 metric 5
	ip -6 route add blackhole 2001:db8:78::/48
`

// ipForms are held against the real ip; one with "-" in front is not taken.
const ipForms = `
	ip addr
	ip a
	ip addr show
	ip address list
	ip -4 addr
	ip -6 addr
	ip -6 addr show
	ip -4 addr show
	ip -o addr
	ip -o addr show
	ip -o -4 addr show
	ip -4 -o a s
	ip -o -6 addr show
	ip -o -4 addr show dev d0
	ip -br addr
	ip -br -4 addr
	ip -4 -br addr show dev d0
	ip -brief a
	ip addr show d0
	ip addr show dev d0
	ip addr show dev d1
	ip addr show dev d2
	ip addr show dev v0
	ip addr show dev lo
	ip addr show lo
	ip addr show dev br0
	ip addr show dev d0.5
	ip addr show dev tun0
	ip -4 addr show dev d0
	ip -4 addr show dev d2
	ip -6 addr show dev d0
	ip -6 addr show dev d2
	ip addr show up
	ip addr show dev d0 up
	ip addr show dev d2 up
	ip addr show dev nosuch
	ip addr show nosuch
	ip addr show dev othername
	ip -4 addr show to 10.0.2.12/32
	ip -4 addr show to 10.0.2.13/32
	ip -4 addr show to 10.0.2.0/24
	ip -4 addr show to 10.0.2.99
	ip -4 addr show to 172.16.0.0/12
	ip -6 addr show to 2001:db8::1/128
	ip -6 addr show to 2001:db8::/64
	ip addr show to 10.0.2.12
	ip addr show to 2001:db8::2
	ip addr show dev d0 to 10.0.2.12
	ip addr show dev d0 scope global
	ip addr show scope link
	ip addr show scope host
	ip addr show dev d0 secondary
	ip addr show dev d0 primary
	ip addr show permanent
	ip addr show dynamic
	ip addr show deprecated
	ip addr show tentative
	ip addr show label d0:vip0
	ip addr show label 'd0*'
	ip -o -4 addr show label d0:vip0
	ip -4 addr show label d0:vip0
	ip -br addr show label d0:vip0
	ip -br addr show label 'd0*'
	ip -o addr show label d0
	ip link
	ip link show
	ip l
	ip link list
	ip -4 link
	ip -6 link show dev d0
	ip -6 addr show up
	ip -6 -br addr
	ip -6 addr show dev d0 scope link
	ip -o link
	ip -o link show
	ip -br link
	ip -br link show d0
	ip link show d0
	ip link show dev d0
	ip link show dev d2
	ip link show dev v0
	ip link show lo
	ip link show up
	ip link show dev d2 up
	ip link show nosuch
	ip -o link show dev d0
	ip link show br0
	ip link show d3
	ip link show d0.5
	ip link show d1.6
	ip link show bond0
	ip link show ve0
	ip link show tun0
	ip link show gre1
	ip link show ipip1
	ip link show vx0
	ip link show mv0
	ip link show dormant0
	ip link show othername
	ip route
	ip r
	ip route show
	ip route list
	ip route show default
	ip -4 route
	ip -6 route
	ip -6 route show default
	ip -6 r
	ip route show dev d0
	ip route show default dev d0
	ip route show 10.9.0.0/16
	ip route show 10.10.0.1
	ip route show exact 10.9.0.0/16
	ip route show 10.99.0.0/16
	ip -6 route show 2001:db8:77::/48
	ip route show table main
	ip -o route
	- ip -d addr
	- ip -s link
	- ip -j addr
	- ip -c addr
	- ip addr add 10.0.0.1/8 dev d0
	- ip link set d0 up
	- ip route get 10.0.2.1
	- ip route show table local
	- ip addr show type dummy
	- ip addr show master br0
	- ip addr help
	- ip neigh
	- ip rule
	- ip link show if2
	- ip addr show to default
	- ip
`

func stampAt(path string) stamp {
	file, _, _ := stampOf(path)
	return file
}

// TestIP has ip print a network with many kinds of devices.
func TestIP(t *testing.T) {
	aNetwork(t, devices)
	holdIP(t, ipForms)
}

// holdIP holds ip against the real one for all forms, in this thread's network.
func holdIP(t *testing.T, forms string) {
	t.Helper()
	untaken := []string{}
	for line := range strings.Lines(forms) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		args := words(strings.TrimSpace(strings.TrimPrefix(line, "-")))
		got, want, taken := bothIP(t, args)
		switch {
		case taken && line[0] == '-':
			t.Errorf("%q is taken", line)
		case taken && (got.stdout != want.stdout || got.status != want.status || (got.stderr == "") != (want.stderr == "")):
			t.Errorf("%q: status %d, %q, and they %d, %q\n%s", line, got.status, got.stderr, want.status, want.stderr, differing(got.stdout, want.stdout))
		case !taken && line[0] != '-':
			untaken = append(untaken, line)
		}
	}
	if len(untaken) > 0 {
		t.Errorf("not taken: %q", untaken)
	}
}

// bothIP runs it both ways. Seconds may pass between one and the other: what is left of lifetimes is made
// theirs, where it is near.
func bothIP(t *testing.T, args []string) (got, want said, taken bool) {
	t.Helper()
	if got, taken = ours(t, "/", "", plainEnv, args...); !taken {
		return got, want, false
	}
	for range 50 { // it goes over the host's named networks, and fails where another test is just making or removing one
		if want = theirs(t, "/", "", plainEnv, args...); !strings.Contains(want.stderr, "Peer netns reference is invalid") {
			break
		}
	}
	times := lifetimes.FindAllString(want.stdout, -1)
	got.stdout = lifetimes.ReplaceAllStringFunc(got.stdout, func(mine string) string {
		var n, m int
		if len(times) == 0 {
			return mine
		}
		next := times[0]
		times = times[1:]
		if _, err := fmt.Sscanf(mine+" "+next, "%dsec %dsec", &n, &m); err != nil || n < m || n > m+600 {
			return mine
		}
		return next
	})
	return got, want, true
}

// differing is the first line that is not the same.
func differing(got, want string) string {
	a, b := strings.SplitAfter(got, "\n"), strings.SplitAfter(want, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return "ours:   " + a[i] + "theirs: " + b[i]
		}
	}
	return fmt.Sprintf("%d lines, and they %d", len(a), len(b))
}

// TestIPRandom has many addresses and routes: those of IPv6 with zeros in all places.
func TestIPRandom(t *testing.T) {
	m := maker{rand.New(rand.NewPCG(*randomSeed, 0))}
	var lines strings.Builder
	lines.WriteString("ip link set lo up\nip link add d0 type veth peer name d0p\nip link set d0 up\nip link set d0p up\n")
	odd := m.of("metric 3", "proto 99", "mtu 900 dev d0", "tos 4 dev d0", "proto ra dev d0")
	for range 60 {
		groups := m.of("2001:", "fd00:", "fe80:", "2:", "64:ff9b:") + m.join(6, func() string { return m.of("0:", "0:", "0:", "1:", "ab:", "a000:") })
		if strings.HasPrefix(groups, "64:") {
			groups = strings.TrimSuffix(groups, groups[strings.LastIndexByte(groups[:len(groups)-1], ':')+1:])
		}
		flags := m.of("", "nodad", "noprefixroute", "home", "valid_lft 5000 preferred_lft 4000", "valid_lft 5000 preferred_lft 0", "metric 7", "scope link")
		fmt.Fprintf(&lines, "? ip addr add %s%s/%s dev d0 %s\n", groups, m.of("0", "1", "ffff", "12"), m.of("64", "128", "48", "127", "7"), flags)
		v4 := fmt.Sprintf("%d.%d.%d.%d", 1+m.IntN(220), m.IntN(3), m.IntN(2), m.IntN(256))
		fmt.Fprintf(&lines, "? ip addr add %s/%s dev d0 %s %s\n", v4, m.of("8", "24", "32", "31", "12"), m.of("", "brd +", "brd -", "label d0:"+v4), m.of("", "scope host", "valid_lft 900 preferred_lft 800", "noprefixroute"))
		fmt.Fprintf(&lines, "? ip route add %s %d.0.0.0/8 %s\n", m.of("", "blackhole", "unreachable", "prohibit", "throw"), 1+m.IntN(220), m.of("", "metric 5", "dev d0", "via "+v4, "proto static", "scope link dev d0", odd))
	}
	aNetwork(t, lines.String())
	if n := strings.Count(theirs(t, "/", "", plainEnv, "ip", "-o", "addr").stdout, "\n"); n < 50 {
		t.Errorf("only %d addresses", n)
	}
	holdIP(t, "ip addr\nip -o addr\nip -6 addr show dev d0\nip -4 -o addr show\nip -br addr\nip addr show dynamic\nip addr show deprecated\nip addr show scope link\nip -6 addr show secondary\nip addr show label 'd0:*'")
	for _, line := range []string{"ip route", "ip -6 route", "ip route show dev d0", "ip -6 route show dev d0"} {
		if got, want, ok := bothIP(t, words(line)); ok && got.stdout != want.stdout {
			t.Errorf("%s: %s", line, differing(got.stdout, want.stdout))
		}
	}
}

// TestIPStyle: a program that writes something else is not stood for.
func TestIPStyle(t *testing.T) {
	aNetwork(t, "ip link set lo up")
	dir := t.TempDir()
	real := "/bin/ip"
	for text, want := range map[string]bool{
		"exec " + real + ` "$@"`:                   true,
		real + ` "$@" | sed 's/scope host/& new/'`: false,
		"echo":   false,
		"exit 1": false,
	} {
		path := fmt.Sprintf("%s/%d", dir, len(text))
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		if got := styleOf(t.Context(), stampAt(path)); got.known != want {
			t.Errorf("%s: known is %v", text, got.known)
		}
	}
	// One that says who has set an address is known, if it says so where later versions do.
	if err := os.WriteFile(dir+"/origins", []byte("#!/bin/sh\n"+real+` "$@" | sed 's/inet6 ::1.*host /&proto kernel_lo /'`+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	has := strings.Contains(theirs(t, "/", "", plainEnv, "ip", "addr").stdout, "inet6 ::1")
	if got := styleOf(t.Context(), stampAt(dir+"/origins")); has && !got.origins && got.known {
		t.Errorf("origins: %+v", got)
	}
}
