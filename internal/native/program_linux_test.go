package native

import (
	"os"
	"strings"
	"testing"
	"time"
)

// inPath is a call with that PATH.
func inPath(path, dir string, args ...string) *Call {
	env := []string{"PATH=" + path, "LC_ALL=C"}
	return &Call{
		Args: args, Env: environment(env), Environ: func() []string { return env }, Dir: dir, Stdout: &strings.Builder{}, Stderr: &strings.Builder{}, Umask: 0o022,
	}
}

// old makes a directory look as if it had been left alone for long.
func old(t *testing.T, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		when := time.Now().Add(-time.Hour)
		if err := os.Chtimes(dir, when, when); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPath: a program of the site's own by the same name is the one that is meant.
func TestPath(t *testing.T) {
	usual(t, "uname")
	site, ours := t.TempDir(), t.TempDir()
	set := New()
	taken := func(path string, args ...string) bool {
		_, ok := set.Run(t.Context(), inPath(path, site, args...))
		return ok
	}
	write := func(path string, mode os.FileMode) {
		if err := os.WriteFile(path, []byte("#!/bin/sh\necho mine\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	old(t, site)
	for range 2 { // the second time from memory
		if !taken(site+":/usr/bin:/bin", "uname") {
			t.Error("the system's is the first, and it is not taken")
		}
	}
	write(site+"/uname", 0o644)
	old(t, site) // only its mode tells
	if !taken(site+":/usr/bin:/bin", "uname") {
		t.Error("a file that cannot be run is no program")
	}
	if err := os.Chmod(site+"/uname", 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if taken(site+":/usr/bin:/bin", "uname") {
			t.Error("the site's own is the first, and it is taken")
		}
	}
	if !taken("/usr/bin:/bin:"+site, "uname") {
		t.Error("the site's own is behind, and it is not taken")
	}
	if err := os.Remove(site + "/uname"); err != nil {
		t.Fatal(err)
	}
	if !taken(site+":/usr/bin:/bin", "uname") {
		t.Error("the site's own is gone, and it is not taken")
	}
	if err := os.Symlink("/usr/bin/uname", ours+"/uname"); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{ours + ":/usr/bin", site, "", ":/usr/bin"} {
		write(site+"/uname", 0o755)
		if taken(path, "uname") {
			t.Errorf("PATH=%s is taken", path)
		}
	}
	if taken("/usr/bin:/bin", "./uname") || taken("/usr/bin:/bin", site+"/uname") || !taken("", "/usr/bin/uname") {
		t.Error("a path is what it says")
	}
	if set.Counts()["uname"].Taken == 0 || set.Counts()["uname"].Left == 0 {
		t.Errorf("counts: %v", set.Counts())
	}
}

// TestKind: a program of another making is not stood for.
func TestKind(t *testing.T) {
	dir := t.TempDir()
	is := func(text string, k kind) bool {
		path := dir + "/program"
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
		return kindOf(t, path, k)
	}
	for text, want := range map[string]bool{
		"echo 'cat (GNU coreutils) 9.1'": true, "echo 'cat (GNU coreutils) 9.1' >&2; exit 1": true, "echo 'cat (uutils coreutils) 0.2.2'": false,
		"echo 'BusyBox v1.35.0'; echo '(GNU coreutils)'": false, "exit 1": false, "kill $$": false,
	} {
		if got := is(text, coreutils); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	if _, err := os.Stat("/usr/bin/busybox"); err == nil {
		if err := os.Symlink("/usr/bin/busybox", dir+"/cat"); err != nil {
			t.Fatal(err)
		}
		if kindOf(t, dir+"/cat", coreutils) {
			t.Error("busybox is taken for GNU cat")
		}
	}
}

func kindOf(t *testing.T, path string, k kind) bool {
	t.Helper()
	file, _, err := stampOf(path)
	if err != nil {
		t.Fatal(err)
	}
	return new(finder).isKind(t.Context(), file, k)
}

// TestItself: what a program would find out about its own process is left to it.
func TestItself(t *testing.T) {
	for _, name := range []string{"cat", "grep", "ls", "test"} {
		usual(t, name)
	}
	for line, want := range map[string]bool{
		"cat /proc/self/status": false, "cat /proc/thread-self/stat": false, "grep x /proc/self/limits": false, "ls /proc/self/fd": false, "test -e /dev/fd/1": false,
		"cat /dev/stdin": false, "cat /dev/./stdin": false, "cat //proc//self//status": false, "cat ../dev/fd/0": false, "cat ../../../../dev/stdin": false, "cat /dev/tty": false, "ls ../proc/self/fd": false, "cat /proc/self/mountinfo": true, "grep -c proc /proc/mounts": true, "cat /proc/1/comm": true,
	} {
		if _, ok := ours(t, "/", "", plainEnv, words(line)...); ok != want {
			t.Errorf("%s: taken is %v", line, ok)
		}
	}
	if _, ok := ours(t, "/proc/self", "", plainEnv, "cat", "status"); ok {
		t.Error("in /proc/self it is taken")
	}
}

// TestEnvironment: another locale, or a variable that changes a program, is left to it.
func TestEnvironment(t *testing.T) {
	for _, name := range []string{"grep", "ls", "uname"} {
		usual(t, name)
	}
	taken := func(line string, env ...string) bool {
		args := words(line)
		_, ok := ours(t, "/", "", append([]string{"PATH=/usr/bin:/bin"}, env...), args...)
		return ok
	}
	for _, one := range []struct {
		line, env string
		want      bool
	}{
		{"grep x", "LANG=", true},
		{"grep x", "LANG=C.UTF-8", true},
		{"grep x", "LANG=POSIX", true},
		{"grep x", "LANG=de_DE.UTF-8", false},
		{"grep x", "LC_ALL=en_US.UTF-8", false},
		{"grep x", "LC_CTYPE=en_US", false},
		{"grep x", "POSIXLY_CORRECT=", false},
		{"grep x", "GREP_OPTIONS=-v", false},
		{"uname", "LANG=de_DE.UTF-8", true},
		{"uname", "LD_PRELOAD=/x.so", false},
		{"ls /proc/version", "QUOTING_STYLE=c", false},
		{"date +%Y", "LC_TIME=de_DE", false},
		{"date +%H", "TZ=Europe/Berlin", fileThere("/usr/share/zoneinfo/Europe/Berlin")},
		{"date +%H", "TZ=CET-1CEST,M3.5.0,M10.5.0/3", false},
		{"date +%H", "TZ=", true},
	} {
		if got := taken(one.line, one.env); got != one.want {
			t.Errorf("%s %s: taken is %v", one.env, one.line, got)
		}
	}
	if !taken("grep x", "LANG=de_DE.UTF-8", "LC_ALL=C") {
		t.Error("LC_ALL counts first")
	}
	if status, _ := ours(t, "/", "", []string{"PATH=/bin", "TZ=Asia/Tokyo"}, "date", "+%Z %z"); fileThere("/usr/share/zoneinfo/Asia/Tokyo") && status.stdout != "JST +0900\n" {
		t.Errorf("the time of Tokyo: %q", status.stdout)
	}
}

func fileThere(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
