package worker

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const (
	cancelLimit = 300 * time.Millisecond // how long a worker may take to end a run that it is to end
	firstPause  = time.Second            // until a worker is started again that has ended twice in a row
	longPause   = time.Minute            // the longest of them
)

// A Conn is the connection with a worker process.
type Conn interface {
	io.ReadWriteCloser
	Kill() // the process; it returns at once
}

// A Client is a manager's end of its worker.
type Client struct {
	spawn func() (Conn, error)

	mu    sync.Mutex
	now   *process
	ends  int       // how often it has ended since it last answered
	after time.Time // when it may be started again
	last  uint64    // ID given
}

// NewClient returns a client of workers that spawn starts, as by [Start].
func NewClient(spawn func() (Conn, error)) *Client { return &Client{spawn: spawn} }

// A process is one worker process.
type process struct {
	conn Conn
	out  *sender

	hung atomic.Bool // it is killed for another run

	mu      sync.Mutex
	waiting map[uint64]chan Answer
	gone    bool
	ended   chan struct{}
}

// Run has the worker run r. The error says that there is no answer: ctx has ended, or the worker has, or it hangs
// and is killed. ours says that this run may be why.
func (c *Client) Run(ctx context.Context, r Request) (a Answer, ours bool, err error) {
	p, id, err := c.process()
	if err != nil {
		return Answer{}, false, err
	}
	r.ID = id
	answer := make(chan Answer, 1)
	if !p.expect(id, answer) {
		return Answer{}, false, errEnded
	}
	defer p.forget(id)
	p.out.send(r.frame())
	over := time.NewTimer(r.Limit)
	defer over.Stop()
	select {
	case a = <-answer:
		return c.heard(a)
	case <-p.ended:
		return Answer{ID: id}, !p.hung.Load(), errEnded
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-over.C:
		err, ours = errNoReply, true
	}
	p.out.send((&Request{ID: id, Cancel: true}).frame())
	last := time.NewTimer(cancelLimit)
	defer last.Stop()
	select {
	case <-answer:
		c.isWell()
	case <-p.ended:
	case <-last.C:
		ours = true
		p.hung.Store(true)
		p.kill()
		<-p.ended
	}
	return Answer{ID: id}, ours, err
}

// heard is what came of a run that was answered.
func (c *Client) heard(a Answer) (Answer, bool, error) {
	c.isWell()
	if a.Failed != "" {
		return a, true, errors.New(a.Failed)
	}
	return a, true, nil
}

func (c *Client) isWell() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ends = 0
}

// process is the worker, which is started where there is none, and a new ID.
func (c *Client) process() (*process, uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	if c.now != nil && !c.now.isGone() {
		return c.now, c.last, nil
	}
	if time.Now().Before(c.after) {
		return nil, 0, errNotYet
	}
	c.ends++
	if c.ends > 1 {
		c.after = time.Now().Add(min(firstPause<<min(c.ends-2, 10), longPause))
	}
	conn, err := c.spawn()
	if err != nil {
		return nil, 0, err
	}
	c.now = &process{conn: conn, out: newSender(conn), waiting: map[uint64]chan Answer{}, ended: make(chan struct{})}
	go c.now.listen()
	return c.now, c.last, nil
}

// Close ends the worker.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now != nil {
		c.now.kill()
		<-c.now.ended
	}
}

// listen takes answers until the worker has ended.
func (p *process) listen() {
	answers := newReader(p.conn)
	for {
		a, err := answers.answer()
		if err != nil {
			break
		}
		p.mu.Lock()
		if to := p.waiting[a.ID]; to != nil {
			to <- a
			delete(p.waiting, a.ID)
		}
		p.mu.Unlock()
	}
	p.mu.Lock()
	p.gone = true
	p.mu.Unlock()
	p.kill() // it may live, and speak no sense
	p.out.close()
	close(p.ended)
}

// kill kills the process, and ends listen.
func (p *process) kill() {
	p.conn.Kill()
	_ = p.conn.Close()
}

func (p *process) isGone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gone
}

// expect has the answer to a request go to answer. ok is false where there will be none.
func (p *process) expect(id uint64, answer chan Answer) (ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.gone {
		p.waiting[id] = answer
	}
	return !p.gone
}

func (p *process) forget(id uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiting, id)
}
