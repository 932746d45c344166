package clinit

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestOptions sets every option there is, and looks at the field that it is for.
func TestOptions(t *testing.T) {
	t.Parallel()
	said := map[string]bool{}
	for text, want := range map[string]func(*Options){
		"stop_signal=TERM":                func(o *Options) { o.StopSignal = syscall.SIGTERM },
		"stop_signal=SIGHUP":              func(o *Options) { o.StopSignal = syscall.SIGHUP },
		"stop_signal=9":                   func(o *Options) { o.StopSignal = syscall.SIGKILL },
		"stop_timeout=0":                  func(o *Options) { o.StopTimeout = 0 },
		"stop_timeout=2.5":                func(o *Options) { o.StopTimeout = 2500 * time.Millisecond },
		"backoff=1":                       func(o *Options) { o.Backoff = time.Second },
		"ready=curl http://[::1]:80/?a=b": func(o *Options) { o.Ready = "curl http://[::1]:80/?a=b" },
		"ready_timeout=86400":             func(o *Options) { o.ReadyTimeout = 24 * time.Hour },
		"user=www-data":                   func(o *Options) { o.User = "www-data" },
		"user=33:0":                       func(o *Options) { o.User, o.Group = "33", "0" },
		"cwd=/srv/a b":                    func(o *Options) { o.Cwd = "/srv/a b" },
		"env=A=b=c:d ":                    func(o *Options) { o.Env = []string{"A=b=c:d "} },
		"env=_9=":                         func(o *Options) { o.Env = []string{"_9="} },
		"log=/var/log/x":                  func(o *Options) { o.Log = "/var/log/x" },
		"log=syslog":                      func(o *Options) { o.Log = "syslog" },
		"log=journal":                     func(o *Options) { o.Log = "journal" },
		"log_max=1024":                    func(o *Options) { o.LogMax = 1024 },
		"log_max=5M":                      func(o *Options) { o.LogMax = 5 << 20 },
		"umask=027":                       func(o *Options) { o.Umask = new(0o27) },
		"umask=0":                         func(o *Options) { o.Umask = new(0) },
		"nice=-20":                        func(o *Options) { o.Nice = new(-20) },
		"leftover=keep":                   func(o *Options) { o.KeepLeftover = true },
		"leftover=end":                    func(*Options) {},
		"nofile=4k":                       func(o *Options) { o.Limits = []Limit{{"nofile", 4096, 4096}} },
		"core=unlimited":                  func(o *Options) { o.Limits = []Limit{{"core", Unlimited, Unlimited}} },
		"as=2G:unlimited":                 func(o *Options) { o.Limits = []Limit{{"as", 2 << 30, Unlimited}} },
		"nproc=1:2":                       func(o *Options) { o.Limits = []Limit{{"nproc", 1, 2}} },
		"cpu=0":                           func(o *Options) { o.Limits = []Limit{{"cpu", 0, 0}} },
		"fsize=1":                         func(o *Options) { o.Limits = []Limit{{"fsize", 1, 1}} },
		"stack=8M":                        func(o *Options) { o.Limits = []Limit{{"stack", 8 << 20, 8 << 20}} },
		"memlock=64k":                     func(o *Options) { o.Limits = []Limit{{"memlock", 65536, 65536}} },
		"data=1k":                         func(o *Options) { o.Limits = []Limit{{"data", 1024, 1024}} },
	} {
		name, _, _ := strings.Cut(text, "=")
		said[name] = true
		for _, d := range []Dialect{Clinit, Isinit} {
			before, after := ":::opt:t:"+text+"\ng:t:1:once:x", "g:t:1:once:x\n:::opt:t:"+text
			for _, file := range []string{before, after} {
				options := DefaultOptions(d)
				want(&options)
				table, problems := Parse("f", []byte(file), d)
				if wantLines(t, text, problems); table == nil || !reflect.DeepEqual(table.Entries[0].Options, options) {
					t.Errorf("%s of %s:\n%+v\nwant\n%+v", text, d, table, options)
				}
			}
		}
	}
	for _, k := range OptionKeys() {
		if !said[k.Name] || k.Value == "" || k.Meaning == "" {
			t.Errorf("option %s is not tested, or not described", k.Name)
		}
	}
}

