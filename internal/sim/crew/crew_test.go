package crew

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain is the worker too: it doubles numbers.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 || os.Args[1] != "worker" {
		os.Exit(m.Run())
	}
	err := Serve(os.Stdin, os.Stdout, func(n int) (int, error) {
		switch n {
		case 13:
			fmt.Println("a bad number")
			return 0, errors.New("I do not like it")
		case 14:
			panic("out of order")
		case 15:
			time.Sleep(time.Hour)
		case 16:
			fmt.Fprintln(os.Stderr, "a race")
			return 0, fmt.Errorf("on the way out: %w", ErrEnd)
		}
		return 2 * n, nil
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func testCrew(limit time.Duration) Crew {
	return Crew{Processes: 2, Limit: limit, Worker: func() *exec.Cmd { return exec.Command(os.Args[0], "worker") }}
}

func TestRun(t *testing.T) {
	t.Parallel()
	got := map[int]int{}
	Run(testCrew(time.Minute), slices.Values([]int{1, 2, 3, 4, 5}), func(n, twice int, err error) bool {
		if err != nil {
			t.Error(err)
		}
		got[n] = twice
		return true
	})
	for n := 1; n <= 5; n++ {
		if got[n] != 2*n {
			t.Errorf("of %d came %d", n, got[n])
		}
	}
}

// Enough is enough: what was begun is finished, and nothing is begun.
func TestRunEnough(t *testing.T) {
	t.Parallel()
	count := 0
	endless := func(yield func(int) bool) {
		for yield(1) {
		}
	}
	Run(testCrew(time.Minute), endless, func(int, int, error) bool {
		count++
		return count < 7
	})
	if count < 7 || count > 8 {
		t.Errorf("%d jobs were done, want 7, and what the other process had begun", count)
	}
}

func TestRunFaults(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		job   int
		limit time.Duration
		want  []string
		more  bool // that the worker goes on
	}{
		{"a job that fails", 13, time.Minute, []string{"I do not like it", "a bad number"}, true},
		{"a worker that crashes", 14, time.Minute, []string{"the process ended", "out of order"}, false},
		{"a job that ends the worker", 16, time.Minute, []string{"the process ended", "a race", "on the way out"}, false},
		{"a job that takes too long", 15, 200 * time.Millisecond, []string{"it took longer than 200ms", "goroutine"}, false},
	}
	for _, tt := range tests {
		c := testCrew(tt.limit)
		c.Processes = 1
		var said string
		after := false
		Run(c, slices.Values([]int{tt.job, 2}), func(n, _ int, err error) bool {
			if n == tt.job && err != nil {
				said = err.Error()
			}
			after = after || n == 2
			return true
		})
		for _, want := range tt.want {
			if !strings.Contains(said, want) {
				t.Errorf("%s: says %q, want %q in it", tt.name, said, want)
			}
		}
		if after != tt.more {
			t.Errorf("%s: the next was done: %v, want %v", tt.name, after, tt.more)
		}
	}
}

func TestRunNoWorker(t *testing.T) {
	t.Parallel()
	var got error
	c := Crew{Processes: 1, Limit: time.Minute, Worker: func() *exec.Cmd { return exec.Command("/dev/null/none") }}
	Run(c, slices.Values([]int{1}), func(_, _ int, err error) bool { got = err; return true })
	if got == nil {
		t.Error("there is no worker, and nobody says so")
	}
}
