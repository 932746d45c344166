package watchdog

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"backtowork/internal/lease"
)

// callLimit is the longest time that a call may take.
const callLimit = 500 * time.Millisecond

var errSilent = errors.New("the watchdog process does not answer")

// A Refusal is a server's word that it did not do as it was told. What it was told before stands.
type Refusal string

func (r Refusal) Error() string { return string(r) }

// A Client tells a server what a deadman knows. Each of its calls ends within 500 ms. After a call
// has failed, unless with a [Refusal], all further ones fail at once: then make a new Client.
// Several goroutines may use it.
type Client struct {
	Timeout time.Duration // of the device: so long after its last food the machine is reset
	Spans   bool          // the server can reset the machine by the kill end of a package: see [Resets]

	conn  net.Conn
	lines *bufio.Reader
	turn  chan struct{} // one call at a time; that which runs is over before the limit of one that waits
}

// Dial connects to the server whose socket is at path. Without an error the watchdog is in force.
func Dial(path string) (*Client, error) {
	end := time.Now().Add(callLimit)
	conn, err := connect(path)
	if err != nil {
		return nil, err
	}
	c := newClient(conn)
	if err := c.hello(time.Until(end)); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return c, nil
}

// connect does not wait longer than callLimit, not even where the disk hangs that path is on.
func connect(path string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done, late := make(chan result), make(chan struct{})
	defer close(late)
	go func() { // it may outlive this call
		var r result
		r.conn, r.err = connectNow(path)
		select {
		case done <- r:
		case <-late:
			if r.err == nil {
				_ = r.conn.Close()
			}
		}
	}()
	select {
	case r := <-done:
		return r.conn, r.err
	case <-time.After(callLimit):
		return nil, errSilent
	}
}

func connectNow(path string) (net.Conn, error) {
	short, done, err := shorten(path)
	if err != nil {
		return nil, err
	}
	defer done()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Net: "unix", Name: short})
	if err != nil {
		return nil, fmt.Errorf("cannot reach the watchdog process: %w", err)
	}
	return conn, nil
}

func newClient(conn net.Conn) *Client {
	return &Client{conn: conn, lines: bufio.NewReader(conn), turn: make(chan struct{}, 1)}
}

// Hold says that something of pkg, which has a T + S of span, may run until kill.
func (c *Client) Hold(pkg string, kill lease.Time, span time.Duration) error {
	if !c.Spans { // an older version: it is still there because nobody may end it while packages run
		span = 0
	}
	_, err := c.call(message{Package: pkg, End: readingOf(kill), Span: span.Milliseconds()}, callLimit)
	return err
}

// Clear says that nothing of pkg runs, and that somebody has looked.
func (c *Client) Clear(pkg string) error {
	_, err := c.call(message{Package: pkg, Clear: true}, callLimit)
	return err
}

// hello learns whether the watchdog is in force.
func (c *Client) hello(limit time.Duration) error {
	r, err := c.call(message{Hello: true}, limit)
	c.Timeout, c.Spans = time.Duration(r.Timeout)*time.Millisecond, r.Spans
	return err
}

// Close ends the connection. What was said stands.
func (c *Client) Close() error { return c.conn.Close() }

// call says m and waits for the answer.
func (c *Client) call(m message, limit time.Duration) (r reply, err error) {
	end := time.Now().Add(limit)
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	line, err := json.Marshal(m)
	if err != nil {
		return r, err
	}
	if err = c.conn.SetDeadline(end); err == nil {
		_, err = c.conn.Write(append(line, '\n'))
	}
	if err == nil {
		line, err = c.lines.ReadSlice('\n')
	}
	if err == nil {
		err = json.Unmarshal(line, &r)
	}
	switch {
	case err != nil:
		_ = c.conn.Close() // a late answer must not be taken for the answer to the next question
		return r, fmt.Errorf("%w: %w", errSilent, err)
	case r.Error != "":
		return r, Refusal(r.Error)
	case !r.OK:
		return r, Refusal("the watchdog process does not say ok")
	}
	return r, nil
}
