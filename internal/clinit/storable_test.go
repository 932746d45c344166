package clinit

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

// frameOf is the frame around a payload in hexadecimal.
func frameOf(t testing.TB, payload string) string {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(payload, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%08d%s", len(b), b)
}

// head is how the payload of a list of one hash begins.
const head = "050b 02 00000001 04 "

// frames are what Perl's nfreeze of Storable 3.26 makes of hashes, and what they say.
var frames = map[string]struct {
	payload string
	want    map[string]string
}{
	"a request, seen of the original": {head + "03 00000002 0a0131 00000005 6c6576656c 0a0167 00000005 67726f7570", map[string]string{"group": "g", "level": "1"}},
	"of another minor version":        {"0504 02 00000001 04 03 00000001 0a0131 00000001 61", map[string]string{"a": "1"}},
	"no pairs":                        {head + "03 00000000", map[string]string{}},
	"integers":                        {head + "03 00000005 08ff 00000001 62 0900000080 00000001 63 097fffffff 00000001 64 0980000000 00000001 65 0800 00000001 61", map[string]string{"a": "-128", "b": "127", "c": "128", "d": "2147483647", "e": "-2147483648"}},
	"numbers that are strings there":  {head + "03 00000002 0a0a34303030303030303030 00000001 61 0a03312e35 00000001 62", map[string]string{"a": "4000000000", "b": "1.5"}},
	"undef":                           {head + "03 00000001 05 00000001 61", map[string]string{"a": ""}},
	"an empty string":                 {head + "03 00000001 0a00 00000001 61", map[string]string{"a": ""}},
	"truth, by newer Storables":       {head + "03 00000004 22 00000001 61 23 00000001 62 0f 00000001 63 10 00000001 64", map[string]string{"a": "1", "b": "", "c": "1", "d": ""}},
	"utf8":                            {head + "19 00 00000001 1704e298ba78 01 00000003 e298ba", map[string]string{"\u263a": "\u263ax"}},
	"a key that was utf8":             {head + "19 00 00000001 0a0178 02 00000001 fc", map[string]string{"\u00fc": "x"}},
	"bytes that are no utf8":          {head + "03 00000001 0a01fc 00000001 fc", map[string]string{"\xfc": "\xfc"}},
	"a locked hash":                   {head + "19 01 00000002 0a0131 04 00000001 61 0a0132 04 00000001 62", map[string]string{"a": "1", "b": "2"}},
	"locked keys, of which one is":    {head + "19 01 00000002 0881 00 00000001 61 0e 14 00000001 62", map[string]string{"a": "1"}},
	"a long string":                   {head + "03 00000001 01 0000012c " + strings.Repeat("79", 300) + " 00000001 61", map[string]string{"a": strings.Repeat("y", 300)}},
	"a long string of utf8":           {head + "03 00000001 18 0000012c " + strings.Repeat("e298ba", 100) + " 00000001 61", map[string]string{"a": strings.Repeat("\u263a", 100)}},
	"a hash by itself":                {"050b 03 00000001 0881 00000001 61", map[string]string{"a": "1"}},
	"a reference to a hash":           {"050b 04 03 00000001 0a0178 00000001 61", map[string]string{"a": "x"}},
	"a reference to a reference":      {head + "04 03 00000001 0a0178 00000001 61", map[string]string{"a": "x"}},
	"one key twice":                   {head + "03 00000002 0a0131 00000001 61 0a0132 00000001 61", map[string]string{"a": "2"}},
}

func TestReadFrame(t *testing.T) {
	t.Parallel()
	for name, row := range frames {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := strings.NewReader(frameOf(t, row.payload) + "next")
			got, err := readFrame(iotest.OneByteReader(r))
			if err != nil || !maps.Equal(got, row.want) {
				t.Errorf("%q, %v; want %q", got, err, row.want)
			}
			if rest, _ := io.ReadAll(r); string(rest) != "next" {
				t.Errorf("what follows is %q now", rest)
			}
			whole := frameOf(t, row.payload)
			for n := range whole { // cut off on the way, and cut off by who sent it
				want := io.ErrUnexpectedEOF
				if n == 0 {
					want = io.EOF
				}
				if m, err := readFrame(strings.NewReader(whole[:n])); !errors.Is(err, want) || m != nil {
					t.Fatalf("%d bytes of it: %q, %v", n, m, err)
				}
				if n < frameDigits {
					continue
				}
				short := fmt.Sprintf("%08d%s", n-frameDigits, whole[frameDigits:n])
				if m, err := readFrame(strings.NewReader(short)); !errors.Is(err, errNotFrame) || m != nil {
					t.Fatalf("%d bytes of its payload: %q, %v", n-frameDigits, m, err)
				}
			}
		})
	}
}

