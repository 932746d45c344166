package failover

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func numbers(pace, timeout, start, stop, priority int) Params {
	s := func(n int) time.Duration { return time.Duration(n) * time.Second }
	return Params{Pace: s(pace), Timeout: s(timeout), StartTimeout: s(start), StopTimeout: s(stop), Priority: s(priority)}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	fenced := numbers(4, 30, 30, 30, 0)
	fenced.Fence, fenced.FenceTimeout = "ilo4", time.Minute
	restarts := numbers(4, 30, 30, 30, 0)
	restarts.Retries = 2
	for name, row := range map[string]struct {
		p    Params
		want Bounds // in milliseconds
	}{
		"a fence that hangs, begun in the last moment": {
			fenced,
			Bounds{
				Crash: 90_600 + 66_000, LeaderCrash: 94_600 + 66_000, HandOver: 64_500, CutOff: 60_000,
				Ends: 68_500, Hangs: 100_000, LostStop: 28_000, Margin: 540, Apart: 0.01,
			},
		},
		"restarts in place": {
			restarts,
			Bounds{
				Crash: 90_600, LeaderCrash: 94_600, HandOver: 64_500, CutOff: 60_000,
				Ends: 68_500 + 2*67_500, Hangs: 100_000 + 2*67_500, LostStop: 28_000, Margin: 540, Apart: 0.01,
			},
		},
		"the defaults": {
			numbers(4, 30, 30, 30, 0),
			Bounds{
				Crash: 30_000 + 30_000 + 600 + 30_000, LeaderCrash: 4000 + 30_000 + 30_000 + 600 + 30_000,
				HandOver: 30_000 + 1500 + 2000 + 1000 + 30_000, CutOff: 60_000,
				Ends: 4000 + 64_500, Hangs: 4000 + 30_000 + 1500 + 64_500,
				LostStop: 28_000, Margin: 600 - 60, Apart: 0.01,
			},
		},
		"a lock that another node leaves to others, when it is free": {
			numbers(4, 30, 30, 30, 10),
			Bounds{
				Crash: 90_600, LeaderCrash: 94_600, HandOver: 74_500, CutOff: 60_000,
				Ends: 78_500, Hangs: 110_000, LostStop: 28_000, Margin: 540, Apart: 0.01,
			},
		},
		"the least margin, and a kill that eats of it": {
			numbers(1, 20, 5, 5, 0),
			Bounds{
				Crash: 30_500, LeaderCrash: 34_500, HandOver: 5000 + 1500 + 625 + 1000 + 1000 + 5000, CutOff: 25_000,
				Ends: 15_125, Hangs: 1000 + 20_000 + 1500 + 14_125,
				LostStop: 3750, Margin: 500 - 25 - 375, Apart: 0.005,
			},
		},
		"a stop too short to kill in": {
			numbers(1, 10, 5, 2, 0),
			Bounds{
				Crash: 17_500, LeaderCrash: 21_500, HandOver: 2000 + 1500 + 250 + 1000 + 1000 + 5000, CutOff: 12_000,
				Ends: 11_750, Hangs: 1000 + 10_000 + 1500 + 10_750,
				LostStop: 1500, Margin: 500 - 12 - 750, Apart: -0.25 / 12,
			},
		},
		"days": {
			numbers(60, 86_400, 60, 8, 0),
			Bounds{
				Crash: 87_332_080, LeaderCrash: 87_336_080, HandOver: 8000 + 1500 + 2000 + 1000 + 60_000, CutOff: 86_408_000,
				Ends: 132_500, Hangs: 60_000 + 86_400_000 + 1500 + 72_500,
				LostStop: 6000, Margin: 864_080 - 86_408, Apart: 0.01,
			},
		},
	} {
		got, want := row.p.Bounds(), row.want
		if math.Abs(got.Apart-want.Apart) > 1e-9 {
			t.Errorf("%s: clocks may be apart by %v, want %v", name, got.Apart, want.Apart)
		}
		got.Apart, want.Apart = 0, 0
		for _, d := range []*time.Duration{
			&want.Crash, &want.LeaderCrash, &want.HandOver, &want.CutOff, &want.Ends, &want.Hangs, &want.LostStop, &want.Margin,
		} {
			*d *= time.Millisecond
		}
		if got != want {
			t.Errorf("%s: Bounds() = %+v, want %+v", name, got, want)
		}
	}
}

