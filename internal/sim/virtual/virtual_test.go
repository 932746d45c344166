package virtual

import (
	"sync"
	"testing"
	"time"
)

// Without one processor, and with -race, this is a SIGSEGV within some milliseconds.
func TestTimersThatAreDue(t *testing.T) {
	Test(t, func(t *testing.T) {
		const each = 20000
		var mu sync.Mutex
		due := 0
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range each {
					timer := time.NewTimer(0)
					select {
					case <-timer.C:
						mu.Lock()
						due++
						mu.Unlock()
					default:
					}
				}
			})
		}
		wg.Wait()
		if due != 4*each {
			t.Errorf("%d timers of %d were due", due, 4*each)
		}
	})
}
