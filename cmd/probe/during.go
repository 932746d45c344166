package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// during is started by a package script, and notes that the script runs, until the script has ended
// or both are killed. It sees the end by its own parent: that changes even if nobody waits for the
// script.
func during(ctx context.Context, path, action, script, began string) error {
	pid, err := strconv.Atoi(script)
	if err != nil {
		return fmt.Errorf("cannot follow the script %q: not a process id", script)
	}
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM) // these signals are for the script; this process ends after it
	return noteLines(ctx, path, func() string {
		now := time.Now() // taken before the look, so that no note is later than the script's end
		if os.Getppid() != pid {
			return ""
		}
		return actLine(began, now, action, os.Getenv)
	})
}

// actLine is a note of a script that runs.
func actLine(began string, now time.Time, action string, env func(string) string) string {
	said := func(name, none string) string {
		if value := env(name); value != "" {
			return value
		}
		return none
	}
	return fmt.Sprintf("%s %d.%09d %s %s %s %s\n", began, now.Unix(), now.Nanosecond(), action,
		said("BTW_TERM", "0"), said("BTW_PREVIOUS", "-"), said("BTW_NODE", "-"))
}
