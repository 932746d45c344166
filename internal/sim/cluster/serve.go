package cluster

import (
	"io"
	"math/rand"
	"os"
	"testing"

	"backtowork/internal/sim/crew"
	"backtowork/internal/sim/virtual"
)

// Serve simulates the plans that are read from in, and says what came of them on out: it is a worker of
// a crew. Virtual time is to be had in tests only, so all this is one: see [Main].
func Serve(t *testing.T, in io.Reader, out io.Writer) error {
	return crew.Serve(in, out, func(p Plan) (r Result, err error) {
		if !t.Run("plan", func(t *testing.T) { r, err = InBubble(t, p) }) && err == nil {
			err = crew.ErrEnd
		}
		return r, err
	})
}

// InBubble runs a plan in a bubble of virtual time. The same seed does the same again, mostly, with
// GODEBUG=randseednop=0 and GOMAXPROCS=1.
func InBubble(t *testing.T, p Plan) (r Result, err error) {
	dir, err := MakeDir(p.Dir)
	if err != nil {
		return r, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	//lint:ignore SA1019 raft draws its timeouts from there
	rand.Seed(int64(p.Seed))
	virtual.Test(t, func(*testing.T) { r, err = run(p, dir) })
	return r, err
}

// MakeDir makes a directory for the files of simulations in dir; "" is in memory, where there is a place.
func MakeDir(dir string) (string, error) {
	const pattern = "btw-simulate-"
	if dir == "" {
		if made, err := os.MkdirTemp("/dev/shm", pattern); err == nil {
			return made, nil
		}
	}
	return os.MkdirTemp(dir, pattern)
}

// Main is [Serve] as a process of its own, outside of go test. It does not return. The process has
// no arguments: package testing takes those for its own.
func Main(in io.Reader, out io.Writer) {
	test := testing.InternalTest{Name: "simulate", F: func(t *testing.T) {
		if err := Serve(t, in, out); err != nil {
			t.Error(err)
		}
	}}
	testing.Main(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{test}, nil, nil)
}
