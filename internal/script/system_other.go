//go:build !linux

package script

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// becomeReaper fails here, so that there is no Runner and no Guard: a package's processes could
// escape unseen from those who must kill them.
func becomeReaper() error {
	return errors.New("cannot keep hold of what scripts leave running on this system: that needs Linux")
}

// The rest serves a Runner or a Guard, and neither exists here.

const anyChild = 0

func (c *cgroup) inside(attr syscall.SysProcAttr, _ *os.File) *syscall.SysProcAttr { return &attr }

func endWithParent(attr syscall.SysProcAttr) syscall.SysProcAttr { return attr }

func (p proc) signal(...unix.Signal) {}

func awaitEnd(int) int { return 255 }

func isNear(home, path string) bool { return strings.HasPrefix(path, home+"/") }

func zombie() int { return 0 }

func beingWritten(*os.File) bool { return true }

func isFull(*os.File) bool { return false }

var began = time.Now()

func now() time.Duration { return time.Since(began) }

// DetachMounts detaches nothing.
func DetachMounts(_, _ []string) {}
