//go:build linux

package script

import (
	"strconv"
	"syscall"
	"testing"
	"time"
)

func eachCgroup(b *testing.B, f func(b *testing.B, c *Commands)) {
	for _, mode := range []string{"", "none"} {
		b.Run("cgroup="+mode, func(b *testing.B) {
			c, err := NewCommands(CommandsConfig{Name: "script-bench", Cgroup: mode})
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			f(b, c)
		})
	}
}

var aSleep = Launch{Argv: []string{"/bin/sleep", "1000"}}

// From the start of a command to its end.
func BenchmarkCommandsStart(b *testing.B) {
	umask := 0o22
	for name, l := range map[string]Launch{
		"direct":   {Argv: []string{"/bin/true"}},
		"prepared": {Argv: []string{"/bin/true"}, Umask: &umask},
	} {
		b.Run(name, func(b *testing.B) {
			eachCgroup(b, func(b *testing.B, c *Commands) {
				for b.Loop() {
					if _, err := c.Start("k", l); err != nil {
						b.Fatal(err)
					}
					<-c.Ended()
				}
			})
		})
	}
}

// 2,000 commands: a look at all, the way from a death to its being told, and an end of all.
func BenchmarkCommandsAlive(b *testing.B) {
	eachCgroup(b, func(b *testing.B, c *Commands) {
		keys, pids := make([]string, 2000), make([]int, 2000)
		began := time.Now()
		for i := range keys {
			keys[i] = strconv.Itoa(i)
			var err error
			if pids[i], err = c.Start(keys[i], aSleep); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(time.Since(began).Seconds()/2, "ms/start")
		for b.Loop() {
			if found, err := c.Alive(keys...); len(found) != len(keys) || err != nil {
				b.Fatal(len(found), err)
			}
		}
		began = time.Now()
		for _, pid := range pids[:100] {
			_ = syscall.Kill(pid, syscall.SIGTERM)
			<-c.Ended()
		}
		b.ReportMetric(time.Since(began).Seconds()*10, "ms/end")
		began = time.Now()
		if left, err := c.Kill(keys...); len(left) > 0 || err != nil {
			b.Fatal(left, err)
		}
		b.ReportMetric(time.Since(began).Seconds()*1000, "ms/killall")
		for range pids[100:] {
			<-c.Ended()
		}
	})
}
