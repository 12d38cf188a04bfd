package ssh

import (
	"errors"
	"io"
	"net"
	"time"
)

// flushTime is how long Close lets what was written go out.
const flushTime = 10 * time.Second

// conn is a forwarded connection with deadlines. An SSH channel has none, so
// two net.Pipes stand before it, one for each direction; they also let one
// direction be closed alone.
type conn struct {
	in, out net.Conn // our ends
	addr    net.Addr
	link    *watched
}

func newConn(ch net.Conn, link *watched, network, addr string) net.Conn {
	inNear, inFar := net.Pipe()
	outNear, outFar := net.Pipe()
	flushed := make(chan struct{})
	go func() {
		defer close(flushed)
		_, err := io.Copy(ch, outFar)
		outFar.Close() // a write after the channel broke is an error
		if half, ok := ch.(interface{ CloseWrite() error }); ok && err == nil {
			_ = half.CloseWrite()
		}
	}()
	go func() {
		_, _ = io.Copy(inFar, ch)
		inFar.Close()
	}()
	c := &conn{in: inNear, out: outNear, addr: farAddr{network, addr}, link: link}
	return &closing{conn: c, ch: ch, flushed: flushed}
}

// closing is a conn that can be closed: the channel after all was flushed.
type closing struct {
	*conn
	ch      net.Conn
	flushed <-chan struct{}
}

func (c *closing) Close() error {
	err := errors.Join(c.in.Close(), c.out.Close())
	go func() {
		select {
		case <-c.flushed:
		case <-time.After(flushTime):
		}
		c.ch.Close()
	}()
	return err
}

// Read does not take a lost link for a proper end of the data.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	if err == io.EOF && c.link.broken.Load() {
		err = &net.OpError{Op: "read", Net: c.addr.Network(), Addr: c.addr, Err: errLinkLost}
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.out.Write(p)
	if errors.Is(err, io.ErrClosedPipe) {
		err = net.ErrClosed
	}
	return n, err
}

// CloseWrite tells the other side that nothing more comes.
func (c *conn) CloseWrite() error { return c.out.Close() }

func (c *conn) LocalAddr() net.Addr  { return farAddr{c.addr.Network(), "by way of ssh"} }
func (c *conn) RemoteAddr() net.Addr { return c.addr }

func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.in.SetDeadline(t), c.out.SetDeadline(t))
}
func (c *conn) SetReadDeadline(t time.Time) error  { return c.in.SetReadDeadline(t) }
func (c *conn) SetWriteDeadline(t time.Time) error { return c.out.SetWriteDeadline(t) }

var errLinkLost = errors.New("connection to the SSH server was lost")

type farAddr struct{ network, addr string }

func (a farAddr) Network() string { return a.network }
func (a farAddr) String() string  { return a.addr }
