package native

import (
	"bytes"
	"context"
	"os/exec"
	"regexp"
	"sync"
	"time"
)

// An ipStyle is how one version of ip writes. Versions differ: later ones say who has set an address.
type ipStyle struct {
	known, origins bool
	since          time.Time // it was found out
}

// again is when a program whose style is not known is looked at again: perhaps the devices changed meanwhile.
const again = 10 * time.Minute

// ipStyles is the style of each program called ip, as long as its file stays what it is.
var ipStyles = struct {
	sync.Mutex
	all map[stamp]ipStyle
}{all: map[stamp]ipStyle{}}

// ipProbes are what a program is asked to find out its style, on this host's own devices.
var ipProbes = [][]string{
	{"addr"},
	{"-o", "addr", "show"},
	{"-4", "addr", "show"},
	{"-br", "addr"},
	{"link"},
	{"-o", "link"},
	{"-br", "link"},
	{"link", "show", "nosuchdevice"},
	{"route"},
	{"-6", "route"},
}

// styleOf is the style of the program in the file, as it was just now. The first time it is run, and must write what we would write.
func styleOf(ctx context.Context, file stamp) ipStyle {
	if file.path == "" {
		return ipStyle{}
	}
	ipStyles.Lock() // while it is found out the others wait for it
	defer ipStyles.Unlock()
	style, found := ipStyles.all[file]
	if style.known || found && time.Since(style.since) < again || ctx.Err() != nil {
		return style
	}
	for _, try := range []ipStyle{{known: true}, {known: true, origins: true}} {
		if try.fits(ctx, file.path) {
			style = try
			break
		}
	}
	if ctx.Err() != nil { // it could not be found out
		return ipStyle{}
	}
	style.since = time.Now()
	ipStyles.all[file] = style
	return style
}

// lifetimes become less from one look to the next.
var lifetimes = regexp.MustCompile(`-?[0-9]+sec`)

// fits reports whether the program at path writes in this style. A question that we cannot answer on this
// host says nothing; that about addresses must be one of those that we can.
func (s ipStyle) fits(ctx context.Context, path string) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	compared := 0
	for _, args := range ipProbes {
		same, could := false, false
		for range 3 { // something may have changed between one and the other
			var r *result
			if r, could = s.answer(args); !could {
				break
			}
			cmd := exec.CommandContext(ctx, path, args...)
			cmd.Env, cmd.Dir, cmd.WaitDelay = []string{"LC_ALL=C"}, "/", time.Second
			out, err := cmd.Output()
			if cmd.ProcessState == nil || ctx.Err() != nil {
				return false
			}
			if same = bytes.Equal(lifetimes.ReplaceAll(out, nil), lifetimes.ReplaceAll(r.out.Bytes(), nil)) && (err == nil) == (r.status == 0); same {
				break
			}
		}
		switch {
		case could && !same:
			return false
		case could:
			compared++
		}
	}
	return compared > len(ipProbes)/2
}
