// Probe is what the demo and chaos run on the hosts of their lab, under the name web: a web server
// and a daemon that note when they live, a client that asks, and the report of what all of them
// noted.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"backtowork/internal/sim/lives"
)

const usage = `Usage: web { serve DIR NOTES | beat NOTES DEAF | during NOTES ACTION PID BEGAN | ask URL | report [-o json | --last] DIR }

  serve DIR NOTES   serve the files of DIR on port 80, and note in the file NOTES,
                    every 20 ms, that this process lives
  beat NOTES DEAF   only the notes; TERM does not end it while the file DEAF is there
  during NOTES ACTION PID BEGAN
                    note, as a child of the package script PID, that this script runs,
                    with its action and the BTW_ variables, until it has ended
  ask URL           ask every 20 ms, each time by another connection, and print a line
                    for each answer within 200 ms: the time, and its first line
  report DIR        what the log of a run of chaos says; exit 1 if anything ran twice,
                    or did not come up again. --last: a line for the last fault

Example: web report chaos-logs
`

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	wants := map[string]int{"serve": 2, "beat": 2, "during": 4, "ask": 1}
	if len(args) > 0 && args[0] == "report" {
		return report(args[1:], stdout, stderr)
	}
	if len(args) == 1 && slices.Contains([]string{"-h", "--help"}, args[0]) {
		fmt.Fprint(stdout, usage)
		return 0
	}
	if len(args) == 0 || wants[args[0]] == 0 || len(args)-1 != wants[args[0]] {
		fmt.Fprintln(stderr, firstLine(usage))
		return 2
	}
	ctx := context.Background()
	var err error
	switch args[0] {
	case "serve":
		err = serve(ctx, args[1], args[2])
	case "beat":
		err = beat(ctx, args[1], args[2])
	case "during":
		err = during(ctx, args[1], args[2], args[3], args[4])
	case "ask":
		err = askForever(ctx, args[1], stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, "web:", err)
		return 1
	}
	return 0
}

// serve notes its life from before it has the port until after it has lost it.
func serve(ctx context.Context, dir, notes string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	server := &http.Server{Addr: ":80", Handler: http.FileServer(http.Dir(dir)), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan struct{})
	go func() {
		defer close(served)
		cancel(server.ListenAndServe())
	}()
	err := note(ctx, notes)
	_ = server.Close()
	<-served
	return errors.Join(err, context.Cause(ctx))
}

// beat ends by TERM, unless the file deaf is there.
func beat(ctx context.Context, notes, deaf string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	terms := make(chan os.Signal, 1)
	signal.Notify(terms, syscall.SIGTERM)
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		defer cancel()
		for {
			select {
			case <-terms:
				if _, err := os.Stat(deaf); err != nil {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	err := note(ctx, notes)
	cancel()
	<-heard
	return err
}

// note writes until the context ends.
func note(ctx context.Context, path string) error {
	began := time.Now()
	return noteLines(ctx, path, func() string { return lives.Line(began, time.Now()) })
}

// noteLines writes a line each time, until the context ends or the line is empty.
func noteLines(ctx context.Context, path string, line func() string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("cannot note that this lives: %w", err)
	}
	defer f.Close()
	tick := time.NewTicker(lives.Every)
	defer tick.Stop()
	for {
		text := line()
		if text == "" {
			return nil
		}
		if _, err := f.WriteString(text); err != nil {
			return fmt.Errorf("cannot note that this lives: %w", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// askForever prints a line for each answer.
func askForever(ctx context.Context, url string, stdout io.Writer) error {
	// Every question is a connection of its own, as from another client.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 200 * time.Millisecond}
	tick := time.NewTicker(lives.Every)
	defer tick.Stop()
	for ; ; <-tick.C {
		host, err := ask(ctx, client, url)
		if err != nil {
			continue
		}
		if _, err := fmt.Fprintf(stdout, "%.3f %s\n", float64(time.Now().UnixMilli())/1000, host); err != nil {
			return err
		}
	}
}

// ask returns the first line of the answer.
func ask(ctx context.Context, client *http.Client, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1000))
	if err != nil || resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("no answer: %s: %w", resp.Status, err)
	}
	return firstLine(string(body)), nil
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
