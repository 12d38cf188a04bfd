package pg

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
)

// proxy stands between belay and the server and can fail as a network does.
type proxy struct {
	l    net.Listener
	port int

	mu     sync.Mutex
	conns  []net.Conn
	down   bool // refuse new connections
	silent bool // the server's answers are swallowed
}

func newProxy(t *testing.T, port int) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{l: l, port: port}
	t.Cleanup(func() { l.Close(); p.cut(true) })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.serve(c)
		}
	}()
	return p
}

func (p *proxy) url() string {
	return fmt.Sprintf("postgres://belay@%s/belay?sslmode=disable", p.l.Addr())
}

func (p *proxy) serve(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p.port))
	if err != nil || p.down {
		c.Close()
		return
	}
	p.conns = append(p.conns, c, s)
	go func() { _, _ = io.Copy(s, c); s.Close() }()
	go func() {
		defer c.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := s.Read(buf)
			if err != nil {
				return
			}
			p.mu.Lock()
			silent := p.silent
			p.mu.Unlock()
			if silent {
				continue
			}
			if _, err := c.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
}

// cut ends all connections; down: and lets none be made.
func (p *proxy) cut(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns, p.down, p.silent = nil, down, false
}

func (p *proxy) hush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = true
}