// The ways to stop that the originals have.
func TestDefaultOptions(t *testing.T) {
	t.Parallel()
	c, i := DefaultOptions(Clinit), DefaultOptions(Isinit)
	if c.StopSignal != syscall.SIGINT || c.StopTimeout != 15*time.Second || i.StopSignal != syscall.SIGTERM || i.StopTimeout != 31*time.Second {
		t.Errorf("clinit %+v, isinit %+v", c, i)
	}
	if c.Backoff != time.Minute || c.ReadyTimeout != time.Minute || c.LogMax != 20<<20 || c.Umask != nil || c.Nice != nil {
		t.Errorf("%+v", c)
	}
}

func TestOptionsSeveral(t *testing.T) {
	t.Parallel()
	table, problems := Parse("f", []byte(`g:a:1:once:x
g:b:1:once:x
:::opt:a:env=A=1
:::opt:a:env=B=2
:::opt:a:nofile=1
:::opt:b:nofile=2
:::opt:a:nofile=4
:::opt:a:as=3
:::group:g:stop_order=reverse
`), Clinit)
	wantLines(t, "problems", problems, `f:7: warning: option nofile of entry "a" is on line 5 already: this line counts, take one of them out`)
	a, b := table.Entries[0].Options, table.Entries[1].Options
	wantLines(t, "environment", a.Env, "A=1", "B=2")
	if !slices.Equal(a.Limits, []Limit{{"as", 3, 3}, {"nofile", 4, 4}}) || !slices.Equal(b.Limits, []Limit{{"nofile", 2, 2}}) || b.Env != nil {
		t.Errorf("options: %+v, %+v", a, b)
	}
	if !table.GroupOptions["g"].StopReverse {
		t.Error("the group's option is not taken")
	}
	for _, k := range GroupKeys() {
		if k.Name != "stop_order" {
			t.Errorf("option %s is not tested", k.Name)
		}
	}
	table, problems = Parse("f", []byte("g:t:1:once:a\ng:t:1:once:b\n:::opt:t:nice=1\n:::group:g:stop_order=together"), Isinit)
	if len(problems) != 1 || len(table.Entries) != 1 || table.Entries[0].Options.Nice == nil || table.GroupOptions["g"].StopReverse {
		t.Errorf("the last of two entries: %+v, %v", table, problems)
	}
}

