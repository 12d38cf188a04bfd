package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// localGrace is how long a local command may take to end after TERM, before
// its whole process group is killed.
const localGrace = 3 * time.Second

// Local is this very machine under the plan's name for it. A command gets a
// process group of its own; when ctx ends, the group gets TERM, and KILL three
// seconds later. A program that does not exist is an *ExitError with status
// 127, one that may not be executed 126, as a shell would say.
func Local(name string) Host {
	return Host{Name: name, Addr: "this machine", Runner: local{}, Dialer: local{}}
}

type local struct{}

func (local) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if network != "tcp" && network != "unix" {
		return nil, fmt.Errorf("dial %s: network %q is neither tcp nor unix", addr, network)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, addr)
}

func (local) Run(ctx context.Context, c Cmd) error {
	if err := c.Check(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p, err := startLocal(c, cancel)
	if err != nil {
		return err
	}
	defer p.sinks.Done()
	return p.wait(ctx, c)
}

type localProcess struct {
	cmd   *exec.Cmd
	sinks *Sinks
	reads [2]*os.File    // our ends of stdout and stderr
	done  sync.WaitGroup // both are at their end
}

// startLocal uses pipes of its own, because exec.Cmd.Wait would also wait for
// stdin to end, which may be never.
func startLocal(c Cmd, fail func(error)) (*localProcess, error) {
	p := &localProcess{cmd: exec.Command(c.Argv[0], c.Argv[1:]...), sinks: c.Sinks(fail)}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var far [2]*os.File
	defer func() {
		for _, f := range far {
			f.Close()
		}
	}()
	for i := range far {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, errors.Join(err, p.close())
		}
		p.reads[i], far[i] = r, w
	}
	p.cmd.Stdout, p.cmd.Stderr = far[0], far[1]
	var stdin io.WriteCloser
	if c.Stdin != nil {
		var err error
		if stdin, err = p.cmd.StdinPipe(); err != nil {
			return nil, errors.Join(err, p.close())
		}
	}
	if err := p.cmd.Start(); err != nil {
		p.close()
		return nil, startError(c.Argv, err)
	}
	p.done.Go(func() { io.Copy(p.sinks.Stdout, p.reads[0]) })
	p.done.Go(func() { io.Copy(p.sinks.Stderr, p.reads[1]) })
	if stdin != nil {
		go func() {
			// An error here is the command not reading on: its own business.
			io.Copy(stdin, c.Stdin)
			stdin.Close()
		}()
	}
	return p, nil
}

func (p *localProcess) close() error {
	for _, f := range p.reads {
		f.Close()
	}
	return nil
}

// wait returns when the command has ended and its output is at its end, which
// is later when it left children behind that hold it open (as with SSH).
func (p *localProcess) wait(ctx context.Context, c Cmd) error {
	ended := make(chan error, 1)
	go func() {
		err := p.cmd.Wait()
		p.done.Wait()
		ended <- err
	}()
	var err error
	select {
	case err = <-ended:
		p.close()
	case <-ctx.Done():
		p.kill(ended)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return p.exitError(c.Argv, err)
}

// kill ends the group. Its number is not given out again while a member lives;
// when the leader is gone and nobody else, there is nobody to hit.
func (p *localProcess) kill(ended <-chan error) {
	pgid := p.cmd.Process.Pid
	if syscall.Kill(-pgid, syscall.SIGTERM) == syscall.EPERM {
		sudoKillGroup(pgid, "TERM")
	}
	select {
	case <-ended:
	case <-time.After(localGrace):
	}
	if syscall.Kill(-pgid, syscall.SIGKILL) == syscall.EPERM {
		sudoKillGroup(pgid, "KILL")
	}
	p.close() // a child that left the group may still hold the output open
}

// sudoKillGroup ends a group of another user: only sudo can have begun it, and
// where sudo needs no password it may end it too.
func sudoKillGroup(pgid int, sig string) {
	_ = exec.Command("sudo", "-n", "sh", "-c", `kill -s "$1" -- "-$2"`, "sh", sig, fmt.Sprint(pgid)).Run()
}

func (p *localProcess) exitError(argv []string, err error) error {
	if err == nil {
		return nil
	}
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return err
	}
	e := &ExitError{Argv: argv, Status: exit.ExitCode(), Stderr: p.sinks.Tail()}
	if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		e.Status, e.Signal = -1, signalName(ws.Signal())
	}
	return e
}

func startError(argv []string, err error) error {
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return &ExitError{Argv: argv, Status: 127, Stderr: argv[0] + ": not found"}
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ENOEXEC):
		return &ExitError{Argv: argv, Status: 126, Stderr: argv[0] + ": permission denied"}
	}
	return fmt.Errorf("start %s: %w", plainName(argv[0]), err)
}

// signalName is the name that SSH uses (RFC 4254 §6.10), "KILL" for SIGKILL.
func signalName(s syscall.Signal) string {
	names := map[syscall.Signal]string{
		syscall.SIGABRT: "ABRT", syscall.SIGALRM: "ALRM", syscall.SIGFPE: "FPE", syscall.SIGHUP: "HUP",
		syscall.SIGILL: "ILL", syscall.SIGINT: "INT", syscall.SIGKILL: "KILL", syscall.SIGPIPE: "PIPE",
		syscall.SIGQUIT: "QUIT", syscall.SIGSEGV: "SEGV", syscall.SIGTERM: "TERM",
		syscall.SIGUSR1: "USR1", syscall.SIGUSR2: "USR2", syscall.SIGBUS: "BUS",
	}
	if n := names[s]; n != "" {
		return n
	}
	return fmt.Sprint(int(s))
}
