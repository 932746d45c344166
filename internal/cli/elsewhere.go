package cli

import (
	"fmt"
	"slices"
	"strings"

	"backtowork/internal/applet"
	"backtowork/internal/command"
)

// elsewhere names the commands that work on systems other than Linux too, beside the applets: they
// only ask the lock servers, or write configuration. All other commands need what only Linux has:
// its clocks to time a lease, and pidfds and /proc to find and kill for certain what is left of a
// package.
var elsewhere = []string{"dex-previous", "dex-servers", "dex-show", "dex-wait", "keygen", "set-shell"}

// refusedOn is why the command called name does nothing on a system, as runtime.GOOS names it; nil where it works.
func refusedOn(system, name string) error {
	if system == "linux" || slices.Contains(elsewhere, name) || command.Find(applet.Commands(), name) != nil {
		return nil
	}
	return command.WithHint(fmt.Errorf("this system (%s) cannot run packages, hold locks or serve them: that needs Linux", system),
		"what works here: %s, and the small tools that scripts use", strings.Join(elsewhere, ", "))
}
