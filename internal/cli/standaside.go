package cli

import (
	"os"
	"slices"
	"strings"
	"syscall"

	"backtowork/internal/script"
)

// standing is the commands that run beside packages, whoever calls them.
var standing = []string{"back-to-work", "deadman", "dex-server", "watchdog"}

// standAside makes this process itself again with an environment that says what it is, and without
// what a package's script may have left there. What a process says of itself is read by others in
// the environment that it began with, so it has to begin anew. It returns where that fails.
func standAside(name string) {
	if os.Getenv("BTW_ACTION") != "" {
		_ = syscall.Setpgid(0, 0) // the group of the script that called it is killed as one; else it leads a session
	}
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		variable, _, _ := strings.Cut(v, "=")
		return slices.Contains(script.Marks, variable)
	})
	_ = syscall.Exec("/proc/self/exe", os.Args, append(env, script.AsideMark+"="+name))
}
