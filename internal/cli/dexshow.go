package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"

	"backtowork/internal/api"
	"backtowork/internal/command"
	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
)

const dexPreviousUsage = `Usage: dex-previous [-o json] [LOCK=default]

On the node that has the lock: prints the node that it was taken from, which fell silent with
it; -invalid- if that gave it back, or there was none. On another node: prints who has the
lock. An empty line if nothing is known of the lock here.
With -o json: {"lock":"L","previous":"h1"}; "" if there was none.

Example: dex-lock/dex-previous backup
`

const dexShowUsage = `Usage: dex-show [-o json] [--all | LOCK=default]

Shows a lock as this node sees it, and as each lock server does. --all shows every lock, a
line for each: its holder (-invalid- for none), term, seq, the seconds of its timeout and
stop timeout, and the seconds left until the holder may be taken for gone (- if no leader says).

With -o json one document is printed, and what is not known in it is null:
  {"lock":"L","leader":"h1","local":{"holder":"h1","term":1,"seq":3,"counter":30,"previous":""},
   "servers":[{"server":"h1","holder":"h1","term":1,"seq":1,"timeout":30,"stop":0,"left":30.2},
              {"server":"h2","error":"no answer"}]}
  {"locks":[{"lock":"L","holder":"h1","term":1,"seq":1,"timeout":30,"stop":0,"left":30.2}],
   "errors":[{"server":"h2","error":"no answer"}]}                                (with --all)
Then, and with --all, the exit status is 1 if no lock server answered. Where no server has a leader
("" in the document) it is said that all this may have changed since.

Example: dex-lock/dex-show backup
`

// A lockView is a lock, for people and programs.
type lockView struct {
	Holder  string   `json:"holder"`
	Term    uint64   `json:"term"`
	Seq     uint64   `json:"seq"`
	Timeout float64  `json:"timeout"`
	Stop    float64  `json:"stop"`
	Left    *float64 `json:"left"`
	Blocked string   `json:"blocked,omitempty"` // why no other node may have it
}

func viewOf(state api.State) *lockView {
	k := state.Lock
	v := &lockView{k.Node, k.Term, k.Seq, k.Times.Timeout.Seconds(), k.Times.Stop.Seconds(), nil, k.Blocked}
	if state.Left > 0 {
		left := float64(state.Left) / 1000
		v.Left = &left
	}
	return v
}

// A serverFault is why a server gave no answer.
type serverFault struct {
	Server string `json:"server"`
	Error  string `json:"error"`
}

// An answer is what one lock server said.
type answer[Value any] struct {
	server string
	value  Value
	err    error
}

// askAll asks every server for what stands at path, all at the same time.
func askAll[Value any](ctx context.Context, c *lockclient.Client, path string) []answer[Value] {
	answers := make([]answer[Value], len(c.Servers))
	var wg sync.WaitGroup
	for i, server := range c.Servers {
		answers[i].server = server.Entry
		wg.Go(func() { answers[i].err = c.Get(ctx, server.Entry, path, &answers[i].value) })
	}
	wg.Wait()
	return answers
}

// faults returns the servers that did not answer. none is the error for a command to which no
// server answered.
func faults[Value any](answers []answer[Value]) (all []serverFault, none error) {
	all = []serverFault{}
	for _, a := range answers {
		if a.err != nil {
			all = append(all, serverFault{a.server, lockclient.Reason(a.err)})
		}
	}
	if len(all) == len(answers) {
		none = command.Status(1)
	}
	return all, none
}

func (s *site) sayFaults(all []serverFault) {
	for _, f := range all {
		fmt.Fprintf(s.env.Stderr, "%s: %s: %s\n", s.env.Name, f.Server, f.Error)
	}
}

// newer says whether state a is from a later moment than b: by term and seq, which never go back.
func newer(a, b lock.Lock) bool { return a.Term > b.Term || a.Term == b.Term && a.Seq > b.Seq }

// fresher is like newer; of two equal states the one with more time left is fresher.
func fresher(a, b api.State) bool {
	return newer(a.Lock, b.Lock) || !newer(b.Lock, a.Lock) && a.Left > b.Left
}

// lockPath is where a server has the lock.
func lockPath(name string) string { return "/v1/locks/" + url.PathEscape(name) }

