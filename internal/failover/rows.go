package failover

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"

	"backtowork/internal/lock"
)

// A param is all that is to be known of one parameter of a package: how it is read, told, warned of and documented
// follows from it. A new parameter is a row, and the field of Params that its value is kept in.
type param struct {
	name     string // a list's ends in _: NAME_0, NAME_1, ... are asked for, up to the first that is empty
	standard string // what counts where the script says nothing
	kind
	doc string

	original bool // it has this parameter too, and so do old scripts
	binding  bool // a package that asks for it must not run without: another node relies on it, or what is killed

	asked func(answers) bool    // says whether it can mean anything, once others were said; nil: always
	told  func(Params) bool     // says whether it means anything; nil: always
	check func(Params) error    // looks at it together with those of the rows before
	warn  func(Params) []string // is what makes little sense, but is obeyed
}

// A kind is what a parameter may be, and where its value is kept. Where set cannot use a text it returns what to say
// instead. What is not set has no values.
type kind struct {
	set    func(p *Params, text string) (say string)
	values func(p *Params) []string
}

// rows are the parameters of a package. The order is that of what is said of them.
var rows = []param{
	{
		name: "pace", original: true, standard: "4", kind: seconds(func(p *Params) *time.Duration { return &p.Pace }), warn: longPace,
		doc: "seconds from one status, and one renewal of the lock, to the next",
	},
	{
		name: "timeout", original: true, standard: "30", kind: seconds(func(p *Params) *time.Duration { return &p.Timeout }), warn: shortTimeout,
		doc: "seconds without the lock servers, degraded, or without an answer of status, until the package is stopped",
	},
	{
		name: "start_timeout", original: true, standard: "30", kind: seconds(func(p *Params) *time.Duration { return &p.StartTimeout }),
		doc: "seconds that start may take",
	},
	{
		name: "stop_timeout", original: true, standard: "30", kind: seconds(func(p *Params) *time.Duration { return &p.StopTimeout }),
		doc: "seconds that stop may take; then all that is left of the package is killed",
	},
	{
		name: priority, original: true, kind: delay(func(p *Params) *time.Duration { return &p.Priority }),
		doc: "seconds that this node waits before it asks for a free lock: lower goes first (NODE: its name, with the domain or without, or in lower case; _ for - and ., and before a digit)",
	},
	{
		name: "retries", standard: "0", kind: count(func(p *Params) *int { return &p.Retries }),
		doc: "times that a package which ran and failed is started again in place, before another node is to start it; counted anew once it has run for 10 times timeout",
	},
	{
		name: "adopt", standard: "yes", kind: choice("yes", "no", func(p *Params) *bool { return &p.Adopt }),
		doc: "no: stop and start a package that an earlier back-to-work left running; yes: go on with it",
	},
	{
		name: "kill_leftovers", standard: "yes", kind: choice("yes", "no", func(p *Params) *bool { return &p.KillLeftovers }),
		doc: "no: do not kill what stop leaves (only when the lock is lost), but keep the lock",
	},
	{
		name: "stop_failure", standard: "block", kind: choice("release", "block", func(p *Params) *bool { return &p.ReleaseAfterFailure }),
		doc: "release: let another node start it although stop failed: two may run; block: keep the lock",
	},
	{
		name: "force_umount", binding: true, standard: "no", kind: choice("yes", "no", func(p *Params) *bool { return &p.ForceUmount }),
		doc: "yes: detach (umount -l) the file systems of fs_dir_0 ... when stop leaves them mounted",
	},
	{
		name: "self_fence", binding: true, standard: "no", kind: choice("reboot", "no", func(p *Params) *bool { return &p.SelfFence }),
		doc: "reboot: reset this host (sysrq b) when the package cannot be shown to be down",
	},
	{
		name: "fence_required", binding: true, standard: "no", kind: choice("yes", "no", func(p *Params) *bool { return &p.FenceRequired }), told: hasFence,
		doc: "yes: take over from a silent node only after its fence",
	},
	{
		name: "fence_timeout", standard: "60", kind: seconds(func(p *Params) *time.Duration { return &p.FenceTimeout }), told: hasFence,
		asked: func(a answers) bool { return a["fence"] != "" },
		doc:   "seconds that a fence may take",
	},
	{
		name: "fence", binding: true, kind: module(func(p *Params) *string { return &p.Fence }), check: fenceOrNone,
		doc: "module that powers a silent node off: then another node takes over at once",
	},
	{
		name: "kill_unit_", binding: true, kind: list("the name of a unit of systemd", isUnit, func(p *Params) *[]string { return &p.KillUnits }),
		doc: "units of systemd that belong to the package, and are killed with it; they must have Restart=no",
	},
	{
		name: "clinit_group_", binding: true, kind: list("the name of a group of clinit", isGroup, func(p *Params) *[]string { return &p.Groups }),
		doc: "groups of clinit that the package consists of (modules/clinit.all): their processes are killed with it",
	},
	{
		name: "clinit_socket", binding: true, kind: path(func(p *Params) *string { return &p.Socket }), told: hasGroups,
		asked: func(a answers) bool { return a["clinit_group_0"] != "" },
		doc:   "where the daemon of clinit listens, if its file says :::socket: (/var/run/clinit/clinit.s)",
	},
	{
		name: "vip_ip_", kind: addresses, warn: noAddress,
		doc: "addresses of the package: taken away when stop leaves them",
	},
	{
		name: "fs_dir_", kind: directories, asked: func(a answers) bool { return a["force_umount"] == "yes" },
		doc: "mount points of the package, for force_umount=yes",
	},
	{
		name: "fs_dev_", kind: list("a device, server:/path or directory", isSource, func(p *Params) *[]string { return &p.Sources }),
		asked: func(a answers) bool { return a["force_umount"] == "yes" },
		doc:   "what is mounted there: where it is said, force_umount leaves all else",
	},
}

