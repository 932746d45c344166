package cli

import (
	"context"
	"testing"
	"time"

	"backtowork/internal/conf"
	"backtowork/internal/manager"
)

// A manager may become another program by an upgrade just when it is asked to halt. The new
// program, in the same process, must be asked too.
func TestHaltAsksEachProgram(t *testing.T) {
	t.Parallel()
	home := manager.Home(t.TempDir())
	first, err := home.Take("p", false)
	if err != nil {
		t.Fatal(err)
	}
	deadman, err := home.LockAsDeadman("p") // the package has a deadman all the time
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan manager.Request, 10)
	first.Serve(func(q manager.Request) manager.Answer {
		heard <- q
		return manager.Answer{Run: "first"}
	})
	halted := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go func() {
		h := &halting{site: &site{Site: conf.Site{Home: string(home)}}, name: "p"}
		halted <- h.halt(ctx)
	}()
	for q := range heard {
		if q.What == manager.Halt {
			break
		}
	}
	first.Leave() // and what it heard is gone with it
	next, err := home.Take("p", true)
	if err != nil {
		t.Fatal(err)
	}
	next.Serve(func(q manager.Request) manager.Answer {
		if q.What == manager.Halt {
			_ = deadman.Close()
			go next.Remove()
		}
		return manager.Answer{Run: "next"}
	})
	if err := <-halted; err != nil {
		t.Error(err)
	}
}
