package worker

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	busyMemory = 160 << 20 // bytes of heap at which it collects garbage all the time: more than the files of 1,000 packages take
	maxMemory  = 256 << 20 // bytes that it has of the system at most
	maxStack   = 32 << 20  // bytes of one goroutine
	maxFiles   = 2048      // open at a time
	limitPace  = 100 * time.Millisecond
)

// Limit has this process end, with a line to say, when a script makes it take too much. (Limits of the system's, as
// setrlimit sets them, would be inherited by the programs that scripts call.) It ends with who has started it, too, even while it is stopped
// and cannot notice.
func Limit(say io.Writer) {
	runtime.GOMAXPROCS(1) // runs are short: to wake a thread for each costs more than they do
	endWithParent()
	limit(func(why string) {
		fmt.Fprintf(say, "back-to-work: the worker ends: %s. another is started when one is needed.\n", why)
		os.Exit(1)
	})
}

// limit calls over, with the reason, while this process has too much.
func limit(over func(why string)) {
	debug.SetMemoryLimit(busyMemory)
	debug.SetMaxStack(maxStack)
	go func() {
		for range time.Tick(limitPace) {
			if why := tooMuch(); why != "" {
				over(why)
			}
		}
	}()
}

// tooMuch says of what this process has too much.
func tooMuch() string {
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(sample)
	if has := sample[0].Value.Uint64() - sample[1].Value.Uint64(); has > maxMemory {
		return fmt.Sprintf("it has %d MB of memory", has>>20)
	}
	if open, err := os.ReadDir("/proc/self/fd"); err == nil && len(open) > maxFiles {
		return fmt.Sprintf("it has %d files open", len(open))
	}
	return ""
}
