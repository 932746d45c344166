package cli

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// forgetPages takes the pages of the program's file out of this process's memory: most were needed to start, and
// those that are needed come back from the page cache. Only what nobody can write to, and nobody has, is forgotten.
func forgetPages() {
	text, _ := os.ReadFile("/proc/self/smaps")
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	var from, to uintptr
	ours := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		var first, end uintptr
		var perms string
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &first, &end, &perms); n == 3 {
			from, to = first, end
			ours = strings.HasSuffix(line, " "+exe) && strings.HasPrefix(perms, "r-")
		}
		name, value, _ := strings.Cut(line, ":")
		if ours && name == "Anonymous" && strings.TrimSpace(value) == "0 kB" {
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED)
		}
	}
}
