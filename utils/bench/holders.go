package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
)

const (
	holders    = 100
	rateWindow = 5 * time.Second
)

// renewalRates measures how many locks can be renewed in a second.
func renewalRates(ctx context.Context, c *cluster, t *table) error {
	perSecond, requests, err := oneProcess(ctx, c.nodes[0])
	if err != nil {
		return err
	}
	t.add(fmt.Sprintf("renewals/s, %d holders in one process", holders), "%.0f (%.0f requests/s)", perSecond, requests)
	if perSecond, err = manyProcesses(ctx, c); err != nil {
		return err
	}
	t.add(fmt.Sprintf("renewals/s, %d holders in as many processes", holders), "%.0f", perSecond)
	return nil
}

// oneProcess has one session renew all its locks in one request after the other.
func oneProcess(ctx context.Context, n *node) (locks, requests float64, err error) {
	s, err := n.session()
	if err != nil {
		return 0, 0, err
	}
	defer s.client.Close()
	q := lock.RenewRequest{Session: s.Owner.Session}
	var all []*lockclient.Held
	for i := range holders {
		h, err := s.Acquire(ctx, wish(fmt.Sprintf("one-%d", i)))
		if err != nil {
			return 0, 0, err
		}
		all = append(all, h)
		q.Locks = append(q.Locks, lock.Renewal{Name: h.Name, Term: h.Term})
	}
	count, began := 0, time.Now()
	post := poster(s.client, n.entry)
	for time.Since(began) < rateWindow {
		var a lock.RenewAnswer
		if err := post(ctx, "/v1/renew", q, &a); err != nil {
			return 0, 0, err
		}
		for _, refused := range a.Refused {
			if refused != "" {
				return 0, 0, errors.New(refused)
			}
			count++
		}
	}
	took := time.Since(began).Seconds()
	for _, h := range all {
		if err := h.Release(ctx); err != nil {
			return 0, 0, err
		}
	}
	return float64(count) / took, float64(count) / took / holders, nil
}

// poster sends requests to the server at addr as the client does; the client itself sends a
// session's renewals only when they are due.
func poster(client *lockclient.Client, addr string) func(ctx context.Context, path string, request, answer any) error {
	transport := &http.Transport{TLSClientConfig: client.TLS}
	return func(ctx context.Context, path string, request, answer any) error {
		body, err := json.Marshal(request)
		if err != nil {
			return err
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+addr+path, bytes.NewReader(body))
		if err != nil {
			return err
		}
		response, err := transport.RoundTrip(r)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			return err
		}
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", response.Status, text)
		}
		return json.Unmarshal(text, answer)
	}
}

// manyProcesses has many processes renew a lock each, and begin together.
func manyProcesses(ctx context.Context, c *cluster) (perSecond float64, err error) {
	exe, err := os.Executable()
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(ctx) // kills what is left of them
	begin, end, err := os.Pipe()
	if err != nil {
		cancel()
		return 0, err
	}
	defer begin.Close()
	var started []*exec.Cmd
	defer func() {
		_ = end.Close()
		cancel()
		for _, cmd := range started {
			_ = cmd.Wait() // what it had to say was read
		}
	}()
	var answers []*bufio.Reader
	for i := range holders {
		n := c.nodes[i%len(c.nodes)]
		cmd := exec.CommandContext(ctx, exe, holderCommand, n.home, fmt.Sprintf("many-%d", i))
		cmd.Stdin, cmd.Stderr = begin, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
		out, err := cmd.StdoutPipe()
		if err != nil {
			return 0, err
		}
		if err := cmd.Start(); err != nil {
			return 0, err
		}
		started, answers = append(started, cmd), append(answers, bufio.NewReader(out))
	}
	for _, a := range answers {
		if _, err := readLine(a); err != nil {
			return 0, fmt.Errorf("cannot start a holder: %w", err)
		}
	}
	if err := end.Close(); err != nil { // all of them see the end of their input
		return 0, err
	}
	sum := 0
	for _, a := range answers {
		line, err := readLine(a)
		if err != nil {
			return 0, fmt.Errorf("a holder ended early: %w", err)
		}
		n, err := strconv.Atoi(line)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return float64(sum) / rateWindow.Seconds(), nil
}

// beHolder acquires a lock, says so, waits for the end of its input, and renews the lock as
// often as it can for a while. It prints how often that was.
func beHolder(ctx context.Context, home, name string) error {
	n := &node{name: "holder", home: home}
	s, err := n.session()
	if err != nil {
		return err
	}
	defer s.client.Close()
	h, err := s.Acquire(ctx, wish(name))
	if err != nil {
		return err
	}
	fmt.Println("ready")
	if _, err := io.ReadAll(os.Stdin); err != nil {
		return err
	}
	count := 0
	for began := time.Now(); time.Since(began) < rateWindow; count++ {
		if _, err := s.client.RenewOnce(ctx, s.Owner.Session, h.Name, h.Term); err != nil {
			return err
		}
	}
	fmt.Println(count)
	return h.Release(ctx)
}
