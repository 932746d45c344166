//go:build linux

package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"
	"golang.org/x/sys/unix"
)

// fillDisk is the child of TestDiskFull, in a mount namespace of its own: it writes to a store on
// a disk of 256 kB until that ends the process.
func fillDisk(dir string) {
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		fmt.Println("mount:", err)
		os.Exit(3)
	}
	s, err := Open(filepath.Join(dir, "raft.db"), func(err error) {
		fmt.Println(err)
		os.Exit(4)
	})
	if err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
	for index := uint64(1); ; index++ {
		if err := s.StoreLog(&raft.Log{Index: index, Term: 1, Data: make([]byte, 1000)}); err != nil {
			fmt.Println("it went on:", err)
			os.Exit(3)
		}
	}
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), exe, dir)
	cmd.Args[0] = "fill-disk"
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	want := "cannot write " + dir + "/raft.db: disk full (no space left on device)\n"
	if cmd.ProcessState.ExitCode() != 4 || string(out) != want {
		t.Errorf("%v, %q, want exit status 4 and %q", err, out, want)
	}
}

func TestNetworkFS(t *testing.T) {
	t.Parallel()
	if name, ok := NetworkFS(t.TempDir()); ok {
		t.Errorf("networkFS of the temporary directory = %q", name)
	}
	if name, ok := NetworkFS("/no/such/dir"); ok {
		t.Errorf("networkFS of nothing = %q", name)
	}
	for magic, want := range map[uint32]string{0x6969: "nfs", 0xFE534D42: "smb2", 0xFF534D42: "cifs", 0x00C36400: "ceph"} {
		if got := networkFSByMagic[magic]; got != want {
			t.Errorf("magic %x is %q, want %q", magic, got, want)
		}
	}
	for _, local := range []uint32{unix.EXT4_SUPER_MAGIC, unix.TMPFS_MAGIC, unix.V9FS_MAGIC, unix.OCFS2_SUPER_MAGIC} {
		if got := networkFSByMagic[local]; got != "" {
			t.Errorf("magic %x is %q, want none", local, got)
		}
	}
}

func FuzzEntry(f *testing.F) {
	f.Add(appendEntry(nil, entry(7, 3)))
	f.Add(appendEntry(nil, &raft.Log{Extensions: []byte("x")}))
	f.Add(binary.AppendUvarint([]byte{entryVersion, 0, 1, 1, 0, 0}, 1<<63))
	f.Fuzz(func(t *testing.T, code []byte) {
		var l, again raft.Log
		if err := decodeEntryBody(code, &l); err == nil {
			if err := decodeEntry(appendEntry(nil, &l), &again); err != nil || fmt.Sprint(l) != fmt.Sprint(again) {
				t.Fatalf("%+v, written and read again: %+v, %v", l, again, err)
			}
		}
		if s, err := decodeStateBody(code); err == nil {
			if again, err := decodeState(appendState(nil, s)); err != nil || fmt.Sprint(s) != fmt.Sprint(again) {
				t.Fatalf("%+v, written and read again: %+v, %v", s, again, err)
			}
		}
		if err := decodeEntry(appendCRC(code, 0), &l); err != nil && !errors.Is(err, errDamaged) && !errors.As(err, new(versionError)) {
			t.Fatal(err)
		}
	})
}
