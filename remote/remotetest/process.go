package remotetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// process is a server of one test's own, which can be ended and started again.
type process struct {
	log string    // the file of what it says
	cmd *exec.Cmd // nil: it does not run
}

// start starts the server, as nobody where the test is root, and waits until it
// answers.
func (p *process) start(t testing.TB, c *exec.Cmd, alive func() bool) {
	t.Helper()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	c.Dir, c.Stdout, c.Stderr = filepath.Dir(p.log), log, log
	asNobody(c)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	p.cmd = c
	for range 2400 {
		if alive() {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatalf("%s does not answer in 60 s:\n%s", c.Path, p.Log())
}

// Log is what the server said so far.
func (p *process) Log() string {
	said, _ := os.ReadFile(p.log)
	return string(said)
}

// Stop shuts the server down as an operator would, and waits for its end.
func (p *process) Stop() { p.end(syscall.SIGTERM) }

// Kill ends the server as a crash does.
func (p *process) Kill() { p.end(syscall.SIGKILL) }

func (p *process) end(sig syscall.Signal) {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(sig)
	_ = p.cmd.Wait()
	p.cmd = nil
}

func asNobody(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Getuid() == 0 {
		c.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
}
