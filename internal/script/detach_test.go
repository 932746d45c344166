//go:build linux

package script

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A mount that is still in use is taken out of sight, with what is mounted over it; but not what is
// another's, where the package's sources are known.
func TestDetachMounts(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
	for name, row := range map[string]struct {
		mounts, sources []string
		left            int
	}{
		"all":             {[]string{"none", "none"}, nil, 0},
		"ours":            {[]string{"ours", "ours"}, []string{"/dev/none", "ours"}, 0},
		"another's":       {[]string{"other"}, []string{"ours"}, 1},
		"ours below":      {[]string{"ours", "other"}, []string{"ours"}, 2},
		"ours above":      {[]string{"other", "ours"}, []string{"ours"}, 1},
		"no device is it": {[]string{"none"}, []string{"/dev/gone"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, source := range row.mounts {
				if err := unix.Mount(source, dir, "tmpfs", 0, "size=64k"); err != nil {
					t.Fatal(err)
				}
			}
			busy, err := os.Create(filepath.Join(dir, "busy"))
			if err != nil {
				t.Fatal(err)
			}
			defer busy.Close()
			DetachMounts([]string{dir, filepath.Join(dir, "none")}, row.sources)
			left := 0
			for unix.Unmount(dir, unix.MNT_DETACH) == nil {
				left++
			}
			if left != row.left {
				t.Errorf("%d mounts are left, want %d", left, row.left)
			}
		})
	}
}

func TestMountIs(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		m      mount
		source string
		want   bool
	}{
		{mount{1, "/", "nas:/vol/", "nfs4"}, "nas:vol", true},
		{mount{1, "/", "nas:/other", "nfs4"}, "nas:/vol", false},
		{mount{1, "/", "10.0.0.1:6789:/vol", "ceph"}, "mon:/vol", true},
		{mount{1, "/", "what", "fuse.sshfs"}, "me@host:/x", true},
		{mount{1, "/srv/x", "/dev/gone", "ext4"}, "/srv/x", true},
		{mount{1, "/", "/dev/gone", "ext4"}, "/srv/x", false},
		{mount{1, "/", "/dev/gone", "ext4"}, "/dev/mine", true},                              // both are gone
		{mount{1, "/", "/dev/null", "ext4"}, "/dev/mine", false},                             // this one is here
		{mount{1, "/", "/dev/null", "ext4"}, "UUID=1234-none", !exists("/dev/disk/by-uuid")}, // likewise
		{mount{1, "/", "tmpfs", "tmpfs"}, "LABEL=none", !exists("/dev/disk/by-label")},
	} {
		if got := row.m.is(row.source); got != row.want {
			t.Errorf("%+v is %q: %v, want %v", row.m, row.source, got, row.want)
		}
	}
}
