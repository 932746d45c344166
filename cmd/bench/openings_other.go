//go:build !linux

package main

import (
	"errors"
	"time"
)

type openings struct{}

// watchOpenings always fails: no lock server runs on this system.
func watchOpenings(string) (*openings, error) {
	return nil, errors.New("cannot measure on this system: that needs Linux")
}

func (*openings) close() {}

func (*openings) begin() {}

func (*openings) end([]string) (longest []time.Duration, often int) { return nil, 0 }
