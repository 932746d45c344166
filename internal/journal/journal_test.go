package journal

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"backtowork/internal/sim/virtual"
)

// The shape of each kind of line, to the byte: people's scripts read them.
func TestShape(t *testing.T) {
	virtual.Test(t, func(t *testing.T) {
		zone := time.FixedZone("", 2*60*60)
		var out, named strings.Builder
		all := To(&out).Both(Named(&named))
		local := Log(func(l Line) { // a test's clock has no zone of its own
			l.Time = l.Time.In(zone)
			all(l)
		})
		log := local.Of("p")
		log.Info("package state changes to running.")
		log.Warning("pace is long.")
		log.Error("lock lost.")
		log.By("deadman").Info("stopping package p.")
		log.By("deadman").Error("cannot.")
		log.Plain(Warning, "Warning: in the original's words.")
		logger := log.Logger(Info)
		logger.Debug("not told")
		logger.Info("two facts", "server", "h1", "reason", errors.New("no route"))
		logger.Warn("no fact")
		log.Logger(Debug).LogAttrs(t.Context(), Debug, "a duration", slog.Duration("took", time.Second))
		const date = "Sat Jan  1 02:00:00 +02:00 2000 "
		want := []string{
			"package state changes to running.",
			"warning: pace is long.",
			"error: lock lost.",
			"deadman: stopping package p.",
			"deadman: error: cannot.",
			"Warning: in the original's words.",
			"two facts (server=h1, reason=no route)",
			"no fact",
			"a duration (took=1s)",
		}
		lines := func(prefix string) string { return prefix + date + strings.Join(want, "\n"+prefix+date) + "\n" }
		if got := out.String(); got != lines("") {
			t.Errorf("To wrote\n%swant\n%s", got, lines(""))
		}
		if got := named.String(); got != lines("p: ") {
			t.Errorf("Named wrote\n%swant\n%s", got, lines("p: "))
		}
	})
}
