package watchdog

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// Wanted is how long a device is asked to wait for food until it resets the machine.
const Wanted = 10 * time.Second

// These bytes are written to a device. Any byte feeds it; after the magic one, closing the device
// disarms it.
var (
	food  = []byte{0}
	magic = []byte("V")
)

// A Device is a hardware watchdog. It is armed from when it was opened.
type Device struct {
	Timeout time.Duration // without food, until it resets the machine
	to      io.WriteCloser
}

// agree asks a device for the wanted timeout, and returns the timeout that the device has then.
func agree(set func(int) error, ask func() (uint32, error)) time.Duration {
	_ = set(int(Wanted / time.Second)) // a device may have one that cannot be changed
	if seconds, err := ask(); err == nil && seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	return Wanted
}

func (d *Device) feed() error {
	_, err := d.to.Write(food)
	return err
}

// disarm ends the device's watch. A driver that was loaded with nowayout ignores that, and resets
// the machine later.
func (d *Device) disarm() error {
	_, err := d.to.Write(magic)
	if err := errors.Join(err, d.to.Close()); err != nil {
		return fmt.Errorf("cannot disarm the watchdog, which may reset the machine: %w", err)
	}
	return nil
}