func TestReadFrameBad(t *testing.T) {
	t.Parallel()
	const not = "not a request or answer of Cluster::Init: "
	for name, row := range map[string]struct{ frame, want string }{
		"text":               {"group level\n", `it begins with "group le", not with its length`},
		"a sign":             {"+0000001x", `it begins with "+0000001", not with its length`},
		"blanks":             {"      12x", `it begins with "      12", not with its length`},
		"too long":           {"01048577", "it says that it is 01048577 bytes long, more than 1 MiB"},
		"far too long":       {"99999999", "it says that it is 99999999 bytes long, more than 1 MiB"},
		"nothing":            {"00000000", "it ends in the middle"},
		"native order":       {frameOf(t, "04 0b 08 3132333435363738 04080808 02 01000000"), "it begins with 0x4, not with Storable's version 2 in network order"},
		"older version":      {frameOf(t, "03 02 00000001"), "it begins with 0x3, not with Storable's version 2 in network order"},
		"of a file":          {frameOf(t, "70737430 05 0b"), "it begins with 0x70, not with Storable's version 2 in network order"},
		"no element":         {frameOf(t, "050b 02 00000000"), "it is not a list of one hash"},
		"two elements":       {frameOf(t, "050b 02 00000002 0a0178 04 03 00000000"), "it is not a list of one hash"},
		"a list in a list":   {frameOf(t, head+"02 00000001 04 03 00000000"), "it is not a list of one hash"},
		"undef for a hash":   {frameOf(t, "050b 02 00000001 05"), "it has a value of Storable's kind 5 where a hash is expected"},
		"an object":          {frameOf(t, "050b 11 03 466f6f 03 00000000"), "it has a value of Storable's kind 17 where a hash is expected"},
		"a list for a value": {frameOf(t, head+"03 00000001 04 02 00000001 0881 00000001 61"), "it has a value of Storable's kind 4 where a string is expected"},
		"code":               {frameOf(t, head+"03 00000001 1a 0a0178 00000001 61"), "it has a value of Storable's kind 26 where a string is expected"},
		"a key that is none": {frameOf(t, head+"19 00 00000001 0a0178 08 0a0178"), "it has a key with the flags 0x8"},
		"many pairs":         {frameOf(t, head+"03 ffffffff 0a0178 00000001 61"), "it ends in the middle"},
		"a huge key":         {frameOf(t, head+"03 00000001 0a0178 ffffffff 61"), "it ends in the middle"},
		"a huge string":      {frameOf(t, head+"03 00000001 01 ffffffff 78 00000001 61"), "it ends in the middle"},
		"more behind it":     {frameOf(t, head+"03 00000000 0000"), "2 bytes follow its end"},
	} {
		m, err := readFrame(strings.NewReader(row.frame))
		if !errors.Is(err, errNotFrame) || err.Error() != not+row.want || m != nil {
			t.Errorf("%s: %q, %v\nwant %s", name, m, err, row.want)
		}
	}
	if _, err := readFrame(io.MultiReader(strings.NewReader("00000002x"), iotest.ErrReader(iotest.ErrTimeout))); !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("a connection that fails: %v", err)
	}
}

// A frame that announces much, and is little, takes little.
func TestReadFrameMemory(t *testing.T) {
	for name, frame := range map[string]string{
		"long frame":  "01048576x",
		"many pairs":  frameOf(t, head+"03 7fffffff"),
		"huge string": frameOf(t, head+"03 00000001 01 7fffffff"),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = readFrame(strings.NewReader(frame))
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 16<<10 {
			t.Errorf("%s: %d bytes are allocated", name, n)
		}
	}
}

// writes counts the calls.
type writes struct {
	bytes.Buffer
	n int
}

