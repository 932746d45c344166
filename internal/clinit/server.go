package clinit

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"sync"
	"time"
)

const (
	askLimit   = 20 * time.Second // a client that says nothing for so long is left
	clientsMax = 256              // at a time; more wait in the kernel
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
	var clients sync.WaitGroup
	defer clients.Wait()
	room := make(chan struct{}, clientsMax)
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil { // as without file descriptors
			select {
			case <-time.After(lastLook):
				continue
			case <-d.over:
				return err
			}
		}
		room <- struct{}{}
		clients.Go(func() {
			defer func() { conn.Close(); <-room }()
			d.client(conn)
		})
	}
}

// client serves one connection: one question in a frame, or IS::Init's lines.
func (d *Daemon) client(conn net.Conn) {
	_ = conn.SetReadDeadline(time.Now().Add(askLimit))
	in := bufio.NewReader(conn)
	if head, _ := in.Peek(8); !isFrame(head) {
		if d.cfg.Dialect == Isinit {
			d.lines(in)
		}
		return
	}
	said, err := readFrame(in)
	if err != nil {
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	gone := make(chan struct{})
	go func() { // ends when the connection is closed, here or there
		_, _ = in.ReadByte()
		close(gone)
	}()
	ask, ours := asAsk(said)
	answer, ok := d.Do(ask, gone)
	if !ok {
		return
	}
	_ = conn.SetWriteDeadline(time.Now().Add(askLimit))
	_ = writeFrame(conn, answer.frame(ours))
}

func isFrame(head []byte) bool {
	for _, c := range head {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(head) == 8
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
