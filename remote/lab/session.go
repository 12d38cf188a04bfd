package lab

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/crypto/ssh"
)

// session serves one session channel: environment, one command, signals. Like
// sshd it ends only when everything that holds the command's output has closed
// it, and leaves the command alone when the client goes away.
func (s *server) session(nc ssh.NewChannel) {
	ch, requests, err := nc.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	env := s.env
	var running *command
	var finished chan struct{}
	for {
		select {
		case <-finished:
			return
		case r, ok := <-requests:
			if !ok {
				return
			}
			accepted := false
			switch r.Type {
			case "env":
				var kv struct{ Name, Value string }
				if ssh.Unmarshal(r.Payload, &kv) == nil && mayPass(kv.Name) {
					env, accepted = append(env[:len(env):len(env)], kv.Name+"="+kv.Value), true
				}
			case "exec":
				var line struct{ Text string }
				if running == nil && ssh.Unmarshal(r.Payload, &line) == nil {
					if running, err = s.run(line.Text, env, ch); err == nil {
						accepted, finished = true, make(chan struct{})
					}
				}
			case "signal":
				var sig struct{ Name string }
				if running != nil && ssh.Unmarshal(r.Payload, &sig) == nil {
					accepted = running.signal(sig.Name)
				}
			}
			if r.WantReply {
				r.Reply(accepted, nil)
			}
			if r.Type == "exec" && accepted {
				s.wg.Go(func() { running.finish(ch); close(finished) })
			}
		}
	}
}

// mayPass is what Debian's sshd accepts, and belay's own.
func mayPass(name string) bool {
	return name == "LANG" || strings.HasPrefix(name, "LC_") || strings.HasPrefix(name, "BELAY_")
}

// command is one command, leader of a session and process group of its own.
type command struct {
	cmd    *exec.Cmd
	output sync.WaitGroup
	mu     sync.Mutex
	ended  bool
	done   func()
}

// run starts sh with line. The pipes are our own, so that Wait does not wait
// for what the command leaves running.
func (s *server) run(line string, env []string, ch ssh.Channel) (*command, error) {
	in, stdin, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	stdout, out, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, in.Close(), stdin.Close())
	}
	stderr, errOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, in.Close(), stdin.Close(), stdout.Close(), out.Close())
	}
	c := &command{cmd: exec.Command("sh", "-c", s.disguise.Replace(line))}
	c.cmd.Dir, c.cmd.Env = s.home, env
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = in, out, errOut
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = s.launch(c)
	errs := errors.Join(in.Close(), out.Close(), errOut.Close())
	if err = errors.Join(err, errs); err != nil {
		return nil, errors.Join(err, stdin.Close(), stdout.Close(), stderr.Close())
	}
	go func() { // ends with the channel
		if scriptOnStdin.MatchString(line) {
			s.copyLines(stdin, ch)
		} else {
			io.Copy(stdin, ch)
		}
		stdin.Close()
	}()
	c.output.Go(func() { io.Copy(ch, stdout); stdout.Close() })
	c.output.Go(func() { io.Copy(ch.Stderr(), stderr); stderr.Close() })
	return c, nil
}

// scriptOnStdin is a command line whose standard input is shell text.
var scriptOnStdin = regexp.MustCompile(`(^| )'?sh'? '?-s'?( |$)`)

// copyLines passes shell text on, in the server's disguise.
func (s *server) copyLines(to io.Writer, from io.Reader) {
	for in := bufio.NewReader(from); ; {
		text, err := in.ReadString('\n')
		if _, werr := s.disguise.WriteString(to, text); err != nil || werr != nil {
			return
		}
	}
}

// launch starts c unless the server is closing, and keeps its group for close.
func (s *server) launch(c *command) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return os.ErrClosed
	}
	if err := c.cmd.Start(); err != nil {
		return err
	}
	group := c.cmd.Process.Pid
	s.groups[group] = true
	c.done = func() {
		s.mu.Lock()
		delete(s.groups, group)
		s.mu.Unlock()
	}
	return nil
}

// finish waits for the end of the command and reports it.
func (c *command) finish(ch ssh.Channel) {
	err := c.wait()
	var exit *exec.ExitError
	switch {
	case err == nil:
		ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{0}))
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(exit.ExitCode())}))
	default:
		name := "KILL"
		if exit != nil {
			name = signalName(exit.Sys().(syscall.WaitStatus).Signal())
		}
		ch.SendRequest("exit-signal", false, ssh.Marshal(struct {
			Name          string
			Core          bool
			Message, Lang string
		}{Name: name}))
	}
	c.output.Wait()
}

func (c *command) wait() error {
	err := c.cmd.Wait()
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.done()
	return err
}

// signals are those of RFC 4254 section 6.10 that exist everywhere.
var signals = map[string]syscall.Signal{
	"ABRT": syscall.SIGABRT, "ALRM": syscall.SIGALRM, "HUP": syscall.SIGHUP, "INT": syscall.SIGINT,
	"KILL": syscall.SIGKILL, "PIPE": syscall.SIGPIPE, "QUIT": syscall.SIGQUIT, "TERM": syscall.SIGTERM,
	"USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2,
}

func signalName(sig syscall.Signal) string {
	for name, s := range signals {
		if s == sig {
			return name
		}
	}
	return "KILL"
}

// signal signals the command's whole group, as sshd does.
func (c *command) signal(name string) bool {
	sig, ok := signals[name]
	c.mu.Lock()
	defer c.mu.Unlock()
	return ok && !c.ended && syscall.Kill(-c.cmd.Process.Pid, sig) == nil
}

// detached runs a script as if someone had logged in and started it.
func (s *server) detached(script string) error {
	c := &command{cmd: exec.Command("sh", script)}
	c.cmd.Dir, c.cmd.Env = s.home, s.env
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := s.launch(c); err != nil {
		return err
	}
	return c.wait()
}
