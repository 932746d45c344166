package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"backtowork/cmd/bench/drive"
)

const (
	acquisitions = 150 // in a round
	handOvers    = 10
	oneWindow    = time.Second // of renewals in one process
	manyWindow   = 2 * time.Second
)

// heldCounts is how many locks one process renews together, and processCounts how many
// processes renew one each.
var (
	heldCounts    = []int{1, 10, 100}
	processCounts = []int{10, 100}
)

// A contestant is a lock service, used in one way.
type contestant struct {
	name    string
	driver  []string          // a program that uses it
	servers map[string]*child // by the name that the program knows them by
	partly  bool              // only the renewals of many locks in one process are measured
}

// values are what was measured in a round, by the name of the figure.
type values map[string]float64

// contest measures the contestants one after the other, round after round; every second round goes
// in the opposite order. Once the time is over no further round begins, but there is always one.
func contest(ctx context.Context, all []*contestant, rounds int, until time.Time) ([][]values, error) {
	measured := make([][]values, len(all))
	for round := range rounds {
		if round > 0 && time.Now().After(until) {
			break
		}
		order := make([]int, len(all))
		for i := range order {
			order[i] = i
		}
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, i := range order {
			v, err := all[i].measure(ctx, fmt.Sprintf("bench-%d-%d", i, round))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", all[i].name, err)
			}
			measured[i] = append(measured[i], v)
		}
		fmt.Fprintf(os.Stderr, "bench: round %d of %d\n", round+1, rounds)
	}
	for i, c := range all {
		if err := c.memory(ctx, measured[i][0]); err != nil {
			return nil, err
		}
	}
	return measured, nil
}

// measure measures one round, with locks whose names begin with name.
func (c *contestant) measure(ctx context.Context, name string) (values, error) {
	v := values{}
	p, err := c.start(ctx)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	if !c.partly {
		if err := single(p, name, v); err != nil {
			return nil, err
		}
	}
	for _, n := range heldCounts {
		if c.partly && n == 1 {
			continue
		}
		if err := c.renewals(v, []*program{p}, name, n, oneWindow); err != nil {
			return nil, err
		}
	}
	p.stop()
	if c.partly {
		return v, nil
	}
	for _, n := range processCounts {
		if err := c.many(ctx, v, name, n); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// single measures one process that takes and releases locks.
func single(p *program, name string, v values) error {
	r, err := p.do(drive.Order{Do: drive.Acquire, Name: name + "-acquired", N: acquisitions})
	if err != nil {
		return err
	}
	v["acquire, p50 ms"], v["acquire, p99 ms"] = quantiles(r.Times)
	v["acquire and release, p50 ms"], v["acquire and release, p99 ms"] = quantiles(r.Cycles)
	if r, err = p.do(drive.Order{Do: drive.HandOver, Name: name + "-handed", N: handOvers}); err != nil {
		return err
	}
	v["hand-over to who waits, p50 ms"], v["hand-over to who waits, p99 ms"] = quantiles(r.Times)
	return nil
}

// many measures processes that renew one lock each.
func (c *contestant) many(ctx context.Context, v values, name string, n int) error {
	var all []*program
	defer func() {
		for _, p := range all {
			p.stop()
		}
	}()
	for range n {
		p, err := c.start(ctx)
		if err != nil {
			return err
		}
		all = append(all, p)
	}
	return c.renewals(v, all, name, 1, manyWindow)
}

// renewals measures programs that renew n locks each, all at the same time.
func (c *contestant) renewals(v values, all []*program, name string, n int, window time.Duration) error {
	hold := drive.Order{Do: drive.Hold, Name: name, N: n}
	if _, err := together(all, hold); err != nil {
		return err
	}
	servers, err := c.cpu()
	if err != nil {
		return err
	}
	results, err := together(all, drive.Order{Do: drive.Renew, N: n, For: window})
	if err != nil {
		return err
	}
	after, err := c.cpu()
	if err != nil {
		return err
	}
	var perSecond float64
	var count int
	var clients time.Duration
	for _, r := range results {
		perSecond += float64(r.Count) / r.Took.Seconds()
		count += r.Count
		clients += r.CPU
	}
	who := fmt.Sprintf("%d in one process", n)
	if len(all) > 1 {
		who = fmt.Sprintf("%d processes", len(all))
	}
	v["renewals/s, "+who] = perSecond
	v["CPU ms per 1000, servers, "+who] = millis(after-servers) / float64(count) * 1000
	v["CPU ms per 1000, clients, "+who] = millis(clients) / float64(count) * 1000
	if n == 1 && len(all) == 1 {
		v["renew, p50 ms"], v["renew, p99 ms"] = quantiles(results[0].Times)
	}
	_, err = together(all, drive.Order{Do: drive.Drop})
	return err
}

// cpu is what all servers have used of the CPUs.
func (c *contestant) cpu() (sum time.Duration, err error) {
	for _, s := range c.servers {
		used, err := cpuTime(s.cmd.Process.Pid)
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

// memory measures what the servers have of memory now: the leader, and the larger of the others.
func (c *contestant) memory(ctx context.Context, v values) error {
	if c.partly {
		return nil
	}
	p, err := c.start(ctx)
	if err != nil {
		return err
	}
	defer p.stop()
	r, err := p.do(drive.Order{Do: drive.Leader})
	if err != nil {
		return err
	}
	for name, s := range c.servers {
		rss, _, err := residentSet(s.cmd.Process.Pid)
		if err != nil {
			return err
		}
		figure := "RSS MB, follower"
		if name == r.Leader {
			figure = "RSS MB, leader"
		}
		v[figure] = max(v[figure], rss)
	}
	return nil
}

// quantiles is the median and the 99th percentile of times, in milliseconds.
func quantiles(times []time.Duration) (p50, p99 float64) {
	slices.Sort(times)
	return millis(quantile(times, 0.5)), millis(quantile(times, 0.99))
}
