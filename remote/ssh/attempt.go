package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"belay/remote/secret"
)

// attempt is one try to connect a link.
type attempt struct {
	link       *link
	ctx        context.Context
	conn       net.Conn
	atEnd      []func()
	prompted   bool
	tried      []string // for AuthError
	asked      int      // passwords
	usedKnown  bool     // the password that opened the account before
	password   secret.Value
	hostKeyErr error // why the host key was not taken
	hostKeyOK  bool
	signErr    error // why we could not sign or answer
}

// connect dials and logs in. When a person was asked in between and the server
// lost its patience (LoginGraceTime), it tries once more: the answers are kept.
func (l *link) connect(ctx context.Context) (*live, error) {
	v, prompted, err := l.connectOnce(ctx)
	if err != nil && prompted && !final(err) && ctx.Err() == nil {
		v, _, err = l.connectOnce(ctx)
	}
	return v, err
}

func (l *link) connectOnce(ctx context.Context) (_ *live, prompted bool, err error) {
	a := &attempt{link: l, ctx: ctx}
	defer func() {
		for _, f := range a.atEnd {
			f()
		}
	}()
	known, err := l.known()
	if err != nil {
		return nil, false, err
	}
	conn, err := l.dialServer(ctx)
	if err != nil {
		return nil, false, err
	}
	w := &watched{Conn: conn}
	w.heard()
	a.conn = w
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	a.wait()
	c, chans, reqs, err := ssh.NewClientConn(w, l.set.address(), &ssh.ClientConfig{
		User: l.set.User,
		Auth: a.methods(),
		HostKeyCallback: func(name string, addr net.Addr, key ssh.PublicKey) error {
			a.hostKeyErr = a.judgeHostKey(key)
			a.hostKeyOK = a.hostKeyErr == nil
			return a.hostKeyErr
		},
		HostKeyAlgorithms: hostKeyAlgorithms(known),
		ClientVersion:     "SSH-2.0-belay",
	})
	if err != nil {
		conn.Close()
		return nil, a.prompted, a.explain(err)
	}
	_ = conn.SetDeadline(time.Time{})
	l.net.keepPassword(a.account(), a.password)
	return newLive(l, ssh.NewClient(c, chans, reqs), w), a.prompted, nil
}

// dialServer opens the connection to the server, through the jump host if any.
func (l *link) dialServer(ctx context.Context) (net.Conn, error) {
	if l.via == nil {
		ctx, cancel := context.WithTimeoutCause(ctx, l.set.ConnectTimeout, fmt.Errorf("no answer from %s within %v", l.set.address(), l.set.ConnectTimeout))
		defer cancel()
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", l.set.address())
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return c, err
	}
	v, err := l.via.get(ctx, l.net.o.Patience)
	if err != nil {
		return nil, err // it names the jump host
	}
	ctx, cancel := context.WithTimeoutCause(ctx, l.set.ConnectTimeout, fmt.Errorf("no answer from %s by way of %q within %v", l.set.address(), l.via.name(), l.set.ConnectTimeout))
	defer cancel()
	c, err := v.dial(ctx, "tcp", l.set.address())
	if broken, ok := err.(*linkError); ok {
		v.end(broken)
	}
	if err != nil {
		return nil, fmt.Errorf("by way of %q: %w", l.via.name(), err)
	}
	return c, nil
}

// wait sets the clock: the server has so long for its next answer.
func (a *attempt) wait() { _ = a.conn.SetDeadline(time.Now().Add(a.link.set.ConnectTimeout)) }

// whileAsking runs f, which asks a person, with the clock stopped.
func (a *attempt) whileAsking(f func(context.Context) error) error {
	a.prompted = true
	a.lock(&a.link.net.askTurn) // one dialog at a time
	_ = a.conn.SetDeadline(time.Time{})
	defer a.wait()
	defer a.link.net.askTurn.Unlock()
	if a.ctx.Err() != nil {
		return context.Cause(a.ctx)
	}
	return f(a.ctx)
}

// lock takes m, which somebody may hold while a person is asked.
func (a *attempt) lock(m *sync.Mutex) {
	if m.TryLock() {
		return
	}
	a.prompted = true
	_ = a.conn.SetDeadline(time.Time{})
	m.Lock()
	a.wait()
}

// explain finds out what a failed handshake was about: x/crypto/ssh has no
// types for that, but we know how far it came.
func (a *attempt) explain(err error) error {
	ne, isNet := errors.AsType[net.Error](err)
	switch {
	case a.ctx.Err() != nil:
		return context.Cause(a.ctx)
	case a.hostKeyErr != nil:
		return a.hostKeyErr
	case isNet && ne.Timeout():
		return fmt.Errorf("%s is connected but did not finish the login within %v", a.link.set.address(), a.link.set.ConnectTimeout)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed), isNet:
		return fmt.Errorf("%s closed the connection during the login: %w", a.link.set.address(), err)
	case a.hostKeyOK && a.signErr != nil:
		return &AuthError{User: a.link.set.User, Tried: append(a.tried, a.signErr.Error()), Err: a.signErr}
	case a.hostKeyOK:
		return &AuthError{User: a.link.set.User, Tried: a.tried, Err: err}
	}
	return err
}

// final errors are not mended by trying again.
func final(err error) bool {
	_, changed := errors.AsType[*HostKeyChangedError](err)
	_, unknown := errors.AsType[*UnknownHostKeyError](err)
	_, auth := errors.AsType[*AuthError](err)
	return changed || unknown || auth
}
