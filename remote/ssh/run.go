package ssh

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"belay/remote"
)

// grace is how long a command may take to end after TERM.
const grace = 3 * time.Second

// machine is a link under one of its names.
type machine struct {
	name string
	link *link
}

// Run implements remote.Runner.
func (m *machine) Run(ctx context.Context, c remote.Cmd) error {
	if err := c.Check(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for again := false; ; again = true {
		v, err := m.link.get(ctx, m.link.net.o.Patience)
		if err != nil {
			return m.named(err)
		}
		sess, err := v.session(ctx)
		if err == nil {
			return m.exec(ctx, cancel, v, sess, c)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if _, broken := err.(*linkError); !broken || again {
			return &remote.UnreachableError{Host: m.name, Err: err}
		}
		// It broke before anything was started: once more, on a new one.
		v.end(err)
	}
}

// Dial implements remote.Dialer.
func (m *machine) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if network != "tcp" && network != "unix" {
		return nil, fmt.Errorf("dial %s: network %q is neither tcp nor unix", addr, network)
	}
	if _, port, err := net.SplitHostPort(addr); network == "tcp" {
		if n, convErr := strconv.Atoi(port); err != nil || convErr != nil || n < 1 || n > 65535 {
			return nil, fmt.Errorf("dial %s: it is not host:port with a number", addr)
		}
	}
	for again := false; ; again = true {
		v, err := m.link.get(ctx, m.link.net.o.Patience)
		if err != nil {
			return nil, m.named(err)
		}
		c, err := v.dial(ctx, network, addr)
		broken, ok := err.(*linkError)
		if !ok {
			return c, err
		}
		if again {
			return nil, &remote.UnreachableError{Host: m.name, Err: broken}
		}
		v.end(broken)
	}
}

// named puts the plan's name for the host into an error of the link.
func (m *machine) named(err error) error {
	if u, ok := err.(*remote.UnreachableError); ok {
		return &remote.UnreachableError{Host: m.name, Err: u.Err}
	}
	return err
}

// session is one open exec channel and its slot.
type session struct {
	*ssh.Session
	v *live
}

// session opens a channel, waiting for its turn. A *linkError says that the
// connection broke; nothing was started then.
func (v *live) session(ctx context.Context) (*session, error) {
	for {
		if err := v.slots.take(ctx, v.ended); err != nil {
			return nil, err
		}
		s, err := v.newSession(ctx)
		if err == nil {
			return &session{s, v}, nil
		}
		if ctx.Err() != nil {
			return nil, err // the slot comes back with the answer
		}
		if _, refused := errors.AsType[*ssh.OpenChannelError](err); !refused {
			v.slots.release()
			return nil, &linkError{err}
		}
		pause, again := v.slots.refused()
		if !again {
			return nil, fmt.Errorf("the SSH server opens no session for a command: %w", err)
		}
		if err := sleep(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// newSession stops waiting when ctx ends; what opens later is closed again.
func (v *live) newSession(ctx context.Context) (*ssh.Session, error) {
	type result struct {
		s   *ssh.Session
		err error
	}
	got := make(chan result, 1)
	go func() {
		s, err := v.client.NewSession()
		got <- result{s, err}
	}()
	select {
	case r := <-got:
		return r.s, r.err
	case <-ctx.Done():
		go func() {
			if r := <-got; r.s != nil {
				r.s.Close()
			}
			v.slots.release()
		}()
		return nil, context.Cause(ctx)
	}
}

// starter tells the process id, which is the group's too, and becomes the
// command. OpenSSH passes no signals on to root's sessions, so they are sent
// by another command that knows the group.
const starter = `printf '%s %s\n' "$0" $$ >&2; exec "$@"`

// exec runs c on an open channel and gives back the slot when the far side has
// really ended, which may be after it returned.
func (m *machine) exec(ctx context.Context, fail context.CancelCauseFunc, v *live, sess *session, c remote.Cmd) error {
	p := &process{sess: sess, sinks: c.Sinks(fail), group: newGroup(rand.Text())}
	defer p.sinks.Done()
	line := "exec " + remote.Quote(append([]string{"sh", "-c", starter, p.group.mark}, c.Argv...)...)
	ended := make(chan error, 1)
	go func() {
		defer v.slots.release()
		ended <- p.run(line, c.Stdin)
	}()
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		p.kill(ended)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return m.explain(v, c, p, err)
}

type process struct {
	sess  *session
	sinks *remote.Sinks
	group *group
}

// startError is a command that was not begun, as far as we know.
type startError struct{ err error }

func (e *startError) Error() string { return e.err.Error() }

func (p *process) run(line string, stdin io.Reader) error {
	defer p.sess.Close()
	in, err1 := p.sess.StdinPipe()
	out, err2 := p.sess.StdoutPipe()
	errs, err3 := p.sess.StderrPipe()
	if err := errors.Join(err1, err2, err3); err != nil {
		return &startError{err}
	}
	if err := p.sess.Start(line); err != nil {
		return &startError{err}
	}
	go func() {
		if stdin != nil {
			// An error here is the command not reading on: its own business.
			_, _ = io.Copy(in, stdin)
		}
		_ = in.Close()
	}()
	var done sync.WaitGroup
	done.Go(func() { _, _ = io.Copy(p.sinks.Stdout, out) })
	done.Go(func() {
		_, _ = io.Copy(p.group.strip(p.sinks.Stderr), errs)
		p.group.none(p.sinks.Stderr)
	})
	err := p.sess.Wait()
	done.Wait()
	return err
}

// kill ends the command and stops waiting for it.
func (p *process) kill(ended <-chan error) {
	soon, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	go p.group.signal(soon, p.sess.v, "TERM")
	select {
	case <-ended:
		return
	case <-soon.Done():
	}
	last, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	go func() {
		p.group.signal(last, p.sess.v, "KILL")
		_ = p.sess.Close()
	}()
	select {
	case <-ended:
	case <-last.Done():
		go p.sess.Close() // may wait on a dead link
	}
}

// explain puts how it ended into the words of remote.Runner.
func (m *machine) explain(v *live, c remote.Cmd, p *process, err error) error {
	if err == nil {
		return nil
	}
	if exit, ok := errors.AsType[*ssh.ExitError](err); ok {
		e := &remote.ExitError{Argv: c.Argv, Status: exit.ExitStatus(), Stderr: p.sinks.Tail()}
		if exit.Signal() != "" {
			e.Status, e.Signal = -1, exit.Signal()
		}
		return e
	}
	if start, ok := errors.AsType[*startError](err); ok {
		// Without an answer to the request it may have begun all the same.
		if !errors.Is(start.err, io.EOF) {
			select {
			case <-v.ended:
			default:
				return &remote.UnreachableError{Host: m.name, Err: errors.New("the SSH server refused to run a command")}
			}
		}
	}
	// The channel closes a moment before the connection says why.
	select {
	case <-v.ended:
		return &remote.LostError{Host: m.name, Err: v.why()}
	case <-time.After(time.Second):
		return &remote.LostError{Host: m.name, Err: errors.New("the session ended without saying how")}
	}
}
