package native

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// linkNames finds the name of a device, and its flags, by its number, and remembers them.
type linkNames struct{ all map[int]*link }

func (n *linkNames) link(index int) *link {
	if n.all == nil {
		n.all = map[int]*link{}
		links, _ := listLinks(unix.AF_UNSPEC)
		for _, l := range links {
			n.all[l.index] = l
		}
	}
	return n.all[index]
}

// groupName is the name of a group of devices, if the system has one for it.
func groupName(group uint32) string {
	names, _ := readShort("/etc/iproute2/group") // it need not be there
	for line := range strings.Lines(names) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		if n, err := strconv.ParseUint(words[0], 0, 32); err == nil && uint32(n) == group {
			return words[1]
		}
	}
	if group == 0 {
		return "default"
	}
	return strconv.FormatUint(uint64(group), 10)
}

// readShort reads a file that is mostly short, by system calls alone then: package os has five more for each.
func readShort(path string) (string, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var buf [4 << 10]byte
	n, err := unix.Read(fd, buf[:])
	if err != nil || n == len(buf) {
		all, err := os.ReadFile(path)
		return string(all), err
	}
	return string(buf[:n]), nil
}

// namespaceName is what is said of another network namespace: its name of "ip netns", or its number here.
// It is false where there are several names.
func namespaceName(id int) (text string, ok bool) {
	if id < 0 {
		return "link-netnsid unknown", true
	}
	entries, _ := os.ReadDir("/var/run/netns") // where there is none there are no names
	for _, e := range entries {
		file, err := os.Open("/var/run/netns/" + e.Name())
		if err != nil {
			continue
		}
		n, err := netlink.GetNetNsIdByFd(int(file.Fd()))
		file.Close()
		if err != nil || n != id {
			continue
		}
		if text != "" {
			return "", false
		}
		text = "link-netns " + e.Name()
	}
	if text == "" {
		text = fmt.Sprintf("link-netnsid %d", id)
	}
	return text, true
}

// cString is text that ends with a NUL, or without.
func cString(b []byte) string {
	text, _, _ := bytes.Cut(b, []byte{0})
	return string(text)
}
