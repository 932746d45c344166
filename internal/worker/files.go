package worker

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Files are what a run reads and writes where that must be files, as for programs.
type Files struct{ Stdin, Stdout, Stderr *os.File }

// inFiles has run print into files, and puts what is in them into a.
func inFiles(a *Answer, run func(Files) (status int, err error)) error {
	stdin, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer stdin.Close()
	stdout, err := newBuffer()
	if err != nil {
		return err
	}
	defer stdout.Close()
	stderr, err := newBuffer()
	if err != nil {
		return err
	}
	defer stderr.Close()
	a.Status, err = run(Files{stdin, stdout, stderr})
	var err1, err2 error
	a.Stdout, err1 = contents(stdout)
	a.Stderr, err2 = contents(stderr)
	return errors.Join(err, err1, err2)
}

// contents is what is in f, from its begin.
func contents(f *os.File) ([]byte, error) {
	text, err := io.ReadAll(io.NewSectionReader(f, 0, longestOutput+1))
	return text, errors.Join(err, tooLong(text))
}

func tooLong(text []byte) error {
	if len(text) > longestOutput {
		return fmt.Errorf("it prints more than %d bytes", longestOutput)
	}
	return nil
}
