package manager

import (
	"testing"
	"time"

	"backtowork/internal/lease"
)

// deaf is a watchdog process that hears nothing, until it is let.
type deaf chan struct{}

func (deaf) Hold(string, lease.Time, time.Duration) {}
func (deaf) Clear(string)                           {}
func (d deaf) Flush(time.Duration)                  { <-d }

// A flock is a file lock.
type flock chan struct{}

func (f flock) Close() error {
	close(f)
	return nil
}

// A watchdog process that does not hear keeps the deadman from nothing: the kill end of another package may come
// in that second. Nor is a package let go of before it was told.
func TestLetGoDoesNotWait(t *testing.T) {
	t.Parallel()
	w, f := make(deaf), make(flock)
	d := &deadmanProcess{DeadmanConfig: DeadmanConfig{Watchdog: w}, packages: map[string]*watched{"p": {scripts: &scripted{}, flock: f}}}
	did := make(chan struct{})
	go func() {
		d.LetGo("p", true)
		close(did)
	}()
	select {
	case <-did:
	case <-time.After(5 * time.Second):
		t.Fatal("it waits for the watchdog process")
	}
	select {
	case <-f:
		t.Error("the package is let go of before the watchdog process has heard")
	default:
	}
	close(w)
	d.begins.Wait()
	<-f
}
