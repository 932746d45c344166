package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"backtowork/internal/clinit"
)

const (
	loadGroups  = 200
	loadEntries = 10 // of each
	loadClients = 30 // at a time
)

// underLoad measures how long clients wait for their answers when many groups are told at once.
func (r initRun) underLoad(ctx context.Context) error {
	s := clinitSide(loadGroups * loadEntries)
	s.write = func() error {
		text := s.settings()
		for i := range s.n {
			text += fmt.Sprintf("g%d:%s:12:respawn:%s infinity\n", i/loadEntries, s.entry(i), s.program(i))
		}
		return os.WriteFile(filepath.Join(s.dir, "cltab"), []byte(text), 0o644)
	}
	if err := s.prepare(filepath.Join(r.dir, "load")); err != nil {
		return err
	}
	defer s.end()
	if err := s.listens(ctx); err != nil {
		return err
	}
	t := &table{}
	for _, level := range []string{"1", "2"} {
		what := map[string]string{"1": "told to start", "2": "told what is so already"}[level]
		s.seen.begin()
		began, cpu := time.Now(), s.cpu()
		times, err := s.tellAll(level)
		if err != nil {
			return err
		}
		t.add(what+": answer, p50", "%s", inMillis(quantile(times, 0.5)))
		t.add(what+": answer, p99", "%s", inMillis(quantile(times, 0.99)))
		t.add(what+": answer, max", "%s", inMillis(times[len(times)-1]))
		t.add(what+": all answers", "%s", inMillis(time.Since(began)))
		if level == "1" {
			if err := s.seen.wait(ctx, s.n); err != nil {
				return err
			}
			t.add(what+": all running", "%s", inMillis(time.Since(began)))
		}
		t.add(what+": CPU of the daemon", "%s", inMillis(s.cpu()-cpu))
		if err := sleep(ctx, initSettle); err != nil {
			return err
		}
	}
	fmt.Printf("\n%d groups of %d entries, told by %d clients at a time\n\n", loadGroups, loadEntries, loadClients)
	return t.print(os.Stdout)
}

// tellAll tells all groups a level, and returns how long each client waited for its answer, in order of size.
func (s *initSide) tellAll(level string) (times []time.Duration, err error) {
	groups := make(chan int, loadGroups)
	for i := range loadGroups {
		groups <- i
	}
	close(groups)
	var clients sync.WaitGroup
	var mu sync.Mutex
	for range loadClients {
		clients.Go(func() {
			for i := range groups {
				began := time.Now()
				ask := clinit.Ask{Op: clinit.Tell, Group: fmt.Sprintf("g%d", i), Level: level}
				answer, fault := clinit.Call(filepath.Join(s.dir, "s"), ask, began.Add(initLimit))
				if fault == nil && answer.Refused {
					fault = errors.New(answer.Msg)
				}
				mu.Lock()
				times, err = append(times, time.Since(began)), errors.Join(err, fault)
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	slices.Sort(times)
	return times, err
}
