package journal

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"backtowork/internal/sim/virtual"
)

func TestRepeats(t *testing.T) {
	virtual.Test(t, func(t *testing.T) {
		var out strings.Builder
		begin := time.Now()
		log := Log(func(l Line) {
			fmt.Fprintf(&out, "%v %s\n", l.Time.Sub(begin), strings.ReplaceAll(l.Words(), begin.Format(time.DateTime), "BEGIN"))
		}).Logger(Info)
		var r Repeats
		bad := func(who string) { r.Tell(log, Warning, who, who+" is silent", "reason", "no answer") }
		well := func(who string) { r.TellOver(log, who, who+" answers again") }
		check := func(want string) {
			t.Helper()
			if got := out.String(); got != want {
				t.Errorf("told\n%swant\n%s", got, want)
			}
			out.Reset()
		}
		well("h1") // it never was silent
		for range 21*60 + 1 {
			bad("h1")
			time.Sleep(time.Second)
		}
		bad("h2") // has nothing to do with it
		well("h1")
		well("h1")
		check("0s h1 is silent (reason=no answer)\n" +
			"10m0s h1 is silent (reason=no answer, more=599, since=BEGIN)\n" +
			"20m0s h1 is silent (reason=no answer, more=599, since=BEGIN)\n" +
			"21m1s h2 is silent (reason=no answer)\n" +
			"21m1s h1 answers again (after=21m1s)\n")

		time.Sleep(time.Hour) // another time: it is told at once
		bad("h1")
		check("1h21m1s h1 is silent (reason=no answer)\n")
	})
}

// What comes and goes all the time is told a few times in ten minutes.
func TestRepeatsOfWhatSwings(t *testing.T) {
	virtual.Test(t, func(*testing.T) {
		told := 0
		var r Repeats
		for range 60 * 60 {
			if _, tell := r.Again("h1"); tell {
				told++
			}
			time.Sleep(time.Second)
			if _, tell := r.Over("h1"); tell {
				told++
			}
		}
		if told < 2*6 || told > 9*6 {
			t.Errorf("%d lines in an hour", told)
		}
	})
}

// Strangers that came once do not fill the memory.
func TestRepeatsForget(t *testing.T) {
	virtual.Test(t, func(t *testing.T) {
		var r Repeats
		for i := range 10000 {
			r.Again(fmt.Sprint(i))
			time.Sleep(time.Minute)
		}
		if len(r.all) > 200 {
			t.Errorf("%d are remembered", len(r.all))
		}
	})
}
