package remotetest

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

// handed holds the ports that this test binary gave out.
var handed sync.Map

// FreePort returns a TCP port of 127.0.0.1 that nobody listens on. It lies below
// the range from which systems pick ports for clients and for listeners on port
// 0 (Linux: 32768 and up, net.ipv4.ip_local_port_range) and below Kubernetes' node ports (30000 and up), so that nobody takes it
// by chance before the test does.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := 12000 + rand.IntN(30000-12000)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		l.Close()
		if _, twice := handed.LoadOrStore(port, true); !twice {
			return port
		}
	}
	t.Fatal("no free port of 127.0.0.1 found between 12000 and 29999")
	return 0
}
