//go:build !linux

package store

import (
	"errors"
	"fmt"
)

var errSystem = errors.New("that needs Linux")

// FileOf always fails on this system, where a file cannot be told from a copy of it. So no lock server can be opened:
// on an old copy of its state it would vote against what it has promised.
func FileOf(path string) (FileID, error) {
	return FileID{}, fmt.Errorf("cannot tell %s from a copy of it: %w", path, errSystem)
}

// NetworkFS always says no. That does no harm, since no lock server can be opened on this system.
func NetworkFS(string) (string, bool) { return "", false }

func limitMemory(int64) error { return errSystem }