// priority is said for each node, under another name.
const priority = "priority"

// askedAs is what the script is asked for on a host: what it says first of these counts.
func (r param) askedAs(host hostNames) []string {
	if r.name == priority {
		return host.priorities()
	}
	return []string{r.name}
}

func (r param) isList() bool { return strings.HasSuffix(r.name, "_") }

// nth is the name of the value n of the parameter called name.
func (r param) nth(name string, n int) string {
	if r.isList() {
		return name + strconv.Itoa(n)
	}
	return name
}

// A Parameter is what people are told of a parameter of a package.
type Parameter struct {
	Name    string // NODE stands for the name of a node; of a list it is the first
	Default string // "" for none
	Doc     string
}

// Parameters are all that a package script may say.
func Parameters() (all []Parameter) {
	for _, r := range rows {
		all = append(all, Parameter{r.nth(r.askedAs(hostNames{"NODE"})[0], 0), r.standard, r.doc})
	}
	return all
}

// seconds is more than none.
func seconds(at func(*Params) *time.Duration) kind {
	return kind{
		func(p *Params, text string) string {
			n, err := strconv.Atoi(text)
			if err != nil || n <= 0 || n > 1_000_000 {
				return "whole seconds, more than 0"
			}
			*at(p) = time.Duration(n) * time.Second
			return ""
		},
		func(p *Params) []string { return []string{whole(*at(p))} },
	}
}

// delay is seconds, or none: less than 0 is the same as 0.
func delay(at func(*Params) *time.Duration) kind {
	return kind{
		func(p *Params, text string) string {
			n, err := strconv.Atoi(text)
			if err != nil || n > 1_000_000 {
				return "whole seconds"
			}
			*at(p) = time.Duration(max(n, 0)) * time.Second
			return ""
		},
		func(p *Params) []string {
			if *at(p) <= 0 {
				return nil
			}
			return []string{whole(*at(p))}
		},
	}
}

// count is a number of times.
func count(at func(*Params) *int) kind {
	return kind{
		func(p *Params, text string) string {
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 || n > 1000 {
				return "a whole number, 0 to 1000"
			}
			*at(p) = n
			return ""
		},
		func(p *Params) []string { return []string{strconv.Itoa(*at(p))} },
	}
}

