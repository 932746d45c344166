package clinit

import (
	"cmp"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"backtowork/internal/command"
)

// Options are what lines :::opt:TAG:KEY=VALUE say of an entry. They are ours: to Cluster::Init such a line is a setting
// that it does not know, and passes over.
type Options struct {
	StopSignal   syscall.Signal // is sent first
	StopTimeout  time.Duration  // from StopSignal to KILL; TERM comes at a third of it
	Backoff      time.Duration  // the pause when it respawns too rapidly
	Ready        string         `json:",omitzero"` // a shell command; later entries wait until it succeeds. "" for none
	ReadyTimeout time.Duration  // how long Ready may take
	User, Group  string         `json:",omitzero"` // names or numbers, not looked up; "" for the daemon's
	Cwd          string         `json:",omitzero"` // absolute; "" for the daemon's
	Env          []string       `json:",omitzero"` // NAME=VALUE; of two with one name the later counts
	Log          string         `json:",omitzero"` // an absolute path, "syslog" or "journal"; "" for none
	LogMax       int64          // bytes, at which the log file is rotated
	Umask        *int           `json:",omitzero"` // nil for the daemon's
	Nice         *int           `json:",omitzero"` // likewise
	Limits       []Limit        `json:",omitzero"` // by name; those not named stay the daemon's
	KeepLeftover bool           `json:",omitzero"` // what is left running when the command itself has ended is let be
}

// A Limit is a limit of resources: those of setrlimit.
type Limit struct {
	Name       string // as the option's key: nofile, core, as, ...
	Soft, Hard uint64
}

// Unlimited is a Limit's Soft or Hard where there is no limit. (RLIM_INFINITY differs between systems.)
const Unlimited uint64 = math.MaxUint64

// GroupOptions are what lines :::group:GROUP:KEY=VALUE say of a group.
type GroupOptions struct {
	StopReverse bool // entries stop one after the other, the last first; else all together
}

// DefaultOptions are those of an entry of which nothing is said. How it is stopped is documented of the originals:
// Cluster::Init sends INT, TERM after 5 seconds and KILL after 15; IS::Init sends TERM, and KILL after 31.
func DefaultOptions(d Dialect) Options {
	o := Options{
		StopSignal: syscall.SIGINT, StopTimeout: 15 * time.Second, Backoff: time.Minute,
		ReadyTimeout: time.Minute, LogMax: 20 << 20,
	}
	if d == Isinit {
		o.StopSignal, o.StopTimeout = syscall.SIGTERM, 31*time.Second
	}
	return o
}

// A Key is an option's name, what its value may be, and what it means: for help and documents.
type Key struct{ Name, Value, Meaning string }

// OptionKeys is the keys of :::opt: lines.
func OptionKeys() []Key { return described(optionKeys) }

// GroupKeys is the keys of :::group: lines.
func GroupKeys() []Key { return described(groupKeys) }

func described[T any](keys []key[T]) (list []Key) {
	for _, k := range keys {
		list = append(list, k.Key)
	}
	return list
}

// A key is all that is to be known of an option of a T: a new one is a row, and the field that its value is kept in.
type key[T any] struct {
	Key
	set func(o *T, value string) bool // says whether value is one
}

const (
	aTime  = "seconds, at most 86400"
	aLimit = `a number (k, M, G for 1024, ...) or "unlimited"; SOFT:HARD if they differ`
)

