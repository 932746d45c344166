package cli

import (
	"slices"
	"testing"

	"backtowork/internal/applet"
)

// On a system on which the rules of doc/SAFETY.md cannot be kept, only what cannot break them does anything.
func TestRefusedOn(t *testing.T) {
	t.Parallel()
	works := slices.Clone(elsewhere)
	for _, c := range applet.Commands() {
		works = append(works, c.Names...)
	}
	for _, name := range works {
		if !slices.Contains(Names(), name) {
			t.Errorf("there is no command %s", name)
		}
	}
	for _, name := range Names() {
		if err := refusedOn("linux", name); err != nil {
			t.Errorf("%s on linux: %v", name, err)
		}
		if err := refusedOn("openbsd", name); (err == nil) != slices.Contains(works, name) {
			t.Errorf("%s on openbsd: %v", name, err)
		}
	}
	for _, name := range []string{"back-to-work", "btwctl", "deadman", "dex-exec", "dex-lock", "dex-release", "dex-server", "service", "watchdog"} {
		if refusedOn("darwin", name) == nil {
			t.Errorf("%s would do something on darwin", name)
		}
	}
}
