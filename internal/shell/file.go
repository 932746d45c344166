package shell

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// longestFile is how much of a script is read. A longer one is for its own shell.
const longestFile = 1 << 20

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
