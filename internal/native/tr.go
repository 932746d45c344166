package native

import (
	"context"
	"strings"

	"backtowork/internal/command"
)

// tr knows translation, -d and -s, each with -c.
func tr(ctx context.Context, c *Call) (int, bool) {
	opts, sets, err := command.Options(c.Args[1:], "+dscC", map[string]byte{"delete": 'd', "squeeze-repeats": 's', "complement": 'c'})
	if err != nil {
		return 0, false
	}
	remove, squeeze, complement := false, false, false
	for _, o := range opts {
		switch o.Letter {
		case 'd':
			remove = true
		case 's':
			squeeze = true
		default:
			complement = true
		}
	}
	to, drop, squeezed, ok := trTables(sets, remove, squeeze, complement)
	if !ok {
		return 0, false
	}
	return c.filter(ctx, filter{failed: 1, do: func(ins []input, r *result) bool {
		if ins[0].err != nil {
			return false
		}
		last := -1
		for _, b := range ins[0].data {
			if drop[b] {
				continue
			}
			b = to[b]
			if squeezed[b] && int(b) == last {
				continue
			}
			r.out.WriteByte(b)
			last = int(b)
		}
		return true
	}})
}

// trTables is what becomes of each byte.
func trTables(sets []string, remove, squeeze, complement bool) (to [256]byte, drop, squeezed [256]bool, ok bool) {
	for i := range to {
		to[i] = byte(i)
	}
	if len(sets) == 0 || len(sets) > 2 || (remove && (squeeze || len(sets) != 1)) || !remove && !squeeze && len(sets) != 2 {
		return
	}
	set1, class1, ok := trSet(sets[0])
	if !ok {
		return
	}
	if complement {
		set1 = trComplement(set1)
	}
	if len(sets) == 1 {
		for _, b := range set1 {
			drop[b], squeezed[b] = remove, squeeze
		}
		return to, drop, squeezed, true
	}
	set2, class2, ok := trSet(sets[1])
	if !ok || len(set2) == 0 || len(set1) == 0 {
		return to, drop, squeezed, false
	}
	// Classes on both sides stand for each other only in case, and must stand at the same place.
	if class2 && !(trCase(sets[0]) && trCase(sets[1]) && !complement) {
		return to, drop, squeezed, false
	}
	if class1 && len(set2) > 1 && !class2 {
		return to, drop, squeezed, false
	}
	for i, b := range set1 {
		to[b] = set2[min(i, len(set2)-1)]
	}
	for _, b := range set2 {
		squeezed[b] = squeeze
	}
	return to, drop, squeezed, true
}

func trCase(set string) bool { return set == "[:upper:]" || set == "[:lower:]" }

func trComplement(set []byte) (rest []byte) {
	in := [256]bool{}
	for _, b := range set {
		in[b] = true
	}
	for b := range 256 {
		if !in[b] {
			rest = append(rest, byte(b))
		}
	}
	return rest
}

// trSet is the bytes of a set, in order; class says that there is a class in it.
func trSet(text string) (set []byte, class, ok bool) {
	for text != "" {
		if strings.HasPrefix(text, "[:") {
			name, rest, closed := strings.Cut(text[2:], ":]")
			members, known := classes[name]
			if !closed || !known {
				return nil, false, false
			}
			set, class, text = append(set, ofClass(name, members)...), true, rest
			continue
		}
		if text[0] == '[' && len(text) > 2 && (text[1] == '=' || text[2] == '*' || text[1] == '\\') {
			return nil, false, false
		}
		b, n := trByte(text)
		if n == 0 {
			return nil, false, false
		}
		text = text[n:]
		if len(text) > 1 && text[0] == '-' {
			end, n := trByte(text[1:])
			if n == 0 || end < b {
				return nil, false, false
			}
			for ; b < end; b++ {
				set = append(set, b)
			}
			text = text[1+n:]
		}
		set = append(set, b)
	}
	return set, class, true
}

// ofClass is the members of a class in order.
func ofClass(name, members string) (all []byte) {
	if name == "cntrl" {
		all = append(all, 0)
	}
	re := compileGo("["+members+"]", false)
	for b := range 128 {
		if re.Match([]byte{byte(b)}) && (b != 0 || name != "cntrl") {
			all = append(all, byte(b))
		}
	}
	return all
}

// trByte is the byte that text begins with, and its length there; 0 declines.
func trByte(text string) (byte, int) {
	if text[0] >= 0x80 {
		return 0, 0
	}
	if text[0] != '\\' {
		return text[0], 1
	}
	if len(text) == 1 {
		return 0, 0
	}
	if at := strings.IndexByte(`\abfnrtv`, text[1]); at >= 0 {
		return "\\\a\b\f\n\r\t\v"[at], 2
	}
	n, length := 0, 1
	for length < len(text) && length < 4 && text[length] >= '0' && text[length] <= '7' {
		n = n*8 + int(text[length]-'0')
		length++
	}
	if length == 1 || n > 255 {
		return 0, 0
	}
	return byte(n), length
}