var optionKeys = []key[Options]{
	{Key{"stop_signal", "a signal's name or number", "signal to stop it with; INT (isinit: TERM) if not said"}, setSignal},
	{
		Key{"stop_timeout", aTime, "time from that signal to KILL; TERM comes at a third of it; 15 (isinit: 31) if not said"},
		setTime(0, func(o *Options) *time.Duration { return &o.StopTimeout }),
	},
	{
		Key{"backoff", aTime + ", at least 1", "pause when it respawns too rapidly; 60 if not said"},
		setTime(time.Second, func(o *Options) *time.Duration { return &o.Backoff }),
	},
	{
		Key{"ready", "a shell command", "asked until it succeeds; later entries wait for that"},
		setText(func(o *Options) *string { return &o.Ready }),
	},
	{
		Key{"ready_timeout", aTime + ", at least 1", "time after which the entry has failed if ready has not succeeded; 60 if not said"},
		setTime(time.Second, func(o *Options) *time.Duration { return &o.ReadyTimeout }),
	},
	{Key{"user", "USER or USER:GROUP, by name or number", "who it runs as"}, setUser},
	{Key{"cwd", "an absolute path", "directory that it runs in"}, setPath(func(o *Options) *string { return &o.Cwd })},
	{Key{repeatable, "NAME=VALUE", "variable of its environment; may be said again for others"}, setEnv},
	{
		Key{"log", `an absolute path, "syslog" or "journal"`, "where its output goes"},
		setPath(func(o *Options) *string { return &o.Log }, "syslog", "journal"),
	},
	{Key{"log_max", "a number of bytes, at least 1k (k, M, G for 1024, ...)", "size at which its log file is rotated; 20M if not said"}, setLogMax},
	{Key{"umask", "an octal number up to 777", "its umask"}, setInt(8, 0, 0o777, func(o *Options) **int { return &o.Umask })},
	{Key{"nofile", aLimit, "limit of open files"}, setLimit("nofile")},
	{Key{"core", aLimit, "limit of a core file, in bytes"}, setLimit("core")},
	{Key{"as", aLimit, "limit of address space, in bytes"}, setLimit("as")},
	{Key{"nproc", aLimit, "limit of its user's processes"}, setLimit("nproc")},
	{Key{"cpu", aLimit, "limit of CPU time, in seconds"}, setLimit("cpu")},
	{Key{"fsize", aLimit, "limit of a file that it writes, in bytes"}, setLimit("fsize")},
	{Key{"stack", aLimit, "limit of its stack, in bytes"}, setLimit("stack")},
	{Key{"memlock", aLimit, "limit of locked memory, in bytes"}, setLimit("memlock")},
	{Key{"data", aLimit, "limit of its data, in bytes"}, setLimit("data")},
	{Key{"nice", "a number from -20 to 19", "its niceness"}, setInt(10, -20, 19, func(o *Options) **int { return &o.Nice })},
	{
		Key{"leftover", "end or keep", "what becomes of processes that are left when the command itself has ended; end if not said"},
		setWord("end", "keep", func(o *Options) *bool { return &o.KeepLeftover }),
	},
}

// repeatable is the one key that says more when it is said again.
const repeatable = "env"

var groupKeys = []key[GroupOptions]{
	{
		Key{"stop_order", "together or reverse", "order in which entries stop: all at once, or the last first; together if not said"},
		setWord("together", "reverse", func(o *GroupOptions) *bool { return &o.StopReverse }),
	},
}

// An optionOf is a line :::opt:NAME:KEY=VALUE or :::group:NAME:KEY=VALUE, of which text begins with NAME.
type optionOf struct {
	line  int
	group bool
	text  string
}

// options takes the option lines, which may stand before what they are of.
func (p *parser) options() {
	for _, said := range p.later {
		p.line = said.line
		name, text, _ := strings.Cut(said.text, ":")
		at, isTag := p.tags[name]
		o, isGroup := p.table.GroupOptions[name]
		switch {
		case said.group && text == "":
			p.errorf("an option of a group is incomplete: write :::group:GROUP:KEY=VALUE")
		case text == "":
			p.errorf("an option is incomplete: write :::opt:TAG:KEY=VALUE")
		case said.group && isGroup:
			option(p, groupKeys, &o, "group "+clip(name), text)
			p.table.GroupOptions[name] = o
		case said.group:
			p.errorf("there is no group %s to have option %s: name a group of this file, or take the line out", clip(name), clip(text))
		case isTag:
			option(p, optionKeys, &p.table.Entries[at].Options, "entry "+clip(name), text)
		default:
			p.errorf("there is no entry %s to have option %s: name the tag of an entry of this file, or take the line out", clip(name), clip(text))
		}
	}
}