// Where the margin is positive, there is one: a holder whose clock is slow, a leader whose clock
// is fast, and a process that takes its second to die. Just where it is not, there is none.
func TestMarginHolds(t *testing.T) {
	t.Parallel()
	rows := map[bool]int{}
	for timeout := 1; timeout <= 200; timeout++ {
		for stop := 1; stop <= 40; stop++ {
			p := numbers(1, timeout, 10, stop, 0)
			k := p.killGrace()
			leases := p.times()
			const off = 0.5 / drift // of each of the two
			sigkill := float64(leases.Timeout+leases.Stop-k/2) / (1 - off)
			gone := max(sigkill+float64(dying), float64(leases.Timeout+leases.Stop)/(1-off))
			granted := float64(leases.Silence()) / (1 + off)
			margin := p.Bounds().Margin
			apart := granted - gone
			if math.Abs(apart-float64(margin)) > float64(2*time.Millisecond) {
				t.Errorf("timeout %d, stop_timeout %d: margin %v, but %v is between the last end and the grant", timeout, stop, margin, time.Duration(apart))
			}
			rows[margin > 0]++
		}
	}
	if rows[true] == 0 || rows[false] == 0 {
		t.Errorf("%d with a margin and %d without: want some of both", rows[true], rows[false])
	}
}

func TestDoubts(t *testing.T) {
	t.Parallel()
	const overlap = "no overlap: not guaranteed if cut off and the stop fails"
	guarded := func(p Params) Params { p.SelfFence = true; return p }
	fenced := numbers(4, 30, 30, 30, 0)
	fenced.Fence, fenced.FenceRequired = "ilo4", true
	merely := fenced
	merely.FenceRequired = false
	for name, row := range map[string]struct {
		p      Params
		status time.Duration
		want   []string // how the doubts begin
	}{
		"the defaults":               {numbers(4, 30, 30, 30, 0), 0, []string{overlap}},
		"self_fence":                 {guarded(numbers(4, 30, 30, 30, 0)), 0, nil},
		"fence_required":             {fenced, 0, nil},
		"a fence that may fail":      {merely, 0, []string{overlap}},
		"a start longer than a hang": {guarded(numbers(4, 30, 600, 30, 0)), 0, nil},
		"pace, a third":              {guarded(numbers(10, 30, 30, 30, 0)), 0, nil},
		"pace, more":                 {guarded(numbers(11, 30, 30, 30, 0)), 0, []string{"pace (11s) is longer than a third of timeout (30s)"}},
		"pace, more than timeout":    {guarded(numbers(31, 30, 30, 30, 0)), 0, nil}, // Warnings says it
		"status, half":               {guarded(numbers(4, 30, 30, 30, 0)), 15 * time.Second, nil},
		"status, more":               {guarded(numbers(4, 30, 30, 30, 0)), 15_210 * time.Millisecond, []string{"status took 15.2s here, more than half of timeout (30s)"}},
		"status, too long":           {guarded(numbers(4, 30, 30, 30, 0)), 30 * time.Second, []string{"status did not answer within timeout (30s)"}},
		"stop 1":                     {guarded(numbers(4, 30, 30, 1, 0)), 0, []string{"stop_timeout (1s) is below 2s: when the lock is lost, the stop script has only 750ms."}},
		"stop 2":                     {guarded(numbers(4, 30, 30, 2, 0)), 0, []string{"stop_timeout (2s) is below 8s: when the lock is lost, what is killed has only 250ms"}},
		"stop 7":                     {guarded(numbers(4, 30, 30, 7, 0)), 0, []string{"stop_timeout (7s) is below 8s: when the lock is lost, what is killed has only 875ms"}},
		"stop 8":                     {guarded(numbers(4, 30, 30, 8, 0)), 0, nil},
	} {
		got := slices.Concat(row.p.Doubts(row.status), row.p.Overlaps(false))
		if !slices.EqualFunc(got, row.want, func(line, begins string) bool { return strings.HasPrefix(line, begins) }) {
			t.Errorf("%s: Doubts() = %q, want %q", name, got, row.want)
		}
	}
	if got := numbers(4, 30, 30, 30, 0).Overlaps(true); len(got) > 0 {
		t.Errorf("with a hardware watchdog: Overlaps() = %q", got)
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	// What a script says, and what is made of it, is the same.
	all := says{
		"pace": "6", "timeout": "40", "start_timeout": "20", "stop_timeout": "60", "retries": "3", "adopt": "no", "kill_leftovers": "no",
		"stop_failure": "release", "force_umount": "yes", "self_fence": "reboot", "fence": "ilo4", "fence_required": "yes",
		"fence_timeout": "90", "h1_priority": "3", "kill_unit_0": "a", "kill_unit_1": "b", "vip_ip_0": "10.0.2.12", "fs_dir_0": "/data",
	}
	p, err := ReadParams(t.Context(), all, "h1")
	if err != nil {
		t.Fatal(err)
	}
	all["priority"] = all["h1_priority"]
	delete(all, "h1_priority")
	got := p.Values()
	for name := range all {
		if got[name] != all[name] {
			t.Errorf("%s=%q, want %q", name, got[name], all[name])
		}
	}
	if len(got) != len(all) {
		t.Errorf("Values() = %v, want %v", got, all)
	}
	p, err = ReadParams(t.Context(), says{}, "h1")
	if _, ok := p.Values()["fence"]; ok || err != nil || len(p.Values()) != 10 {
		t.Errorf("Values() of nothing said = %v, %v", p.Values(), err)
	}
}
