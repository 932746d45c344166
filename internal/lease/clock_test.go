package lease

import (
	"testing"
	"testing/synctest"
	"time"

	"backtowork/internal/sim/virtual"
)

func TestBothClocks(t *testing.T) {
	t.Parallel()
	s := Time{boot: 100 * time.Second, raw: 90 * time.Second}
	for _, row := range []struct {
		name              string
		now               Time
		longest, shortest time.Duration
	}{
		{"same rate", Time{110 * time.Second, 100 * time.Second}, 10 * time.Second, 10 * time.Second},
		{"suspended: raw stood still", Time{160 * time.Second, 91 * time.Second}, 60 * time.Second, time.Second},
		{"boot slewed slower", Time{109 * time.Second, 100 * time.Second}, 10 * time.Second, 9 * time.Second},
	} {
		if got := row.now.Longest(s); got != row.longest {
			t.Errorf("%s: Longest = %v, want %v", row.name, got, row.longest)
		}
		if got := row.now.Shortest(s); got != row.shortest {
			t.Errorf("%s: Shortest = %v, want %v", row.name, got, row.shortest)
		}
		if got := s.Add(30 * time.Second).Left(row.now); got != 30*time.Second-row.longest {
			t.Errorf("%s: Left = %v, want %v", row.name, got, 30*time.Second-row.longest)
		}
	}
}

func TestScaledRunsAtItsRate(t *testing.T) {
	virtual.Test(t, func(t *testing.T) {
		c := Scaled(2)
		begin, fired := time.Now(), time.Duration(0)
		c.AfterFunc(10*time.Second, func() { fired = time.Since(begin) })
		stop := c.AfterFunc(4*time.Second, func() { t.Error("a stopped timer fired") })
		stop()
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if fired != 5*time.Second {
			t.Errorf("10 s at rate 2 took %v, want 5s", fired)
		}
		if got := c.Now().Longest(Time{}); got != 12*time.Second {
			t.Errorf("the clock shows %v after 6 s, want 12s", got)
		}
	})
}

// A deadline that is looked at again when its timer fires must be reached in the end: a timer
// rounded down to no time at all fires for ever, at the same moment.
func TestScaledReachesItsDeadline(t *testing.T) {
	virtual.Test(t, func(t *testing.T) {
		c := Scaled(1.01)
		end, looks := c.Now().Add(40*time.Second), 0
		var look func()
		look = func() {
			if looks++; end.Left(c.Now()) > 0 && looks < 10 {
				At(c, end, look)
			}
		}
		look()
		time.Sleep(time.Minute)
		synctest.Wait()
		if looks >= 10 {
			t.Error("the deadline is not reached")
		}
	})
}
