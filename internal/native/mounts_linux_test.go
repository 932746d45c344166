package native

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestMounts runs TestInMounts where it may mount.
func TestMounts(t *testing.T) {
	if os.Getuid() != 0 {
		skip(t, "needs root, to mount")
	}
	cmd := exec.Command("unshare", "-m", "--propagation", "private", os.Args[0], "-test.run=^TestInMounts$", "-test.v")
	cmd.Env = append(os.Environ(), "NATIVE_IN_MOUNTS=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS") && !strings.Contains(string(out), "--- SKIP") {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestInMounts holds what looks at mounts against the real programs, in a mount namespace of its own.
func TestInMounts(t *testing.T) {
	if os.Getenv("NATIVE_IN_MOUNTS") == "" {
		t.Skip("run by TestMounts")
	}
	for _, name := range []string{"fuser", "df", "mountpoint"} {
		usual(t, name)
	}
	dir := t.TempDir()
	for _, line := range []string{
		"mkdir DIR/a DIR/b", "mount -t tmpfs -o size=1m one DIR/a", "mkdir 'DIR/a/with space' DIR/a/in", "mount -t tmpfs -o size=33k t2 'DIR/a/with space'",
		"dd if=/dev/zero of=DIR/a/file bs=1000 count=300", "mount --bind DIR/a/in DIR/b", "ln -s a DIR/link", "mount -t tmpfs over DIR/a/in",
	} {
		args := words(strings.ReplaceAll(line, "DIR", dir))
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			skip(t, "%q: %v: %s", args, err, out)
		}
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", dir+"/b", dir+"/a").Run() })
	// compare reports whether it was taken.
	compare := func(line string) bool {
		return agree(t, dir, "", plainEnv, words(line)...)
	}
	for _, line := range []string{
		"mountpoint -q a", "mountpoint a", "mountpoint -q link", "mountpoint -q b", "mountpoint -q a/in", "mountpoint 'a/with space'", "mountpoint -q a/", "mountpoint -q a/.", "mountpoint -q a/file",
		"df -P a", "df a", "df -k a/file", "df -P 'a/with space'", "df -P link", "df -P a/in",
	} {
		if !compare(line) {
			t.Errorf("%q is not taken", line)
		}
	}
	compare("df -P b")
	for _, line := range []string{"fuser -s -m a", "fuser -sm 'a/with space'", "fuser -m -s b"} {
		if !compare(line) {
			t.Errorf("%q is not taken", line)
		}
	}
	useMounts(t, dir, compare)
}

// useMounts has two processes use the file systems.
func useMounts(t *testing.T, dir string, compare func(string) bool) {
	t.Helper()
	inside := exec.Command("sleep", "1000")
	inside.Dir = dir + "/a"
	open := exec.Command("sleep", "1000")
	file, err := os.Create(dir + "/a/with space/open")
	if err != nil {
		t.Fatal(err)
	}
	open.Stdout = file
	for _, cmd := range []*exec.Cmd{inside, open} {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	}
	file.Close()
	for _, line := range []string{"fuser -s -m a", "fuser -s -m 'a/with space'", "fuser -s -m a/in"} {
		if !compare(line) {
			t.Errorf("%q is not taken", line)
		}
		if got, _ := ours(t, dir, "", plainEnv, words(line)...); (got.status == 0) != !strings.HasSuffix(line, "in") {
			t.Errorf("%q: status %d", line, got.status)
		}
	}
	if _, taken := ours(t, dir+"/a", "", plainEnv, "fuser", "-s", "-m", "."); taken {
		t.Error("the script stands in the file system, and it is taken")
	}
}
