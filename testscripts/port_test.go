package testscripts

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
)

// lastPort is the last port that freePort gave. It stays below 32768: higher ports the kernel gives
// by itself, to outgoing connections and to those who listen on port 0, so another could take one
// before it is used.
var lastPort atomic.Int64

func init() { lastPort.Store(20000 + int64(os.Getpid()%100)*100) }

// freePort is a TCP port of the loopback that is free, and given only once.
func freePort() string {
	for range 1000 {
		port := fmt.Sprint(lastPort.Add(1))
		if l, err := net.Listen("tcp", "localhost:"+port); err == nil {
			_ = l.Close()
			return port
		}
	}
	panic("no port of this host is free")
}
