//go:build linux

package script

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func BenchmarkStartDone(b *testing.B) {
	for _, mode := range []string{"", "none"} {
		b.Run("cgroup="+mode, func(b *testing.B) {
			home := b.TempDir()
			r := benchRunner(b, home, mode)
			for b.Loop() {
				a, err := r.Start("status", 1, "")
				if err != nil {
					b.Fatal(err)
				}
				<-a.Done()
				if a.Status() != 0 {
					b.Fatal(a.Status())
				}
			}
		})
	}
	b.Run("bare", func(b *testing.B) {
		home := b.TempDir()
		benchRunner(b, home, "none")
		for b.Loop() {
			cmd := exec.Command("packages/pkg", "status")
			cmd.Dir = home
			if err := cmd.Run(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func benchRunner(b *testing.B, home, mode string) *Runner {
	if err := os.Mkdir(filepath.Join(home, "packages"), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, "packages/pkg"), []byte("#!/bin/sh\nexit 0\n"), 0o755); err != nil {
		b.Fatal(err)
	}
	r, err := New(Config{Home: home, Name: "pkg", Lock: "pkg", Session: "bench", Environ: os.Environ(), Cgroup: mode})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = r.Close() })
	return r
}
