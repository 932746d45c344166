package lockserver

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// A question is "is your raft term still t?", with a number. On the wire it and its answer
// are two 64-bit numbers, big end first: the question's number, and a raft term.
const questionSize = 16

// silenceLimit is how long a server may leave a question unanswered before its connection is
// taken for dead and made anew.
const silenceLimit = time.Second

var (
	errNoMajority = errors.New("a majority of the lock servers does not answer")
	errDeposed    = errors.New("not the leader any more")
)

// An asker gets a majority's word that this server still leads (rule 6). Each question has a
// number; an answer to question n stands for all questions up to n of its connection, so one
// message serves every request that waits.
type asker struct {
	server *Server

	mu      sync.Mutex
	ctx     context.Context // ends with run; nil before
	last    uint64          // number of the last question
	peers   map[raft.ServerID]*peer
	waiters map[*waiter]bool
	wg      sync.WaitGroup
}

// A peer is another voter, as the asker knows it.
type peer struct {
	kick     chan struct{} // there is a question to send
	answered uint64        // number of the last question that it answered
	term     uint64        // with this raft term
}

// ask has the last question sent to p.
func (p *peer) ask() {
	select {
	case p.kick <- struct{}{}:
	default: // the kick that waits there will see this question too
	}
}

type waiter struct {
	number, term uint64
	voters       []raft.ServerID // all but this server
	need         int             // how many of them must agree
	done         chan error
}

func newAsker(s *Server) *asker {
	return &asker{server: s, peers: map[raft.ServerID]*peer{}, waiters: map[*waiter]bool{}}
}

// run lets questions be sent until ctx ends.
func (a *asker) run(ctx context.Context) {
	a.mu.Lock()
	a.ctx = ctx
	a.mu.Unlock()
	<-ctx.Done()
	a.mu.Lock()
	a.ctx = nil
	a.mu.Unlock()
	a.wg.Wait()
}

// ask returns nil once a majority of the voters has said, after this call began, that raft's
// term is still term, and this server, asked last, still leads in it.
func (a *asker) ask(ctx context.Context, r *raft.Raft, term uint64) error {
	if a.server.Off.Quorum {
		return r.VerifyLeader().Error()
	}
	w, err := a.begin(r, term)
	if err != nil {
		return err
	}
	defer a.end(w)
	select {
	case err = <-w.done:
	case <-ctx.Done():
		return errNoMajority
	}
	if err == nil && (r.State() != raft.Leader || r.CurrentTerm() != term) {
		return errDeposed
	}
	return err
}

func (a *asker) begin(r *raft.Raft, term uint64) (*waiter, error) {
	configuration := r.GetConfiguration()
	if err := configuration.Error(); err != nil {
		return nil, err
	}
	w := &waiter{term: term, done: make(chan error, 1)}
	w.voters, w.need = majorityOf(configuration.Configuration().Servers, raft.ServerID(a.server.self.ID))
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ctx == nil {
		return nil, errDeposed
	}
	a.last++
	w.number = a.last
	a.waiters[w] = true
	for _, id := range w.voters {
		p := a.peers[id]
		if p == nil {
			p = &peer{kick: make(chan struct{}, 1)}
			a.peers[id] = p
			ctx := a.ctx
			a.wg.Go(func() { a.talk(ctx, id, p) })
		}
		p.ask()
	}
	a.check(w)
	return w, nil
}

// majorityOf is the voters but self, and how many of them make a majority, with self if that is a
// voter. Who is no voter counts for nothing.
func majorityOf(servers []raft.Server, self raft.ServerID) (others []raft.ServerID, need int) {
	voters := 0
	for _, s := range servers {
		switch {
		case s.Suffrage != raft.Voter:
			continue
		case s.ID == self:
			need-- // it agrees
		default:
			others = append(others, s.ID)
		}
		voters++
	}
	return others, need + voters/2 + 1
}

func (a *asker) end(w *waiter) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.waiters, w)
}

// check tells w if its question is decided. The caller holds a.mu.
func (a *asker) check(w *waiter) {
	agree := 0
	for _, id := range w.voters {
		p := a.peers[id]
		switch {
		case p.answered < w.number:
		case p.term == w.term:
			agree++
		case p.term > w.term:
			w.tell(errDeposed)
			return
		}
	}
	if agree >= w.need {
		w.tell(nil)
	}
}

func (w *waiter) tell(err error) {
	select {
	case w.done <- err:
	default: // was told
	}
}

// heard notes an answer.
func (a *asker) heard(p *peer, number, term uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if number < p.answered {
		return // late, of an earlier connection
	}
	p.answered, p.term = number, term
	for w := range a.waiters {
		a.check(w)
	}
}

// open is the number of the last question, and whether somebody waits for an answer.
func (a *asker) open() (last uint64, waited bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last, len(a.waiters) > 0
}

// talk asks p what there is to ask, until ctx ends, over as many connections as it takes.
func (a *asker) talk(ctx context.Context, id raft.ServerID, p *peer) {
	const pause = 100 * time.Millisecond
	for ctx.Err() == nil {
		select {
		case <-p.kick:
		case <-ctx.Done():
			return
		}
		worked := false
		conn, err := a.server.dialServer(ctx, protoAsk, string(id))
		if err == nil {
			worked = a.converse(ctx, conn, p)
		}
		if _, waited := a.open(); !waited {
			continue
		}
		if !worked { // one that worked may only have been cut, so there is a new one at once
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return
			}
		}
		p.ask()
	}
}

// converse asks over conn, one question after the other, until that fails. It says whether
// there was an answer. Requests that come while a question is on its way wait for the next
// one: so under load one question serves many.
func (a *asker) converse(ctx context.Context, conn net.Conn, p *peer) (worked bool) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	for sent := uint64(0); ; {
		last, waited := a.open()
		if last > sent && waited {
			sent = last
			term, err := question(conn, sent)
			if err != nil {
				return worked
			}
			worked = true
			a.heard(p, sent, term)
			continue
		}
		select {
		case <-p.kick:
		case <-ctx.Done():
			return worked
		}
	}
}

// question asks one question, and returns the raft term in the answer.
func question(conn net.Conn, number uint64) (term uint64, err error) {
	if err := conn.SetDeadline(time.Now().Add(silenceLimit)); err != nil {
		return 0, err
	}
	if err := writeNumbers(conn, number, 0); err != nil {
		return 0, err
	}
	answered, term, err := readNumbers(conn)
	if err == nil && answered != number {
		err = errors.New("the answer is to another question")
	}
	return term, err
}

// answerQuestions answers what another server asks over conn, until it ends.
func (s *Server) answerQuestions(conn net.Conn) {
	defer conn.Close()
	for {
		number, _, err := readNumbers(conn)
		if err != nil {
			return
		}
		// The term is read after the question came: that is what the answer stands for.
		if err := writeNumbers(conn, number, s.node().CurrentTerm()); err != nil {
			return
		}
	}
}

func writeNumbers(w io.Writer, number, term uint64) error {
	b := make([]byte, 0, questionSize)
	b = binary.BigEndian.AppendUint64(b, number)
	b = binary.BigEndian.AppendUint64(b, term)
	_, err := w.Write(b)
	return err
}

func readNumbers(r io.Reader) (number, term uint64, err error) {
	var b [questionSize]byte
	_, err = io.ReadFull(r, b[:])
	return binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]), err
}
