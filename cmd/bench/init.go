package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// initCommand is the measurement of clinit, beside supervisord and runit.
const initCommand = "clinit"

const (
	initLimit   = 3 * time.Minute // until all entries run, or have ended
	initSettle  = 1500 * time.Millisecond
	initRespawn = 11 // processes that are killed, one after the other
)

// An initRun is what is to be measured.
type initRun struct {
	dir    string
	rounds int
	window time.Duration // at rest
	loaded bool          // and many clients at a time
	counts []int         // of entries
}

// measureInit measures clinit, and beside it what of supervisord and runit is here.
func measureInit(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench "+initCommand, flag.ContinueOnError)
	dir := flags.String("dir", "temp", "")
	counts := flags.String("n", "10,100,2000", "")
	r := initRun{loaded: true}
	flags.IntVar(&r.rounds, "rounds", 3, "")
	flags.DurationVar(&r.window, "window", time.Minute, "")
	flags.BoolVar(&r.loaded, "load", true, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	for word := range strings.SplitSeq(*counts, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 2 {
			return fmt.Errorf("-n wants numbers of entries from 2 on, with commas: %q", *counts)
		}
		r.counts = append(r.counts, n)
	}
	err := os.MkdirAll(*dir, 0o755)
	if err != nil {
		return err
	}
	if r.dir, err = filepath.Abs(*dir); err != nil {
		return err
	}
	if r.dir, err = os.MkdirTemp(r.dir, "bench-*"); err != nil {
		return err
	}
	defer os.RemoveAll(r.dir)
	return r.measure(ctx)
}

func (r initRun) measure(ctx context.Context) error {
	before, began := busyOrZero(), time.Now()
	for _, n := range r.counts {
		if err := r.beside(ctx, n); err != nil {
			return fmt.Errorf("%d entries: %w", n, err)
		}
	}
	if r.loaded {
		if err := r.underLoad(ctx); err != nil {
			return fmt.Errorf("many clients: %w", err)
		}
	}
	took := time.Since(began)
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("\n%.0f s; %d CPUs, busy for %.0f %% of the time in all, load average at the end %s\n", took.Seconds(),
		runtime.NumCPU(), 100*float64(busyOrZero()-before)/float64(took)/float64(runtime.NumCPU()), strings.TrimSpace(string(load)))
	return nil
}

func busyOrZero() time.Duration {
	t, _ := busyTime()
	return t
}

// beside measures n entries by all that are here, in turns, and prints what came out.
func (r initRun) beside(ctx context.Context, n int) error {
	var all []*initSide
	defer func() {
		for _, s := range all {
			s.end()
		}
	}()
	for _, s := range initSides(n) {
		if missing := s.missing(); missing != "" {
			fmt.Printf("\n%s is not compared with: %s is missing here (apt-get install %s)\n", s.name, missing, s.pkg)
			continue
		}
		if err := s.prepare(filepath.Join(r.dir, fmt.Sprintf("%s-%d", s.name, n))); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		all = append(all, s)
	}
	measured := make([][]values, len(all))
	for round := range r.rounds {
		order := make([]int, len(all))
		for i := range order {
			order[i] = i
		}
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, i := range order {
			v, err := all[i].round(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", all[i].name, err)
			}
			measured[i] = append(measured[i], v)
			if round < r.rounds-1 {
				all[i].end()
			}
		}
		fmt.Fprintf(os.Stderr, "bench: %d entries, round %d of %d\n", n, round+1, r.rounds)
	}
	if err := atRest(ctx, all, measured, r.window); err != nil {
		return err
	}
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = s.name
	}
	fmt.Printf("\n%d entries\n\n", n)
	return compareBy(os.Stdout, initFigures(), names, "clinit / best of the others", measured)
}

