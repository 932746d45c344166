package native

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"backtowork/internal/command"
)

// cat copies stdin as it comes, and files.
func cat(ctx context.Context, c *Call) (int, bool) {
	_, operands, err := command.Options(c.Args[1:], "u", nil)
	if err != nil {
		return 0, false
	}
	if len(operands) > 0 && operands[0] != "-" || len(operands) > 1 {
		return c.filter(ctx, filter{names: operands, failed: 1, do: func(ins []input, r *result) bool {
			return all(c, ins, r, func(in input) { r.out.Write(in.data) })
		}})
	}
	if c.Stdin == nil {
		return 0, true
	}
	if isPlain(c.Stdin) && isPlain(c.Stdout) { // it may be one file
		return 0, false
	}
	r, stop := interruptible(ctx, c.Stdin)
	defer stop()
	buf := make([]byte, 32768)
	for {
		n, err := r.Read(buf)
		if failed := c.write(ctx, buf[:n]); failed != nil {
			return c.unwritten(ctx, failed, 1), true
		}
		switch {
		case ctx.Err() != nil:
			return ended, true
		case err == io.EOF:
			return 0, true
		case err != nil:
			fmt.Fprintf(c.Stderr, "%s: -: %s\n", c.name(), reason(err))
			return 1, true
		}
	}
}

// all does one for each input that could be read, and tells of the others.
func all(c *Call, ins []input, r *result, one func(input)) bool {
	for _, in := range ins {
		if in.err != nil {
			r.say(c, "%s: %s", in.name, reason(in.err))
			r.status = 1
			continue
		}
		one(in)
	}
	return true
}

// howMuch reads -n N, -c N, -N of head and tail. from is for +N.
func howMuch(args []string) (n int, lines, from bool, operands []string, ok bool) {
	if len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' && digits(args[0][1:]) {
		args = append([]string{"-n", args[0][1:]}, args[1:]...)
	}
	opts, operands, err := command.Options(args, "n:c:", map[string]byte{"lines": 'n', "bytes": 'c'})
	if err != nil || len(opts) > 1 || len(operands) > 1 {
		return 0, false, false, nil, false
	}
	if len(opts) == 0 {
		return 10, true, false, operands, true
	}
	text := opts[0].Value
	if rest, plus := strings.CutPrefix(text, "+"); plus {
		text, from = rest, true
	}
	n, err = strconv.Atoi(text)
	return n, opts[0].Letter == 'n', from, operands, err == nil && digits(text) && n <= most
}

// head is the start of one file or of stdin.
func head(ctx context.Context, c *Call) (int, bool) {
	n, lines, from, operands, ok := howMuch(c.Args[1:])
	fromStdin := len(operands) == 0 || operands[0] == "-"
	if !ok || from {
		return 0, false
	}
	if n == 0 && fromStdin {
		return 0, true
	}
	left := n
	enough := func(part []byte) bool {
		if lines {
			left -= bytes.Count(part, []byte("\n"))
		} else {
			left -= len(part)
		}
		return left <= 0
	}
	return c.filter(ctx, filter{names: operands, failed: 1, enough: enough, do: func(ins []input, r *result) bool {
		data := ins[0].data
		if err := ins[0].err; err != nil {
			r.say(c, "cannot open '%s' for reading: %s", ins[0].name, reason(err))
			r.status = 1
			return true
		}
		end := min(n, len(data))
		if lines {
			end = afterLines(data, n)
		}
		r.out.Write(data[:end])
		if file, plain := plainFile(c.Stdin); plain && fromStdin { // the rest is left to be read
			if _, err := file.Seek(int64(end-len(data)), io.SeekCurrent); err != nil {
				return false
			}
		}
		return true
	}})
}

// afterLines is where n lines of data end.
func afterLines(data []byte, n int) int {
	at := 0
	for ; n > 0; n-- {
		end := bytes.IndexByte(data[at:], '\n')
		if end < 0 {
			return len(data)
		}
		at += end + 1
	}
	return at
}

// tail is the end of one file or of stdin.
func tail(ctx context.Context, c *Call) (int, bool) {
	n, lines, from, operands, ok := howMuch(c.Args[1:])
	if !ok || n == 0 && !from { // then it does not even look for the file
		return 0, ok
	}
	if from && !lines && len(operands) == 0 && isPlain(c.Stdin) { // it may leave it behind its end
		return 0, false
	}
	return c.filter(ctx, filter{names: operands, failed: 1, do: func(ins []input, r *result) bool {
		data := ins[0].data
		if err := ins[0].err; err != nil {
			r.say(c, "cannot open '%s' for reading: %s", ins[0].name, reason(err))
			r.status = 1
			return true
		}
		at := 0
		switch {
		case from && lines:
			at = afterLines(data, max(n-1, 0))
		case from:
			at = min(max(n-1, 0), len(data))
		case lines:
			whole := bytes.Count(data, []byte("\n"))
			if len(data) > 0 && data[len(data)-1] != '\n' {
				whole++
			}
			at = afterLines(data, max(whole-n, 0))
		default:
			at = max(len(data)-n, 0)
		}
		r.out.Write(data[at:])
		return true
	}})
}

// wc counts one thing of one file or of stdin.
func wc(ctx context.Context, c *Call) (int, bool) {
	opts, operands, err := command.Options(c.Args[1:], "lcw", map[string]byte{"lines": 'l', "bytes": 'c', "words": 'w'})
	if err != nil || len(opts) != 1 || len(operands) > 1 {
		return 0, false
	}
	if file, plain := plainFile(c.Stdin); plain && opts[0].Letter == 'c' && len(operands) == 0 {
		// It goes by the size, and does not read, unless that may be made up, as in /proc.
		n, info := left(file), fs.FileInfo(nil)
		if info, err = file.Stat(); err != nil || info.Size()%int64(os.Getpagesize()) == 0 || n < 0 {
			return 0, false
		}
		return c.say(ctx, strconv.FormatInt(n, 10)+"\n")
	}
	return c.filter(ctx, filter{names: operands, failed: 1, do: func(ins []input, r *result) bool {
		in := ins[0]
		if in.err != nil {
			r.say(c, "%s: %s", in.name, reason(in.err))
			r.status = 1
			return true
		}
		n := len(in.data)
		switch opts[0].Letter {
		case 'l':
			n = bytes.Count(in.data, []byte("\n"))
		case 'w':
			if !printable(in.data) { // what is a word then, versions see in different ways
				return false
			}
			n = len(bytes.Fields(in.data))
		}
		r.out.WriteString(strconv.Itoa(n))
		if len(operands) > 0 {
			r.out.WriteString(" " + in.name)
		}
		r.out.WriteByte('\n')
		return true
	}})
}

// printable reports whether data is printable ASCII and white space.
func printable(data []byte) bool {
	for _, b := range data {
		if b >= 0x7f || b < ' ' && (b < '\t' || b > '\r') {
			return false
		}
	}
	return true
}
