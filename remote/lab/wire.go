package lab

import (
	"net"
	"sync"
	"time"
)

// faults is what is wrong with the way to one server.
type faults struct {
	mu    sync.Mutex
	hung  bool
	delay time.Duration
	over  chan struct{} // closed when a hang is over
}

func (f *faults) set(hung bool, delay time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hung {
		close(f.over)
	}
	f.hung, f.delay = hung, delay
	if hung {
		f.over = make(chan struct{})
	}
}

// pass waits for as long as the faults hold a packet up, or until closed.
func (f *faults) pass(closed <-chan struct{}) error {
	f.mu.Lock()
	hung, delay, over := f.hung, f.delay, f.over
	f.mu.Unlock()
	switch {
	case hung:
		select {
		case <-over:
		case <-closed:
			return net.ErrClosed
		}
	case delay > 0:
		select {
		case <-time.After(delay):
		case <-closed:
			return net.ErrClosed
		}
	}
	return nil
}

// wire is a connection that the faults act on.
type wire struct {
	net.Conn
	faults *faults
	once   sync.Once
	closed chan struct{}
}

func newWire(c net.Conn, f *faults) *wire {
	return &wire{Conn: c, faults: f, closed: make(chan struct{})}
}

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if held := w.faults.pass(w.closed); held != nil {
		return 0, held
	}
	return n, err
}

func (w *wire) Write(b []byte) (int, error) {
	w.faults.mu.Lock()
	hung, over := w.faults.hung, w.faults.over
	w.faults.mu.Unlock()
	if hung {
		select {
		case <-over:
		case <-w.closed:
			return 0, net.ErrClosed
		}
	}
	return w.Conn.Write(b)
}

func (w *wire) Close() error {
	w.once.Do(func() { close(w.closed) })
	return w.Conn.Close()
}
