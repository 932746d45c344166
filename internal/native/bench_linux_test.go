package native

import (
	"io"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// Benchmarks of calls as a status script makes them, with the look at the PATH; and one of a real program. The
// processor time counts, on a machine that is busy with other things: cpu-ns/op.

// cpu is the processor time of this process and of its children.
func cpu(b *testing.B) (sum int64) {
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var use syscall.Rusage
		if err := syscall.Getrusage(who, &use); err != nil {
			b.Fatal(err)
		}
		sum += use.Utime.Nano() + use.Stime.Nano()
	}
	return sum
}

func benchmark(b *testing.B, stdin string, line string) {
	args := words(line)
	usual(b, args[0])
	set := New()
	b.ReportAllocs()
	start := cpu(b)
	defer func() { b.ReportMetric(float64(cpu(b)-start)/float64(b.N), "cpu-ns/op") }()
	for b.Loop() {
		c := aCall("/", strings.NewReader(stdin), io.Discard, args...)
		if _, ok := set.Run(b.Context(), c); !ok {
			b.Fatalf("%q is not taken", line)
		}
	}
}

const addrText = `2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc mq state UP group default qlen 1000
    link/ether 52:54:00:12:34:56 brd ff:ff:ff:ff:ff:ff
    inet 10.0.2.15/24 brd 10.0.2.255 scope global eth0
       valid_lft forever preferred_lft forever
    inet 10.0.2.12/24 scope global secondary eth0:vip0
       valid_lft forever preferred_lft forever
`

func BenchmarkUname(b *testing.B)       { benchmark(b, "", "uname") }
func BenchmarkBasename(b *testing.B)    { benchmark(b, "", "basename /opt/packages/pkg1") }
func BenchmarkDate(b *testing.B)        { benchmark(b, "", "date +%s") }
func BenchmarkGrepLiteral(b *testing.B) { benchmark(b, addrText, "grep -qF 10.0.2.12/24") }
func BenchmarkGrepRegex(b *testing.B)   { benchmark(b, addrText, `grep -q 'inet 10\.0\.2\.[0-9]*/24'`) }

func BenchmarkSed(b *testing.B)        { benchmark(b, addrText, `sed -n 's/.*inet \([0-9.]*\).*/\1/p'`) }
func BenchmarkCut(b *testing.B)        { benchmark(b, addrText, "cut -d: -f2") }
func BenchmarkMountpoint(b *testing.B) { benchmark(b, "", "mountpoint -q /proc") }
func BenchmarkIPAddr(b *testing.B)     { benchmark(b, "", "ip -4 addr show dev lo") }
func BenchmarkIPAddrTo(b *testing.B)   { benchmark(b, "", "ip -4 addr show to 127.0.0.1/32") }
func BenchmarkIPLink(b *testing.B)     { benchmark(b, "", "ip link show dev lo") }
func BenchmarkPgrep(b *testing.B)      { benchmark(b, "", "pgrep -x nosuchprogram") }
func BenchmarkDf(b *testing.B)         { benchmark(b, "", "df -P /proc") }
func BenchmarkTest(b *testing.B)       { benchmark(b, "", "test -f /etc/passwd") }

func BenchmarkRealUname(b *testing.B) {
	start := cpu(b)
	defer func() { b.ReportMetric(float64(cpu(b)-start)/float64(b.N), "cpu-ns/op") }()
	for b.Loop() {
		if err := exec.Command("/usr/bin/uname").Run(); err != nil {
			b.Fatal(err)
		}
	}
}
