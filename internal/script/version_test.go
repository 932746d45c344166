//go:build linux

package script

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestVersion: what the script sources counts wherever it is, and what that sources.
func TestVersion(t *testing.T) {
	etc := t.TempDir()
	put := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put(etc+"/site.sh", "x=1\n")
	put(etc+"/more.sh", "x=1\n")
	put(etc+"/other", "")
	s := newSite(t, "", strings.ReplaceAll(`#!/bin/sh
# . ETC/other
os=$(uname)
[ -r ETC/site.sh ] && . ETC/site.sh
if ! . "${0%/*}/local.sh"; then . "ETC/conf.d/$os.conf" ; fi
. modules/vip.$os
case $1 in status) . "$nobody/knows" ;; esac
`, "ETC", etc))
	packages := filepath.Join(s.cfg.Home, "packages")
	if err := os.MkdirAll(packages+"/modules", 0o755); err != nil {
		t.Fatal(err)
	}
	put(packages+"/local.sh", ". "+etc+"/more.sh\n")
	put(packages+"/modules/vip.Linux", "vip() { . `dirname $0`/of-vip; }\n")
	version := func() string {
		t.Helper()
		v, err := s.Version(time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	before := version()
	for _, change := range []struct {
		path string
		is   bool
	}{
		{etc + "/site.sh", true},
		{packages + "/local.sh", true},
		{etc + "/more.sh", true},
		{packages + "/modules/vip.Linux", true},
		{packages + "/of-vip", true},
		{packages + "/of-vip", true},
		{etc + "/conf.d/Linux.conf", true},
		{etc + "/conf.d/Linux.conf", true},
		{etc + "/other", false},
		{etc + "/conf.d/README", false},
	} {
		if err := os.MkdirAll(filepath.Dir(change.path), 0o755); err != nil {
			t.Fatal(err)
		}
		text, _ := os.ReadFile(change.path)
		put(change.path, string(text)+"# edited\n")
		after := version()
		if is := after != before; is != change.is {
			t.Errorf("%s was edited, and the version is another: %v", change.path, is)
		}
		if before = after; version() != before {
			t.Errorf("%s: the version is another without an edit", change.path)
		}
	}
}

// TestVersionHangs: a disk that hangs costs one look at it, not one for each status.
func TestVersionHangs(t *testing.T) {
	s := newSite(t, "", "#!/bin/sh\n")
	s.looks <- struct{}{} // as one that hangs
	for range 3 {
		if _, err := s.Version(time.Millisecond); err == nil || !strings.Contains(err.Error(), "takes longer than 1ms") {
			t.Error(err)
		}
	}
	<-s.looks
	if _, err := s.Version(time.Minute); err != nil {
		t.Error(err)
	}
}

// TestPipes: a script, or a module, that is a pipe keeps nobody who looks at it.
func TestPipes(t *testing.T) {
	s := newSite(t, "", "#!/bin/sh\n. modules/pipe\n")
	packages := filepath.Join(s.cfg.Home, "packages")
	if err := os.MkdirAll(packages+"/modules", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{packages + "/pipe", packages + "/modules/pipe"} {
		if err := syscall.Mkfifo(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ForSh(s.cfg.Home, "pipe"); err == nil || !strings.Contains(err.Error(), "is no file") {
		t.Error(err)
	}
	if _, err := readWhole(packages + "/pipe"); err == nil || !strings.Contains(err.Error(), "is no file") {
		t.Error(err)
	}
	if err := CheckLineEnds(s.cfg.Home, s.cfg.Name); err != nil {
		t.Error(err)
	}
}
