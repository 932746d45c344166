package store

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// NetworkFS says whether dir is on a file system of the network, and which. What is written there
// may not be there when it matters, and its locks may be lost. (A cluster file system on a shared
// disk is none.)
func NetworkFS(dir string) (string, bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return "", false
	}
	name, ok := networkFSByMagic[uint32(st.Type)] // 32 bits, whatever the type of the field
	return name, ok
}

var networkFSByMagic = map[uint32]string{
	unix.NFS_SUPER_MAGIC:  "nfs",
	unix.SMB_SUPER_MAGIC:  "smb",
	unix.CIFS_SUPER_MAGIC: "cifs",
	unix.SMB2_SUPER_MAGIC: "smb2",
	unix.CEPH_SUPER_MAGIC: "ceph",
	unix.AFS_SUPER_MAGIC:  "afs",
	unix.AFS_FS_MAGIC:     "afs",
}

// FileOf is the id of the file at path.
func FileOf(path string) (FileID, error) {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_INO|unix.STATX_BTIME, &st)
	if errors.Is(err, unix.ENOSYS) { // Linux before 4.11
		var old unix.Stat_t
		err = unix.Stat(path, &old)
		st.Ino = old.Ino
	}
	if err != nil {
		return FileID{}, fmt.Errorf("cannot look at %s: %w", path, err)
	}
	id := FileID{Inode: st.Ino}
	if st.Mask&unix.STATX_BTIME != 0 {
		id.Born = st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
	}
	return id, nil
}

// limitMemory bounds the memory of this process: by what it has now, and as many bytes as more says.
func limitMemory(more int64) error {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return err
	}
	var pages uint64
	if _, err := fmt.Sscan(string(text), &pages); err != nil {
		return err
	}
	limit := pages*uint64(os.Getpagesize()) + uint64(more)
	return unix.Setrlimit(unix.RLIMIT_AS, &unix.Rlimit{Cur: limit, Max: limit})
}