// option takes one KEY=VALUE.
func option[T any](p *parser, keys []key[T], o *T, of, text string) {
	name, value, found := strings.Cut(text, "=")
	at := slices.IndexFunc(keys, func(k key[T]) bool { return k.Name == name })
	switch {
	case at < 0:
		near := slices.MinFunc(keys, func(a, b key[T]) int {
			return cmp.Compare(command.Distance(name, a.Name), command.Distance(name, b.Name))
		})
		p.errorf("%s has the unknown option %s: the nearest known is %s, which wants %s", of, clip(name), near.Name, near.Value)
	case !found || !keys[at].set(o, value):
		p.errorf("option %s of %s is %s: write %s=%s", name, of, clip(value), name, keys[at].Value)
	case name != repeatable:
		p.repeated("option " + name + " of " + of)
	}
}

func setSignal(o *Options, value string) bool {
	n := unix.SignalNum("SIG" + strings.TrimPrefix(value, "SIG"))
	if number, err := strconv.ParseUint(value, 10, 8); err == nil && number <= 64 {
		n = syscall.Signal(number)
	}
	o.StopSignal = n
	return n != 0
}

func setTime(least time.Duration, of func(*Options) *time.Duration) func(*Options, string) bool {
	return func(o *Options, value string) bool {
		d, err := command.Seconds(value)
		*of(o) = d
		return err == nil && d >= least && d <= 24*time.Hour
	}
}

func setText(of func(*Options) *string) func(*Options, string) bool {
	return func(o *Options, value string) bool {
		*of(o) = value
		return strings.Trim(value, blanks) != ""
	}
}

func setPath(of func(*Options) *string, others ...string) func(*Options, string) bool {
	return func(o *Options, value string) bool {
		*of(o) = value
		return filepath.IsAbs(value) || slices.Contains(others, value)
	}
}

func setWord[T any](no, yes string, of func(*T) *bool) func(*T, string) bool {
	return func(o *T, value string) bool {
		*of(o) = value == yes
		return value == yes || value == no
	}
}

func setInt(base, least, most int, of func(*Options) **int) func(*Options, string) bool {
	return func(o *Options, value string) bool {
		n, err := strconv.ParseInt(value, base, 32)
		*of(o) = new(int(n))
		return err == nil && int(n) >= least && int(n) <= most
	}
}

func setUser(o *Options, value string) bool {
	user, group, both := strings.Cut(value, ":")
	o.User, o.Group = user, group
	odd := func(r rune) bool { return r == ':' || unicode.IsSpace(r) || unicode.IsControl(r) }
	return user != "" && both == (group != "") && !strings.ContainsFunc(user+group, odd)
}

func setEnv(o *Options, value string) bool {
	name, _, found := strings.Cut(value, "=")
	letter := func(r rune) bool { return r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }
	for i, r := range name {
		if !letter(r) && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	o.Env = append(o.Env, value)
	return found && name != ""
}

func setLogMax(o *Options, value string) bool {
	n, ok := size(value)
	o.LogMax = int64(n)
	return ok && n >= 1<<10
}

func setLimit(name string) func(*Options, string) bool {
	return func(o *Options, value string) bool {
		first, second, both := strings.Cut(value, ":")
		soft, ok := limit(first)
		hard, ok2 := soft, ok
		if both {
			hard, ok2 = limit(second)
		}
		o.Limits = slices.DeleteFunc(o.Limits, func(l Limit) bool { return l.Name == name })
		o.Limits = append(o.Limits, Limit{name, soft, hard})
		slices.SortFunc(o.Limits, func(a, b Limit) int { return cmp.Compare(a.Name, b.Name) })
		return ok && ok2 && soft <= hard
	}
}

func limit(text string) (n uint64, ok bool) {
	if text == "unlimited" {
		return Unlimited, true
	}
	return size(text)
}

// size reads a number, with or without k, M or G.
func size(text string) (n uint64, ok bool) {
	factor := uint64(1)
	for i, unit := range []string{"k", "M", "G"} {
		if digits, found := strings.CutSuffix(text, unit); found {
			text, factor = digits, 1<<(10*(i+1))
			break
		}
	}
	n, err := strconv.ParseUint(text, 10, 63)
	return n * factor, err == nil && n <= math.MaxInt64/factor
}