// Every bad option has one line, which refuses the file.
func TestOptionsBad(t *testing.T) {
	t.Parallel()
	const t1 = `option KEY of entry "t" is `
	number, aTime := `a number (k, M, G for 1024, ...) or "unlimited"; SOFT:HARD if they differ`, "seconds, at most 86400"
	for text, want := range map[string]string{
		"opt:t:stop_tiemout=5":             `entry "t" has the unknown option "stop_tiemout": the nearest known is stop_timeout, which wants ` + aTime,
		"opt:t:":                           "an option is incomplete: write :::opt:TAG:KEY=VALUE",
		"opt:":                             "an option is incomplete: write :::opt:TAG:KEY=VALUE",
		"opt":                              "an option is incomplete: write :::opt:TAG:KEY=VALUE",
		"group:g":                          "an option of a group is incomplete: write :::group:GROUP:KEY=VALUE",
		"opt:no:cwd=/":                     `there is no entry "no" to have option "cwd=/": name the tag of an entry of this file, or take the line out`,
		"opt:g:stop_order=reverse":         `there is no entry "g" to have option "stop_order=reverse": name the tag of an entry of this file, or take the line out`,
		"group:t:stop_order=x":             `there is no group "t" to have option "stop_order=x": name a group of this file, or take the line out`,
		"group:g:stop_order=x":             `option stop_order of group "g" is "x": write stop_order=together or reverse`,
		"group:g:cwd=/":                    `group "g" has the unknown option "cwd": the nearest known is stop_order, which wants together or reverse`,
		"opt:t:cwd":                        t1 + `"": write cwd=an absolute path`,
		"opt:t:cwd=":                       t1 + `"": write cwd=an absolute path`,
		"opt:t:cwd=a/b":                    t1 + `"a/b": write cwd=an absolute path`,
		"opt:t: cwd=/":                     `entry "t" has the unknown option " cwd": the nearest known is cwd, which wants an absolute path`,
		"opt:t:stop_signal=SIG":            t1 + `"SIG": write stop_signal=a signal's name or number`,
		"opt:t:stop_signal=0":              t1 + `"0": write stop_signal=a signal's name or number`,
		"opt:t:stop_signal=65":             t1 + `"65": write stop_signal=a signal's name or number`,
		"opt:t:stop_timeout=-1":            t1 + `"-1": write stop_timeout=` + aTime,
		"opt:t:stop_timeout=86401":         t1 + `"86401": write stop_timeout=` + aTime,
		"opt:t:stop_timeout=5s":            t1 + `"5s": write stop_timeout=` + aTime,
		"opt:t:stop_timeout=nan":           t1 + `"nan": write stop_timeout=` + aTime,
		"opt:t:stop_timeout=inf":           t1 + `"inf": write stop_timeout=` + aTime,
		"opt:t:backoff=0.5":                t1 + `"0.5": write backoff=` + aTime + ", at least 1",
		"opt:t:ready=  ":                   t1 + `"  ": write ready=a shell command`,
		"opt:t:ready_timeout=0":            t1 + `"0": write ready_timeout=` + aTime + ", at least 1",
		"opt:t:user=:g":                    t1 + `":g": write user=USER or USER:GROUP, by name or number`,
		"opt:t:user=u:":                    t1 + `"u:": write user=USER or USER:GROUP, by name or number`,
		"opt:t:user=a:b:c":                 t1 + `"a:b:c": write user=USER or USER:GROUP, by name or number`,
		"opt:t:user=a b":                   t1 + `"a b": write user=USER or USER:GROUP, by name or number`,
		"opt:t:env=A":                      t1 + `"A": write env=NAME=VALUE`,
		"opt:t:env==x":                     t1 + `"=x": write env=NAME=VALUE`,
		"opt:t:env=1A=x":                   t1 + `"1A=x": write env=NAME=VALUE`,
		"opt:t:env=A B=x":                  t1 + `"A B=x": write env=NAME=VALUE`,
		"opt:t:log=x":                      t1 + `"x": write log=an absolute path, "syslog" or "journal"`,
		"opt:t:log_max=1000":               t1 + `"1000": write log_max=a number of bytes, at least 1k (k, M, G for 1024, ...)`,
		"opt:t:log_max=5Mk":                t1 + `"5Mk": write log_max=a number of bytes, at least 1k (k, M, G for 1024, ...)`,
		"opt:t:log_max=8589934592G":        t1 + `"8589934592G": write log_max=a number of bytes, at least 1k (k, M, G for 1024, ...)`,
		"opt:t:umask=8":                    t1 + `"8": write umask=an octal number up to 777`,
		"opt:t:umask=1000":                 t1 + `"1000": write umask=an octal number up to 777`,
		"opt:t:nofile=":                    t1 + `"": write nofile=` + number,
		"opt:t:nofile=2:1":                 t1 + `"2:1": write nofile=` + number,
		"opt:t:core=1:":                    t1 + `"1:": write core=` + number,
		"opt:t:as=-1":                      t1 + `"-1": write as=` + number,
		"opt:t:cpu=unlimited:1":            t1 + `"unlimited:1": write cpu=` + number,
		"opt:t:data=9223372036854775808":   t1 + `"9223372036854775808": write data=` + number,
		"opt:t:nice=20":                    t1 + `"20": write nice=a number from -20 to 19`,
		"opt:t:leftover=kill":              t1 + `"kill": write leftover=end or keep`,
		"opt:t:" + strings.Repeat("x", 99): `entry "t" has the unknown option "` + strings.Repeat("x", 60) + `"...: the nearest known is KEY, which wants`,
	} {
		table, problems := Parse("f", []byte("g:t:1:once:x\n:::"+text+"\n"), Clinit)
		if table != nil || len(problems) != 1 {
			t.Errorf("%s: %v, %v", text, table, problems)
			continue
		}
		if len(text) > 99 { // any is as near
			want, _, _ = strings.Cut(want, " KEY")
			problems[0].Text = problems[0].Text[:min(len(want), len(problems[0].Text))]
		}
		name, _, _ := strings.Cut(text[strings.LastIndex(text[:cmp.Or(strings.Index(text, "=")+1, len(text))], ":")+1:], "=")
		wantLines(t, text, problems, "f:2: error: "+strings.ReplaceAll(want, "KEY of", name+" of"))
	}
}

// An option of an entry that is refused for something else has no problem of its own.
func TestOptionsOfBadEntry(t *testing.T) {
	t.Parallel()
	_, problems := Parse("f", []byte("g:t:1:bogus:x\n:::opt:t:cwd=/\n:::group:g:stop_order=reverse\n"), Clinit)
	if len(problems) != 1 || problems[0].Line != 1 {
		t.Errorf("%v", problems)
	}
}
