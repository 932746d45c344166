package watchdog

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// The device's own word is what counts.
func TestAgree(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name     string
		set, ask error
		says     uint32
		want     time.Duration
	}{
		{"takes it", nil, nil, 10, 10 * time.Second},
		{"takes another", nil, nil, 15, 15 * time.Second},
		{"cannot be changed", syscall.EOPNOTSUPP, nil, 60, time.Minute},
		{"takes it, and does not say", nil, syscall.ENOTTY, 0, 10 * time.Second},
		{"no device at all", syscall.ENOTTY, syscall.ENOTTY, 0, 10 * time.Second},
		{"says nothing of use", nil, nil, 0, 10 * time.Second},
	} {
		asked := 0
		got := agree(func(s int) error { asked = s; return row.set }, func() (uint32, error) { return row.says, row.ask })
		if got != row.want || asked != 10 {
			t.Errorf("%s: %v after %d s were asked for, want %v after 10", row.name, got, asked, row.want)
		}
	}
}

func TestOpenDevice(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "device")
	if _, err := OpenDevice(path); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("no device: %v, want %v", err, syscall.ENOENT)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := OpenDevice(path)
	if err != nil {
		t.Fatal(err)
	}
	if d.Timeout != Wanted {
		t.Errorf("the timeout of a file is %v, want %v", d.Timeout, Wanted)
	}
	if err := errors.Join(d.feed(), d.feed(), d.disarm()); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(path); string(b) != "\x00\x00V" || err != nil {
		t.Errorf("the device got %q, %v; want it fed twice and disarmed", b, err)
	}
}
