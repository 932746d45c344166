//go:build !linux

package main

import (
	"context"
	"errors"
)

const shellsCommand = "shells"

func shellTable(context.Context, string, *table) error { return nil }

func beShells(context.Context, string) error {
	return errors.New("cannot measure on this system: that needs Linux")
}
