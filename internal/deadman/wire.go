package deadman

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
)

// A Hello is the first message of a manager, to a deadman that it has started (Packages says for
// what) or that it goes on with (Packages is empty: the answer says what there is).
type Hello struct {
	PID      int      `json:"pid"`
	Version  string   `json:"version"`
	Packages []Origin `json:"packages,omitempty"`
}

// An Origin is what one must know of a package to find its processes, and to stop it.
type Origin struct {
	Package string          `json:"package"`
	Mark    string          `json:"mark"`             // in the environment of all its processes
	Cgroup  string          `json:"cgroup,omitempty"` // that they are in
	Also    []string        `json:"also,omitempty"`   // cgroups that some may be in yet
	Params  json.RawMessage `json:"params,omitempty"` // its parameters, which mean nothing here
}

// A question is a message of the manager: a hello, or words, and what of its packages changed.
type question struct {
	Hello   *Hello   `json:"hello,omitempty"`
	Words   []Word   `json:"words,omitempty"`
	Origins []Origin `json:"origins,omitempty"`
}

// An answer is what the deadman says to each question.
type answer struct {
	Error   string   `json:"error,omitempty"`
	Version string   `json:"version,omitempty"` // to a hello: of the deadman,
	PID     int      `json:"pid,omitempty"`     // its process,
	Words   []Word   `json:"words,omitempty"`   // and what there is to go on with
	Origins []Origin `json:"origins,omitempty"`
}

// A wire is one end of the connection: a JSON object on each line, each way.
type wire struct {
	io.Closer
	in  *json.Decoder
	out io.Writer
}

func newWire(c io.ReadWriteCloser) *wire {
	return &wire{c, json.NewDecoder(bufio.NewReader(c)), c}
}

func (w *wire) send(m any) error {
	b, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("cannot say it: %w", err)
	}
	_, err = w.out.Write(append(b, '\n'))
	return err
}

func (w *wire) receive(m any) error { return w.in.Decode(m) }