// atRest measures all sides at the same time, while none has anything to do.
func atRest(ctx context.Context, all []*initSide, measured [][]values, window time.Duration) error {
	if err := sleep(ctx, initSettle); err != nil {
		return err
	}
	before := make([]time.Duration, len(all))
	for i, s := range all {
		before[i] = s.cpu()
	}
	if err := sleep(ctx, window); err != nil {
		return err
	}
	for i, s := range all {
		v := measured[i][len(measured[i])-1]
		v["CPU at rest, s a minute"] = (s.cpu() - before[i]).Seconds() * time.Minute.Seconds() / window.Seconds()
		var rssAll, pssAll float64
		for _, pid := range s.supervisors() {
			rss, pss, err := residentSet(pid)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			rssAll, pssAll = rssAll+rss, pssAll+pss
		}
		v["RSS of what supervises, MB"], v["PSS of what supervises, MB"] = rssAll, pssAll
		v["RSS per entry, kB"], v["PSS per entry, kB"] = 1024*rssAll/float64(s.n), 1024*pssAll/float64(s.n)
		v["processes that supervise"] = float64(len(s.supervisors()))
	}
	return nil
}

func initFigures() []figure {
	return []figure{
		{name: "from nothing to all running, ms", atMost: 1},
		{name: "CPU of what supervises until then, ms"},
		{name: "tell to all running, ms", atMost: 1},
		{name: "CPU of what supervises for it, ms"},
		{name: "told what is so already, ms"},
		{name: "half of them to stop, ms"},
		{name: "all to stop, ms"},
		{name: "respawn of one that was killed, p50 ms"},
		{name: "respawn of one that was killed, max ms"},
		{name: "CPU at rest, s a minute"},
		{name: "processes that supervise"},
		{name: "RSS of what supervises, MB"},
		{name: "PSS of what supervises, MB"},
		{name: "RSS per entry, kB", atMost: 1},
		{name: "PSS per entry, kB"},
	}
}

// round measures one round. All run at its end.
func (s *initSide) round(ctx context.Context) (v values, err error) {
	v = values{}
	s.seen.begin()
	began := time.Now()
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	if err := s.seen.wait(ctx, s.n); err != nil {
		return nil, err
	}
	v["from nothing to all running, ms"] = millis(time.Since(began))
	v["CPU of what supervises until then, ms"] = millis(s.cpu())
	if err := sleep(ctx, initSettle); err != nil { // runsv begins none again that has run for less than a second
		return nil, err
	}
	if err := s.respawns(ctx, v); err != nil {
		return nil, err
	}
	for _, what := range []struct {
		figure string
		args   func() [][]string
		left   int
	}{
		{"told what is so already, ms", s.same, s.n},
		{"half of them to stop, ms", s.half, s.n - s.n/2},
		{"all to stop, ms", s.none, 0},
	} {
		began := time.Now()
		if err := s.command(ctx, what.args()); err != nil {
			return nil, err
		}
		v[what.figure] = millis(time.Since(began))
		if left := len(s.running()); left != what.left {
			return nil, fmt.Errorf("%s: then %d run instead of %d", what.figure, left, what.left)
		}
	}
	s.seen.begin()
	began, cpu := time.Now(), s.cpu()
	told := make(chan error, 1)
	go func() { told <- s.command(ctx, s.all()) }()
	err = s.seen.wait(ctx, s.n)
	v["tell to all running, ms"] = millis(time.Since(began))
	v["CPU of what supervises for it, ms"] = millis(s.cpu() - cpu)
	return v, errors.Join(err, <-told)
}

// respawns measures how long it takes until a process that was killed is there again.
func (s *initSide) respawns(ctx context.Context, v values) error {
	var times []time.Duration
	pids := s.running()
	for i := range initRespawn {
		name := s.entry(i * (s.n - 1) / (initRespawn - 1))
		if i > 0 && name == s.entry((i-1)*(s.n-1)/(initRespawn-1)) {
			continue // there are fewer
		}
		s.seen.begin()
		began := time.Now()
		if err := kill(pids[name]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := s.seen.wait(ctx, 1); err != nil {
			return fmt.Errorf("%s does not come back: %w", name, err)
		}
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	v["respawn of one that was killed, p50 ms"] = millis(quantile(times, 0.5))
	v["respawn of one that was killed, max ms"] = millis(times[len(times)-1])
	return sleep(ctx, initSettle)
}

// command runs commands one after the other, which are to succeed.
func (s *initSide) command(ctx context.Context, all [][]string) error {
	for _, args := range all {
		if out, err := s.process(ctx, args).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %.300s", strings.Join(args[:min(4, len(args))], " "), err, out)
		}
	}
	return nil
}

// cpu is the processor time of what supervises.
func (s *initSide) cpu() (sum time.Duration) {
	for _, pid := range s.supervisors() {
		sum += threadsTime(pid)
	}
	return sum
}
