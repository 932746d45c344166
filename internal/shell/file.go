package shell

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// longestFile is how much of a script is read. A longer one is for its own shell.
const longestFile = 256 << 10

// ReadFile is the text of a file for [CheckAll], or an error where it is no script's: a pipe, or a device, may keep who reads it for
// ever, even in the open.
func ReadFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file", path)
	}
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, longestFile+1))
	if err == nil && len(text) > longestFile {
		err = fmt.Errorf("%s is longer than %d bytes", path, longestFile)
	}
	return text, err
}

// Each of these may be one more level of what is within each other, and a parser that goes too deep takes its process with it: neither
// a worker nor who starts a package is to end for a text.
const (
	nests    = "({[`?=*"
	mostNest = 2_000
	mostRun  = 400 // operators, blanks between them or not
)

var nestingWords = [][]byte{[]byte("if"), []byte("while"), []byte("until"), []byte("for"), []byte("case"), []byte("time")}

// tooDeep says whether a text could be nested too deeply to be parsed.
func tooDeep(text []byte) bool {
	n, run := 0, 0
	for _, b := range text {
		switch {
		case strings.IndexByte("-+!~", b) >= 0:
			if run++; run > mostRun {
				return true
			}
		case b == ' ' || b == '\t' || b == '\n':
		default:
			run = 0
			if strings.IndexByte(nests, b) >= 0 {
				n++
			}
		}
	}
	for _, word := range nestingWords {
		n += bytes.Count(text, word)
	}
	return n > mostNest
}