// view returns the newest state of a lock that any server knows.
func (s *site) view(ctx context.Context, c *lockclient.Client, name string) (newest api.State, err error) {
	answers := askAll[api.State](ctx, c, lockPath(name))
	for _, a := range answers {
		if a.err == nil && fresher(a.value, newest) {
			newest = a.value
		}
	}
	_, err = faults(answers)
	return newest, err
}

// showArgs takes -o json and --all off the arguments.
func showArgs(env *command.Env, accept string) (rest *command.Env, all, asJSON bool, err error) {
	opts, operands, err := command.Options(env.Args, accept, map[string]byte{"all": 'a'})
	if err != nil {
		return nil, false, false, err
	}
	for _, o := range opts {
		switch {
		case o.Letter == 'a':
			all = true
		case o.Value == "json":
			asJSON = true
		default:
			return nil, false, false, command.Usagef("cannot use %q as an output format: json is the one", o.Value)
		}
	}
	if all && len(operands) > 0 {
		return nil, false, false, command.UsageError("say --all or a lock, not both")
	}
	changed := *env
	changed.Args = operands
	return &changed, all, asJSON, nil
}

// printJSON prints one document.
func printJSON(w io.Writer, document any) error {
	b, err := json.Marshal(document)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", b)
	return err
}

func dexPrevious(_ context.Context, env *command.Env) error {
	env, _, asJSON, err := showArgs(env, "o:")
	if err != nil {
		return err
	}
	a, err := parseLockArgs(env, 1)
	if err != nil {
		return err
	}
	s, err := openSite(env)
	if err != nil {
		return err
	}
	words, err := s.files.HTSP(a.name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	// A script that runs under the lock was told when it began; the file may be written a moment later.
	if term := env.Getenv("BTW_TERM"); env.Getenv("BTW_LOCK") == a.name && term != "" && term != "0" {
		words[3] = lock.Invalid
		if silent := strings.Fields(env.Getenv("BTW_UNFENCED")); len(silent) > 0 {
			words[3] = silent[len(silent)-1]
		}
	}
	if !asJSON {
		_, err := fmt.Fprintln(env.Stdout, words[3])
		return err
	}
	return printJSON(env.Stdout, struct {
		Lock     string `json:"lock"`
		Previous string `json:"previous"`
	}{a.name, noInvalid(words[3])})
}

// noInvalid returns the node, or "" for the word that stands for "no node".
func noInvalid(word string) string {
	if word == lock.Invalid {
		return ""
	}
	return word
}

func dexShow(ctx context.Context, env *command.Env) error {
	env, all, asJSON, err := showArgs(env, "ao:")
	if err != nil {
		return err
	}
	a, err := parseLockArgs(env, 1)
	if err != nil {
		return err
	}
	s, c, err := openClient(env)
	if err != nil {
		return err
	}
	s.warnUnread()
	if all {
		return s.showAll(ctx, c, asJSON)
	}
	leader := askLeader(ctx, c)
	answers := askAll[api.State](ctx, c, lockPath(a.name))
	if asJSON {
		return s.showJSON(a.name, leader(), answers)
	}
	err = s.showText(a.name, answers)
	s.sayStale(ctx, leader(), a.name)
	return err
}

func (s *site) showText(name string, answers []answer[api.State]) error {
	s.showLocal(name)
	fmt.Fprintf(s.env.Stdout, "remote state sequence for %s:\nlock_server holder term seq\n", name)
	blocked := ""
	for _, a := range answers {
		line := ""
		if a.value.Lock.Blocked != "" {
			blocked = fmt.Sprintf("blocked by %s: %s\n", a.value.Lock.Node, a.value.Lock.Blocked)
		}
		switch k := a.value.Lock; {
		case a.err != nil:
			s.sayFaults([]serverFault{{a.server, lockclient.Reason(a.err)}})
		case k.Term == 0:
			line = " lock file not found"
		default:
			line = fmt.Sprintf(" %s %d %d", holderOf(k), k.Term, k.Seq)
		}
		fmt.Fprintf(s.env.Stdout, "%s:%s\n", a.server, line)
	}
	_, err := fmt.Fprint(s.env.Stdout, blocked, "\n")
	return err
}

// holderOf is the node that holds a lock, or the word for none.
func holderOf(k lock.Lock) string {
	if k.Held() {
		return k.Node
	}
	return lock.Invalid
}

// showLocal shows the lock as this node sees it.
func (s *site) showLocal(name string) {
	words, err := s.files.HTSP(name)
	counter, err2 := s.files.Counter(name)
	if errors.Join(err, err2) != nil {
		fmt.Fprintf(s.env.Stdout, "lock %s not initialized\n\n", name)
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "local term seq for %s:\nholder: %s\nterm: %s\nseq: %s\ncounter: %d\nprevious: %s\n\n",
		name, words[0], words[1], words[2], counter, words[3])
	fmt.Fprint(s.env.Stdout, b.String())
}

// A localView is a lock as this node sees it, by its files.
type localView struct {
	Holder   string `json:"holder"`
	Term     uint64 `json:"term"`
	Seq      uint64 `json:"seq"`
	Counter  int    `json:"counter"`
	Previous string `json:"previous"`
}

func (s *site) localView(name string) *localView {
	words, err1 := s.files.HTSP(name)
	counter, err2 := s.files.Counter(name)
	term, err3 := strconv.ParseUint(words[1], 10, 64)
	seq, err4 := strconv.ParseUint(words[2], 10, 64)
	if errors.Join(err1, err2, err3, err4) != nil {
		return nil
	}
	return &localView{noInvalid(words[0]), term, seq, counter, noInvalid(words[3])}
}

func (s *site) showJSON(name, leader string, answers []answer[api.State]) error {
	type server struct {
		Server string `json:"server"`
		*lockView
		Error string `json:"error,omitempty"`
	}
	var servers []server
	for _, a := range answers {
		if a.err != nil {
			servers = append(servers, server{a.server, nil, lockclient.Reason(a.err)})
			continue
		}
		servers = append(servers, server{a.server, viewOf(a.value), ""})
	}
	_, none := faults(answers)
	return errors.Join(printJSON(s.env.Stdout, struct {
		Lock    string     `json:"lock"`
		Leader  string     `json:"leader"`
		Local   *localView `json:"local"`
		Servers []server   `json:"servers"`
	}{name, leader, s.localView(name), servers}), none)
}

// showAll shows every lock, by the newest that any server knows of it.
func (s *site) showAll(ctx context.Context, c *lockclient.Client, asJSON bool) error {
	type table struct {
		Locks map[string]api.State `json:"locks"`
	}
	leader := askLeader(ctx, c)
	answers := askAll[table](ctx, c, "/v1/locks")
	newest := map[string]api.State{}
	for _, a := range answers {
		for name, state := range a.value.Locks {
			if known, ok := newest[name]; !ok || fresher(state, known) {
				newest[name] = state
			}
		}
	}
	silent, none := faults(answers)
	names := slices.Sorted(maps.Keys(newest))
	if asJSON {
		return errors.Join(s.allJSON(names, newest, silent), none)
	}
	s.sayFaults(silent)
	if none != nil {
		return none
	}
	w := tabwriter.NewWriter(s.env.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "lock\tholder\tterm\tseq\ttimeout\tstop\tleft")
	for _, name := range names {
		v := viewOf(newest[name])
		left := tenths(v.Left)
		if v.Blocked != "" {
			left = "blocked: " + v.Blocked
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%g\t%g\t%s\n", name, holderOf(newest[name].Lock), v.Term, v.Seq, v.Timeout, v.Stop, left)
	}
	err := w.Flush()
	s.sayStale(ctx, leader(), "")
	return err
}

// tenths is seconds for people.
func tenths(seconds *float64) string {
	if seconds == nil {
		return "-"
	}
	return strconv.FormatFloat(*seconds, 'f', 1, 64)
}

func (s *site) allJSON(names []string, newest map[string]api.State, silent []serverFault) error {
	type named struct {
		Lock string `json:"lock"`
		*lockView
	}
	locks := []named{}
	for _, name := range names {
		locks = append(locks, named{name, viewOf(newest[name])})
	}
	return printJSON(s.env.Stdout, struct {
		Locks  []named       `json:"locks"`
		Errors []serverFault `json:"errors"`
	}{locks, silent})
}
