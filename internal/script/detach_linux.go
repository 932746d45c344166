package script

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// DetachMounts takes what is mounted at dirs out of sight, whoever still uses it (umount -l). It
// is the last means against a mount that would keep a package from being down; what was written
// to it may reach its disk later. With sources, the package's devices, what is not one of them
// stays, and all below it: it may be this host's own. No file system is looked into: it may hang.
func DetachMounts(dirs, sources []string) {
	for _, dir := range dirs {
		for range 10 { // mounts on top of one another
			if len(sources) > 0 && !mountedAt(dir).isOf(sources) || unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) != nil {
				break
			}
		}
	}
}

// A mount is what /proc/self/mountinfo says of one.
type mount struct {
	device       uint64
	root         string // of its file system, the directory that is mounted
	source, kind string
}

// mountedAt is what is mounted at dir, the last of several; the zero mount if nothing is, or nobody knows.
func mountedAt(dir string) (m mount) {
	if parent, err := filepath.EvalSymlinks(filepath.Dir(dir)); err == nil {
		dir = filepath.Join(parent, filepath.Base(dir))
	}
	data, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range bytes.Lines(data) {
		before, after, _ := strings.Cut(string(line), " - ")
		head, tail := strings.Fields(before), strings.Fields(after)
		if len(head) < 6 || len(tail) < 2 || unescape.Replace(head[4]) != dir {
			continue
		}
		var major, minor uint32
		_, _ = fmt.Sscanf(head[2], "%d:%d", &major, &minor)
		m = mount{unix.Mkdev(major, minor), unescape.Replace(head[3]), unescape.Replace(tail[1]), tail[0]}
	}
	return m
}

// isOf says whether it is known to be one of sources.
func (m mount) isOf(sources []string) bool {
	return m.kind != "" && slices.ContainsFunc(sources, m.is)
}

// is says whether it is the source, as a package's script says it (see fs.Linux).
func (m mount) is(source string) bool {
	if bare(m.source) == bare(source) {
		return true
	}
	path := source
	for by, dir := range map[string]string{"UUID=": "uuid", "LABEL=": "label", "PARTUUID=": "partuuid", "PARTLABEL=": "partlabel"} {
		if name, ok := strings.CutPrefix(source, by); ok {
			path = "/dev/disk/by-" + dir + "/" + name
			if _, err := os.Stat(filepath.Dir(path)); err != nil { // nobody makes these links here: it may be ours
				return true
			}
		}
	}
	isDevice := strings.HasPrefix(m.source, "/dev/")
	switch {
	case strings.HasPrefix(path, "/dev/"):
		device, err := deviceOf(path)
		if err != nil { // then it is ours if its device is gone too
			_, err = os.Lstat(m.source)
			return isDevice && err != nil
		}
		its, err := deviceOf(m.source) // btrfs has other numbers in mountinfo
		return device == m.device || isDevice && err == nil && device == its
	case strings.HasPrefix(m.kind, "fuse"):
		return true // it shows what it likes
	case m.kind == "ceph": // addresses for names
		return pathOf(m.source) == pathOf(source)
	case !filepath.IsAbs(source):
		return false
	}
	if m.root != "/" && strings.HasSuffix(source, m.root) { // a directory that is bound
		return true
	}
	image, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(m.source), "loop/backing_file"))
	return isDevice && err == nil && strings.TrimSuffix(string(image), "\n") == source
}

// deviceOf is the number of a block device.
func deviceOf(path string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return 0, unix.ENOTBLK
	}
	return st.Rdev, nil
}

// bare is a name without the slash at its end, and server:dir as server:/dir.
func bare(source string) string {
	source = strings.TrimSuffix(source, "/")
	if server, dir, ok := strings.Cut(source, ":"); ok && !strings.HasPrefix(source, "/") && !strings.HasPrefix(dir, "/") {
		return server + ":/" + dir
	}
	return source
}

// pathOf is what follows the last colon.
func pathOf(source string) string { return source[strings.LastIndex(source, ":")+1:] }
