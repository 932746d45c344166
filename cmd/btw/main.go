// Btw is the failover toolkit: one binary, called by many names.
// See internal/cli for the names, and doc/DESIGN.md for the whole.
package main

import (
	"os"

	"backtowork/internal/cli"
)

func main() { os.Exit(cli.Main()) }
