//go:build !linux

package store

import (
	"errors"
	"fmt"
)

var errSystem = errors.New("that needs Linux")

// FileOf cannot tell a file from a copy of it, so no lock server is opened: on an old copy of its state it would
// vote against what it has promised.
func FileOf(path string) (FileID, error) {
	return FileID{}, fmt.Errorf("cannot tell %s from a copy of it: %w", path, errSystem)
}

// NetworkFS need not know: no lock server is opened.
func NetworkFS(string) (string, bool) { return "", false }

func limitMemory(int64) error { return errSystem }
