package script

import (
	"os"
	"strings"
	"testing"
)

// What an ended process has written into a pipe is had whenever it is read, and who has the pipe open still is not
// waited for.
func TestInPipe(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		written string
		limit   int
		want    string
	}{
		{"", 10, ""},
		{"text file busy", 4096, "text file busy"},
		{"text file busy", 4, "text"},
		{strings.Repeat("0123456789", 2000), 64 << 10, strings.Repeat("0123456789", 2000)},
	} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		defer w.Close()
		if _, err := w.WriteString(row.written); err != nil {
			t.Fatal(err)
		}
		if got := string(inPipe(r, row.limit)); got != row.want {
			t.Errorf("of %d bytes, at most %d: %d bytes", len(row.written), row.limit, len(got))
		}
	}
}
