package clinit

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	askLimit   = 20 * time.Second // a client that says nothing for so long is left
	endLimit   = time.Second      // likewise one that does not take its answer, when the daemon ends
	clientsMax = 256
)

// What the original's clients ask for beside a level.
const (
	allGroups    = ":::ALL:::"
	shutdown     = ":::SHUTDOWN:::"
	noGroup      = "::ALL::" // an unknown group makes the original read its file again
	rereadLevel  = "::REREAD::"
	stopAllText  = "stopall" // IS::Init
	nothingGroup = "0"       // IS::Init: "0 0"
)

// Serve answers clients until l is closed. A client has a goroutine of its own: none waits for another.
func (d *Daemon) Serve(l net.Listener) error {
	c := clients{open: map[net.Conn]bool{}}
	defer c.end()
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil { // as without file descriptors
			c.drop(0)
			select {
			case <-time.After(lastLook):
				continue
			case <-d.over:
				return err
			}
		}
		c.add(conn)
		c.all.Go(func() {
			defer c.close(conn)
			d.client(conn, &c)
		})
	}
}

// clients are those that are connected. One that says nothing has to go when there are many of them; one that waits
// stays, but there are not to be so many that no descriptors are left to begin processes with.
type clients struct {
	all sync.WaitGroup

	mu    sync.Mutex
	open  map[net.Conn]bool
	quiet []net.Conn // have not said what they want; by age
	over  bool
}

func (c *clients) add(conn net.Conn) {
	c.mu.Lock()
	c.open[conn] = true
	c.quiet = append(c.quiet, conn)
	c.mu.Unlock()
	_ = conn.SetReadDeadline(time.Now().Add(askLimit))
	c.drop(clientsMost())
}

// drop lets go of the eldest that say nothing, if there are more than most.
func (c *clients) drop(most int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ; len(c.quiet) > most; c.quiet = c.quiet[1:] {
		c.quiet[0].Close()
	}
}

// heard notes that a client has said what it wants, and says whether there is room for it to wait.
func (c *clients) heard(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.quiet = slices.DeleteFunc(c.quiet, func(q net.Conn) bool { return q == conn })
	_ = conn.SetReadDeadline(time.Time{})
	return len(c.open)-len(c.quiet) <= clientsMost()
}

// answers gives a client that does not read only so long to take its answer.
func (c *clients) answers(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	limit := askLimit
	if c.over {
		limit = endLimit
	}
	_ = conn.SetWriteDeadline(time.Now().Add(limit))
}

func (c *clients) close(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	conn.Close()
	delete(c.open, conn)
	c.quiet = slices.DeleteFunc(c.quiet, func(q net.Conn) bool { return q == conn })
}

// end waits until those that are to have an answer have it. The others are let go.
func (c *clients) end() {
	c.drop(0)
	c.mu.Lock()
	c.over = true
	for conn := range c.open {
		_ = conn.SetWriteDeadline(time.Now().Add(endLimit))
	}
	c.mu.Unlock()
	c.all.Wait()
}

// clientsMost is how many may say nothing, and how many may wait.
func clientsMost() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil || uint64(limit.Cur) > 4*clientsMax {
		return clientsMax
	}
	return int(limit.Cur) / 4
}

// client serves one connection: one question in a frame, or IS::Init's lines.
func (d *Daemon) client(conn net.Conn, c *clients) {
	in := bufio.NewReader(conn)
	if !isFrame(in) {
		if d.cfg.Dialect == Isinit {
			d.lines(in)
		}
		return
	}
	said, err := readFrame(in)
	if err != nil {
		return
	}
	ask, ours := asAsk(said)
	if !c.heard(conn) && ask.Wait != "" {
		c.answers(conn)
		_ = writeFrame(conn, Answer{Msg: "too many clients wait already", Refused: true}.frame(ours))
		return
	}
	var gone chan struct{}
	if ask.Wait != "" { // else it may well be one that has closed its half of the connection
		gone = make(chan struct{})
		go func() { // ends when the connection is closed, here or there
			_, _ = in.ReadByte()
			close(gone)
		}()
	}
	answer, ok := d.Do(ask, gone)
	if !ok {
		return
	}
	c.answers(conn)
	_ = writeFrame(conn, answer.frame(ours))
}

