package worker

import (
	"os"
	"sync"
	"time"
)

// What a run prints is in memory, and none of the limits of a process counts it.
const (
	floodLimit = 4 << 20
	floodPace  = 20 * time.Millisecond // at first
	floodRest  = 100 * time.Millisecond
)

// guardFlood calls end when one of the files has become too long, unless stop was called before.
func guardFlood(end func(), files ...*os.File) (stop func()) {
	var mu sync.Mutex
	over := false
	mu.Lock()
	defer mu.Unlock()
	var t *time.Timer
	pace := floodPace
	t = time.AfterFunc(floodPace, func() {
		mu.Lock()
		defer mu.Unlock()
		for _, f := range files {
			if over {
				return
			}
			if info, err := f.Stat(); err == nil && info.Size() > floodLimit {
				over = true
				go end() // it may call stop
			}
		}
		pace = min(2*pace, floodRest)
		t.Reset(pace)
	})
	return func() {
		t.Stop()
		mu.Lock()
		defer mu.Unlock()
		over = true
	}
}
