package main

import (
	"fmt"
	"net"

	"github.com/rogpeppe/go-internal/testscript"
)

// freePort is a TCP port of the loopback that was free a moment ago.
func freePort(ts *testscript.TestScript) string {
	l, err := net.Listen("tcp", "localhost:0")
	ts.Check(err)
	defer l.Close()
	return fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
}
