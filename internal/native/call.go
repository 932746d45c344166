package native

import (
	"context"
	"io"
)

// A Call is a command that a script calls.
type Call struct {
	Args           []string                    // the name, and the arguments
	Env            func(string) (string, bool) // a variable of the command's environment
	Environ        func() []string             // all of it, as NAME=VALUE
	Dir            string                      // the working directory
	Stdin          io.Reader                   // nil is empty
	Stdout, Stderr io.Writer
	Umask          int
}

// A Command does a call and returns its exit status. When ok is false it has not taken the call: nothing
// was read from stdin, nothing was written, nothing was done.
type Command func(ctx context.Context, c *Call) (status int, ok bool)
