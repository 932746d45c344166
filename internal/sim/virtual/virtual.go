// Package virtual runs tests in virtual time (testing/synctest), on one processor.
//
// On more than one processor Go's race detector crashes: to it, two goroutines of a bubble that
// look at due timers at the same time are one goroutine (runtime, timer.unlockAndRun: all timers of
// a bubble share a race context; go1.26.8). One processor is also cheaper, and makes the same seed
// do the same more often.
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
