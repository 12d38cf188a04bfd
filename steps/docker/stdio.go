package docker

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"belay/remote"
)

// stdioGrace is how long dial-stdio may take to end by itself, once its stdin
// has ended, before it is ended.
const stdioGrace = 2 * time.Second

// stdioConn is a connection to an engine through a program on its host that
// passes stdin and stdout on. Each direction is a net.Pipe, so deadlines work
// and CloseWrite ends the program's stdin alone.
type stdioConn struct {
	r, w   net.Conn // our ends of what the engine says, and of what it is told
	cancel context.CancelCauseFunc
	done   chan struct{} // the command has ended
	err    error         // how; set before done
	once   sync.Once
}

// dialStdio starts c on r and talks to it. The command outlives ctx, which is
// that of the dialing: it ends with Close.
func dialStdio(ctx context.Context, r remote.Runner, c remote.Cmd) *stdioConn {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	s := &stdioConn{cancel: cancel, done: make(chan struct{})}
	var says, told net.Conn
	s.r, says = net.Pipe()
	s.w, told = net.Pipe()
	c.Stdin, c.Stdout = told, says
	go func() {
		s.err = r.Run(ctx, c)
		cancel(nil)
		close(s.done)
		says.Close()
		told.Close()
	}()
	return s
}

// Read gives the reason of the command's end instead of a bare end of file.
func (s *stdioConn) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if errors.Is(err, io.EOF) {
		select {
		case <-s.done:
			if s.err != nil {
				err = s.err
			}
		default:
		}
	}
	return n, err
}

func (s *stdioConn) Write(p []byte) (int, error) { return s.w.Write(p) }

// CloseWrite ends what the engine is told; its answer can still be read.
func (s *stdioConn) CloseWrite() error { return s.w.Close() }

// Close ends both directions. The command ends by that, or is ended a little
// later.
func (s *stdioConn) Close() error {
	s.once.Do(func() {
		s.w.Close()
		s.r.Close()
		go func() {
			select {
			case <-s.done:
			case <-time.After(stdioGrace):
				s.cancel(net.ErrClosed)
			}
		}()
	})
	return nil
}

func (s *stdioConn) LocalAddr() net.Addr  { return stdioAddr{} }
func (s *stdioConn) RemoteAddr() net.Addr { return stdioAddr{} }

func (s *stdioConn) SetDeadline(t time.Time) error {
	return errors.Join(s.r.SetReadDeadline(t), s.w.SetWriteDeadline(t))
}
func (s *stdioConn) SetReadDeadline(t time.Time) error  { return s.r.SetReadDeadline(t) }
func (s *stdioConn) SetWriteDeadline(t time.Time) error { return s.w.SetWriteDeadline(t) }

type stdioAddr struct{}

func (stdioAddr) Network() string { return "stdio" }
func (stdioAddr) String() string  { return "docker system dial-stdio" }