func whole(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

// choice is one of two words: on, which is true, or off.
func choice(on, off string, at func(*Params) *bool) kind {
	return kind{
		func(p *Params, text string) string {
			if text != on && text != off {
				return on + " or " + off
			}
			*at(p) = text == on
			return ""
		},
		func(p *Params) []string {
			if *at(p) {
				return []string{on}
			}
			return []string{off}
		},
	}
}

// module is the name of one, or none.
func module(at func(*Params) *string) kind {
	return kind{
		func(p *Params, text string) string {
			if *at(p) = text; lock.CheckName(text) != nil {
				return "the name of a module"
			}
			return ""
		},
		func(p *Params) []string {
			if *at(p) == "" {
				return nil
			}
			return []string{*at(p)}
		},
	}
}

// list is texts that are good; what they should be is for the others.
func list(what string, good func(string) bool, at func(*Params) *[]string) kind {
	return kind{
		func(p *Params, text string) string {
			if !good(text) {
				return what
			}
			*at(p) = append(*at(p), text)
			return ""
		},
		func(p *Params) []string { return *at(p) },
	}
}

// addresses takes what is one. What is none is the module's to refuse: old scripts may mean
// something else by it.
var addresses = kind{
	func(p *Params, text string) string {
		p.vips = append(p.vips, text)
		if _, err := netip.ParseAddr(text); err == nil {
			p.VIPs = append(p.VIPs, text)
		}
		return ""
	},
	func(p *Params) []string { return p.vips },
}

var directories = kind{
	func(p *Params, text string) string {
		dir := filepath.Clean(text)
		if !filepath.IsAbs(text) || dir == "/" {
			return "the full path of a directory"
		}
		p.Mounts = append(p.Mounts, dir)
		return ""
	},
	func(p *Params) []string { return p.Mounts },
}

func isUnit(text string) bool {
	return text[0] != '-' && !strings.ContainsFunc(text, func(r rune) bool {
		return r == '/' || unicode.IsSpace(r) || !unicode.IsPrint(r)
	})
}

// isSource takes all: what is none is the module's to refuse.
func isSource(string) bool { return true }

// isGroup takes what cltab can have as a group, and a file's name.
func isGroup(text string) bool {
	return text != "." && text != ".." && !strings.ContainsFunc(text, func(r rune) bool {
		return r == '/' || r == ':' || unicode.IsSpace(r) || !unicode.IsPrint(r)
	})
}

// path is one that is absolute.
func path(at func(*Params) *string) kind {
	return kind{
		func(p *Params, text string) string {
			if *at(p) = text; !strings.HasPrefix(text, "/") || !isUnit(strings.ReplaceAll(text[1:], "/", "x")+"x") {
				return "an absolute path"
			}
			return ""
		},
		func(p *Params) []string {
			if *at(p) == "" {
				return nil
			}
			return []string{*at(p)}
		},
	}
}

func hasGroups(p Params) bool { return len(p.Groups) > 0 }

func hasFence(p Params) bool { return p.Fence != "" }

func fenceOrNone(p Params) error {
	if p.FenceRequired && p.Fence == "" {
		return errors.New(`cannot use fence_required="yes": fence says no module`)
	}
	return nil
}

func longPace(p Params) []string {
	if p.Pace <= p.Timeout {
		return nil
	}
	return []string{fmt.Sprintf("pace (%v) is longer than timeout (%v).", p.Pace, p.Timeout)}
}

func shortTimeout(p Params) []string {
	if p.Timeout >= 8*time.Second {
		return nil
	}
	return []string{fmt.Sprintf("timeout (%v) is below 8s: the lock is lost when the leading lock server crashes.", p.Timeout)}
}

func noAddress(p Params) (w []string) {
	for i, vip := range p.vips {
		if _, err := netip.ParseAddr(vip); err != nil {
			w = append(w, fmt.Sprintf("vip_ip_%d=%q is not an IP address.", i, vip))
		}
	}
	return w
}
