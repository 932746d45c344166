package script

import (
	"strings"

	"golang.org/x/sys/unix"
)

// spaces are those of attributes that a cgroup can have: root's, and since Linux 5.7 everybody's.
var spaces = []string{"trusted.", "user."}

// nameGroup notes at a cgroup of which group of clinit its command is, if the environment tells: the first word of that is the daemon's.
func nameGroup(dir string, env []string) {
	for _, v := range env {
		if name, found := strings.CutPrefix(v, "GROUP="); found {
			for _, space := range spaces {
				if unix.Setxattr(dir, space+groupXattr, []byte(name), 0) == nil {
					return
				}
			}
			return
		}
	}
}

// groupOf is what nameGroup has noted.
func groupOf(dir string) string {
	name := make([]byte, 4096)
	for _, space := range spaces {
		if n, err := unix.Getxattr(dir, space+groupXattr, name); err == nil {
			return string(name[:n])
		}
	}
	return ""
}