// isFrame says whether a frame begins here. It waits for no more than it takes to know.
func isFrame(in *bufio.Reader) bool {
	for i := range 8 {
		if head, err := in.Peek(i + 1); err != nil || head[i] < '0' || head[i] > '9' {
			return false
		}
	}
	return true
}

// asAsk is what a frame asks for. ours says that it comes from our own client.
func asAsk(said map[string]string) (ask Ask, ours bool) {
	if text, ok := said["ask"]; ok && json.Unmarshal([]byte(text), &ask) == nil {
		return ask, true
	}
	group, level := said["group"], said["level"]
	switch {
	case group == allGroups && level == shutdown:
		return Ask{Op: Shutdown}, false
	case group == noGroup && level == rereadLevel:
		return Ask{Op: Reread}, false
	}
	return Ask{Op: Tell, Group: group, Level: level}, false
}

// asFrame is the frame of a question, which an original understands too, where it can do what is asked.
func (a Ask) asFrame() map[string]string {
	m := map[string]string{"group": noGroup, "level": rereadLevel}
	switch a.Op {
	case Tell:
		m["group"], m["level"] = a.Group, a.Level
	case Shutdown:
		m["group"], m["level"] = allGroups, shutdown
	}
	text, _ := json.Marshal(a)
	m["ask"] = string(text)
	return m
}

// frame is the frame of an answer.
func (a Answer) frame(ours bool) map[string]string {
	m := map[string]string{"msg": a.Msg, "_dfa_event": cmp.Or(a.Event, "GROUP_NOK")}
	if a.Group != "" {
		m["group"], m["level"] = a.Group, a.Level
	}
	if ours {
		text, _ := json.Marshal(a)
		m["answer"] = string(text)
	} else if len(a.Bad) > 0 {
		m["msg"] += "; " + a.Bad[0]
	}
	return m
}

// lines takes IS::Init's words: "group level", "stopall". They get no answer.
func (d *Daemon) lines(in *bufio.Reader) {
	for {
		line, err := in.ReadString('\n')
		words := strings.Fields(line)
		switch {
		case len(words) == 1 && words[0] == stopAllText:
			d.Do(Ask{Op: Shutdown}, nil)
		case len(words) == 2 && words[0] == nothingGroup && words[1] == nothingGroup && !d.hasZero():
			d.Do(Ask{Op: Reread}, nil)
		case len(words) == 2:
			d.Do(Ask{Op: Tell, Group: words[0], Level: words[1]}, nil)
		}
		if err != nil {
			return
		}
	}
}

// hasZero says whether there is a group called 0.
func (d *Daemon) hasZero() bool {
	answer, _ := d.Do(Ask{Op: Look}, nil)
	for _, g := range answer.Groups {
		if g.Group == nothingGroup {
			return true
		}
	}
	return false
}

// ErrOld is what a question comes to that an original's daemon cannot answer.
var ErrOld = errors.New("the daemon is an original, which cannot say that")

// ErrNoDaemon is what a question comes to where no daemon listens.
var ErrNoDaemon = errors.New("no daemon listens")

// Call asks the daemon at a socket, until deadline.
func Call(socket string, ask Ask, deadline time.Time) (Answer, error) {
	dialer := net.Dialer{Deadline: deadline}
	conn, err := dialer.Dial("unix", socket)
	if err != nil {
		return Answer{}, errors.Join(ErrNoDaemon, err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(deadline)
	if err := writeFrame(conn, ask.asFrame()); err != nil {
		return Answer{}, err
	}
	said, err := readFrame(conn)
	if err != nil {
		return Answer{}, err
	}
	if text, ok := said["answer"]; ok {
		var answer Answer
		return answer, json.Unmarshal([]byte(text), &answer)
	}
	switch ask.Op {
	case Tell, Reread, Shutdown:
		msg := said["msg"]
		done := ask.Op != Tell || said["_dfa_event"] == "GROUPTOLD"
		return Answer{Msg: msg, Event: said["_dfa_event"], Refused: !done}, nil
	}
	return Answer{}, ErrOld
}
