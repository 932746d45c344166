// Package virtual runs tests in virtual time (testing/synctest), on one processor.
//
// On more than one the race detector of Go crashes: two goroutines of a bubble that look at timers that
// are due are one goroutine to it, at the same time (runtime, timer.unlockAndRun: all timers of a bubble share
// a race context; go1.26.8). One processor is cheaper too, and the same seed does the same more often.
package virtual

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
)

// The process stays at one: other tests may be in a bubble when this one ends.
var oneProcessor = sync.OnceFunc(func() { runtime.GOMAXPROCS(1) })

// Test is [synctest.Test].
func Test(t *testing.T, f func(*testing.T)) {
	t.Helper()
	oneProcessor()
	synctest.Test(t, f)
}
