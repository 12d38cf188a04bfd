package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"belay/remote"
)

// live is one connection that is logged in.
type live struct {
	link   *link
	client *ssh.Client
	conn   *watched
	slots  *slots
	ended  chan struct{} // closed when the connection is of no more use

	mu     sync.Mutex
	reason error
}

func newLive(l *link, c *ssh.Client, w *watched) *live {
	return &live{link: l, client: c, conn: w, slots: newSlots(l.net.o.MaxSessions), ended: make(chan struct{})}
}

// watched notes when something was last heard from the other side.
type watched struct {
	net.Conn
	last   atomic.Int64
	broken atomic.Bool // set before anybody learns of it
}

func (w *watched) heard() { w.last.Store(time.Now().UnixNano()) }

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if n > 0 {
		w.heard()
	}
	if err != nil {
		w.broken.Store(true)
	}
	return n, err
}

func (w *watched) silence() time.Duration {
	return time.Duration(time.Now().UnixNano() - w.last.Load())
}

// watch sends keepalives until the connection ends. It counts the intervals
// in which something was asked and nothing at all was heard: bulk data may
// delay an answer, and this process may itself have slept.
func (v *live) watch() {
	closed := make(chan struct{})
	v.link.net.running.Go(func() {
		err := v.client.Wait()
		v.end(fmt.Errorf("connection closed: %w", err))
		close(closed)
	})
	interval, count := v.keepalive()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	var asked atomic.Bool
	for missed := 0; ; {
		select {
		case <-closed:
			return
		case <-tick.C:
		}
		if silence := v.conn.silence(); !asked.Load() || silence < interval {
			missed = 0
		} else if missed++; missed >= count-1 { // the first went by before the question
			v.end(fmt.Errorf("nothing heard for %v", silence.Round(100*time.Millisecond)))
			continue
		}
		if asked.CompareAndSwap(false, true) {
			go func() {
				// The answer is a refusal: any answer will do.
				_, _, _ = v.client.SendRequest("keepalive@openssh.com", true, nil)
				asked.Store(false)
			}()
		}
	}
}

func (v *live) keepalive() (time.Duration, int) {
	o, s := v.link.net.o, v.link.set
	interval, count := o.KeepaliveInterval, o.KeepaliveCount
	if s.AliveInterval > 0 {
		interval = s.AliveInterval
	}
	if s.AliveCount > 0 {
		count = s.AliveCount
	}
	return interval, max(count, 2) // one missing tick is no silence yet
}

// end closes the connection for a reason; the first one counts. When it
// returns, the link gives this connection to nobody any more.
func (v *live) end(reason error) {
	v.mu.Lock()
	first := v.reason == nil
	if first {
		v.reason = reason
	}
	v.mu.Unlock()
	v.link.lost(v, reason)
	if first {
		close(v.ended)
		v.conn.Close()
		v.client.Close()
	}
}

func (v *live) why() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.reason == nil {
		return errors.New("connection closed")
	}
	return v.reason
}

// dial opens a forwarded connection. Errors that are not about the connection
// to the server itself say why the server could not.
func (v *live) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	got := make(chan result, 1)
	go func() {
		c, err := v.client.Dial(network, addr)
		got <- result{c, err}
	}()
	select {
	case r := <-got:
		if r.err != nil {
			return nil, dialError(network, addr, r.err)
		}
		return newConn(r.conn, v.conn, network, addr), nil
	case <-ctx.Done():
		go func() {
			if r := <-got; r.conn != nil {
				r.conn.Close()
			}
		}()
		return nil, context.Cause(ctx)
	}
}

func dialError(network, addr string, err error) error {
	if open, ok := errors.AsType[*ssh.OpenChannelError](err); ok {
		why := errors.New("the server could not connect: " + open.Message)
		if open.Reason == ssh.Prohibited {
			why = fmt.Errorf("%w: its SSH server does not allow it (AllowTcpForwarding, AllowStreamLocalForwarding, PermitOpen): %s", remote.ErrNoForwarding, open.Message)
		}
		return &net.OpError{Op: "dial", Net: network, Addr: farAddr{network, addr}, Err: why}
	}
	return &linkError{err}
}

// linkError is about the connection to the server, not what was asked of it.
type linkError struct{ err error }

func (e *linkError) Error() string { return e.err.Error() }
func (e *linkError) Unwrap() error { return e.err }
