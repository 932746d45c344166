package native

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// A status asks the kernel each time anew, so that is done with as few calls as can be: package netlink makes the requests, but
// has a buffer of its own for each answer, and asks the socket for what is not needed.

const (
	maxChances = 5       // for a list that is whole
	maxMessage = 1 << 16 // the kernel sends half of it at most
)

var (
	errChanged = errors.New("the list changed while it was read")
	errMessage = errors.New("the kernel's message cannot be read")
	buffers    = sync.Pool{New: func() any { return new([maxMessage]byte) }}
)

// ask asks the kernel; a list that changed while it was read is read again.
func ask(kind int, answer uint16, flags int, data ...nl.NetlinkRequestData) (messages [][]byte, err error) {
	for range maxChances {
		req := nl.NewNetlinkRequest(kind, flags)
		for _, d := range data {
			req.AddData(d)
		}
		if messages, err = execute(req, answer); !errors.Is(err, errChanged) {
			return messages, err
		}
	}
	return nil, err
}

// execute asks once, by a socket that is open for that.
func execute(req *nl.NetlinkRequest, answer uint16) (messages [][]byte, err error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &nl.SocketTimeoutTv); err != nil {
		return nil, err
	}
	kernel := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	if err := unix.Sendto(fd, req.Serialize(), 0, kernel); err != nil {
		return nil, err
	}
	buf := buffers.Get().(*[maxMessage]byte)
	defer buffers.Put(buf)
	a := answers{seq: req.Seq, kind: answer}
	for !a.done && err == nil {
		n, from, failed := unix.Recvfrom(fd, buf[:], unix.MSG_TRUNC)
		switch {
		case errors.Is(failed, unix.EINTR):
		case failed != nil:
			err = failed
		case n > len(buf):
			err = fmt.Errorf("%w: it has %d bytes", errMessage, n)
		default:
			if sender, ok := from.(*unix.SockaddrNetlink); ok && sender.Pid == 0 {
				err = a.take(slices.Clone(buf[:n]))
			}
		}
	}
	if err == nil && a.changed {
		err = errChanged
	}
	return a.messages, err
}

// answers are the kernel's messages to a request.
type answers struct {
	seq           uint32
	kind          uint16
	messages      [][]byte
	done, changed bool
}

// take takes what came at a time.
func (a *answers) take(data []byte) error {
	for len(data) >= unix.SizeofNlMsghdr && !a.done {
		length := int(binary.NativeEndian.Uint32(data))
		if length < unix.SizeofNlMsghdr || length > len(data) {
			return errMessage
		}
		kind, flags := binary.NativeEndian.Uint16(data[4:]), binary.NativeEndian.Uint16(data[6:])
		seq, body := binary.NativeEndian.Uint32(data[8:]), data[unix.SizeofNlMsghdr:length:length]
		data = data[min(aligned(length), len(data)):]
		if seq != a.seq {
			return errMessage
		}
		a.changed = a.changed || flags&unix.NLM_F_DUMP_INTR != 0
		switch kind {
		case unix.NLMSG_DONE, unix.NLMSG_ERROR:
			a.done = true
			if kind == unix.NLMSG_DONE && len(body) == 0 {
				return nil
			}
			if len(body) < 4 {
				return errMessage
			}
			if number := int32(binary.NativeEndian.Uint32(body)); number != 0 {
				return unix.Errno(-number)
			}
		case a.kind:
			a.messages = append(a.messages, body)
			a.done = flags&unix.NLM_F_MULTI == 0
		}
	}
	return nil
}

func aligned(length int) int { return (length + 3) &^ 3 }

// attributes are those of a message, as they came.
type attributes []byte

// attributesOf is false where they are not whole.
func attributesOf(data []byte) (attributes, bool) {
	return data, attributes(data).each(func(uint16, []byte) {})
}

func (a attributes) each(f func(kind uint16, value []byte)) bool {
	for data := []byte(a); len(data) >= unix.SizeofRtAttr; {
		length := int(binary.NativeEndian.Uint16(data))
		if length < unix.SizeofRtAttr || length > len(data) {
			return false
		}
		f(binary.NativeEndian.Uint16(data[2:])&attrType, data[unix.SizeofRtAttr:length])
		data = data[min(aligned(length), len(data)):]
	}
	return true
}

// of is the value of that kind; nil where there is none.
func (a attributes) of(kind uint16) (value []byte) {
	a.each(func(k uint16, v []byte) {
		if k == kind {
			value = v
		}
	})
	return value
}

const attrType = 0x3fff // without its flags