func (w *writes) Write(b []byte) (int, error) {
	w.n++
	return w.Buffer.Write(b)
}

func TestWriteFrame(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("y", 300)
	for _, row := range []struct {
		m    map[string]string
		want string
	}{
		{map[string]string{"level": "1", "group": "g"}, head + "03 00000002 0a0167 00000005 67726f7570 0a0131 00000005 6c6576656c"},
		{map[string]string{"a": long}, frames["a long string"].payload},
		{map[string]string{"a": long[:255]}, head + "03 00000001 0aff " + strings.Repeat("79", 255) + "00000001 61"},
		{nil, frames["no pairs"].payload},
	} {
		var w writes
		if err := writeFrame(&w, row.m); err != nil || w.n != 1 || w.String() != frameOf(t, row.want) {
			t.Errorf("%q: %q in %d writes, %v", row.m, w.String(), w.n, err)
		}
	}
	var w writes
	if err := writeFrame(&w, map[string]string{"a": strings.Repeat("y", 1<<20)}); err == nil || w.n > 0 {
		t.Errorf("a frame of more than 1 MiB: %v", err)
	}
	_, to := io.Pipe()
	to.Close()
	if err := writeFrame(to, nil); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("to who has gone: %v", err)
	}
}

// Perl reads what is written here, and what it writes is read here. (The fixtures hold that where there is no Perl.)
func TestFramePerl(t *testing.T) {
	t.Parallel()
	perl, err := exec.LookPath("perl")
	if err != nil || exec.Command(perl, "-MStorable", "-e", "1").Run() != nil {
		t.Skip("there is no perl with Storable")
	}
	want := map[string]string{
		"group": "web", "level": "1", "empty": "", "long": strings.Repeat("y", 70000), "edge": strings.Repeat("z", 255),
		"utf8": "\u263a\u00fc", "bytes": "\xff\x00\n", "\u00fc": "\xfc", "": "no name", "msg": "level transition started",
	}
	var frame bytes.Buffer
	if err := writeFrame(&frame, want); err != nil {
		t.Fatal(err)
	}
	again := exec.Command(perl, "-MStorable=thaw,nfreeze", "-e", `binmode STDIN; binmode STDOUT; local $/; my $in = <STDIN>;
		substr($in, 0, 8) == length($in) - 8 or die; my $m = thaw(substr($in, 8))->[0]; delete $m->{level}; $m->{n} = 7; $m->{neg} = -70000;
		$m->{none} = undef; $m->{wide} = "\x{263a}"; $m->{"w\x{263a}"} = 1.5; my $out = nfreeze([$m]); printf "%08d%s", length $out, $out;`)
	again.Stdin = &frame
	out, err := again.Output()
	if err != nil {
		t.Fatal(err)
	}
	got, err := readFrame(bytes.NewReader(out))
	delete(want, "level")
	maps.Copy(want, map[string]string{"n": "7", "neg": "-70000", "none": "", "wide": "\u263a", "w\u263a": "1.5"})
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%q, %v\nwant %q", got, err, want)
	}
}

// FuzzFrame reads any bytes: they are a frame that is the same when it is written and read again, or a clear error.
func FuzzFrame(f *testing.F) {
	for _, row := range frames {
		f.Add([]byte(frameOf(f, row.payload)), false)
		f.Add([]byte(frameOf(f, row.payload)[frameDigits:]), true)
	}
	f.Add([]byte("group level\n"), false)
	f.Add([]byte("99999999"), false)
	f.Fuzz(func(t *testing.T, text []byte, payload bool) {
		if payload {
			text = fmt.Appendf(nil, "%08d%s", len(text), text)
		}
		m, err := readFrame(bytes.NewReader(text))
		if err != nil {
			if m != nil || !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, errNotFrame) {
				t.Errorf("%q: %q, %v", text, m, err)
			}
			return
		}
		var frame bytes.Buffer
		if err := writeFrame(&frame, m); err != nil {
			if len(text) < longestFrame/2 {
				t.Error(err)
			}
			return
		}
		if again, err := readFrame(&frame); err != nil || !maps.Equal(again, m) || frame.Len() > 0 {
			t.Errorf("%q, written and read again: %q, %v", m, again, err)
		}
	})
}
