package steps

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"belay/remote"
	"belay/remote/remotetest"
)

// service scripts of an old chat in a directory of its own: one ends on TERM,
// one takes it for nothing, one holds the port through a child that does not
// have the directory's name in its arguments.
type oldChat struct {
	dir  string
	port int
	cmds []*exec.Cmd
}

func startOldChat(t *testing.T) *oldChat {
	t.Helper()
	c := &oldChat{dir: filepath.Join(t.TempDir(), "oldchat"), port: remotetest.FreePort(t)}
	if err := os.Mkdir(c.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"events": "while :; do sleep .1; done",
		"files":  "trap '' TERM HUP; while :; do sleep .1; done",
		"proxy":  `"$STEPS_TEST_BINARY" -test.run='^TestStopListen$'`,
	} {
		if err := os.WriteFile(c.dir+"/"+name, []byte("echo $$ >"+c.dir+"/"+name+".up\n"+text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		c.start(t, name)
	}
	for _, name := range []string{"events", "files", "listener"} {
		for content(t, c.dir+"/"+name+".up") == "" {
			time.Sleep(10 * time.Millisecond)
		}
	}
	return c
}

func (c *oldChat) start(t *testing.T, name string) {
	t.Helper()
	cmd := exec.Command("sh", c.dir+"/"+name)
	cmd.Env = append(os.Environ(), "STEPS_TEST_BINARY="+os.Args[0], "STEPS_TEST_PORT="+strconv.Itoa(c.port), "STEPS_TEST_UP="+c.dir+"/listener.up")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.cmds = append(c.cmds, cmd)
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		select {
		case <-ended: // its number may be somebody else's by now
		default:
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
		}
	})
}

func (c *oldChat) answers() error {
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", c.port))
	if err == nil {
		conn.Close()
	}
	return err
}

// alive are the scripts that still run.
func (c *oldChat) alive() []string {
	var up []string
	for _, cmd := range c.cmds {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
		if err == nil && !strings.Contains(string(stat), ") Z ") {
			up = append(up, filepath.Base(cmd.Args[1]))
		}
	}
	return up
}

// TestStopListen is a program that holds a port, when it is started as one.
func TestStopListen(t *testing.T) {
	port := os.Getenv("STEPS_TEST_PORT")
	if port == "" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(os.Getenv("STEPS_TEST_UP"), []byte("up\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
}

func TestProcessStop(t *testing.T) {
	inShells(t, func(t *testing.T, b *runBox) {
		c := startOldChat(t)
		s := &processStop{Match: c.dir + "/", Grace: remote.Duration(500 * time.Millisecond), FreePort: c.port, Children: true}
		if err := s.Validate(); err != nil {
			t.Fatal(err)
		}
		e, log := runEnv(b.host())
		todo, err := s.Pending(t.Context(), looking(e))
		if err != nil {
			t.Fatal(err)
		}
		var text []string
		for _, c := range todo {
			text = append(text, c.Text)
		}
		all := strings.Join(text, "\n")
		for _, want := range []string{"sh " + c.dir + "/events", "sh " + c.dir + "/files", "sh " + c.dir + "/proxy", "-test.run=^TestStopListen$",
			fmt.Sprintf("wait until port %d is free (now held by pid ", c.port)} {
			if !strings.Contains(all, want) {
				t.Errorf("pending does not name %q:\n%s", want, all)
			}
		}
		if len(c.alive()) != 3 {
			t.Fatalf("looking has stopped something: only %v run", c.alive())
		}
		if err := s.Verify(t.Context(), looking(e)); err == nil {
			t.Error("verify passes before")
		}
		mustApply(t, s, e)
		if up := c.alive(); len(up) > 0 || c.answers() == nil {
			t.Errorf("still up: %v", up)
		}
		if !strings.Contains(log.String(), "not ended after 500ms: KILL to pid") {
			t.Errorf("log says nothing of KILL:\n%s", log)
		}
		if todo, err := s.Pending(t.Context(), looking(e)); err != nil || len(todo) != 0 {
			t.Errorf("pending afterwards: %v, %v", todo, err)
		}
		var was stops
		if found, err := e.Memory.Get("stopped", &was); !found || err != nil || len(was.All) < 4 || was.All[0].Dir == "" {
			t.Errorf("memory: %+v, %v", was, err)
		}
	})
}

// TestProcessStopCrash kills belay before and after each of its acts, going
// forward and going back.
func TestProcessStopCrash(t *testing.T) {
	t.Parallel()
	b := &runBox{home: t.TempDir(), over: remote.Local("chat")}
	t.Cleanup(func() { endJobs(t, b.home) })
	for _, after := range []bool{false, true} {
		for at, crashed := 1, true; crashed; at++ {
			dir := t.TempDir()
			cmd := exec.Command("sh", "-c", "while :; do sleep .05; done", dir)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() { cmd.Wait(); close(ended) }()
			s := &processStop{Match: dir, Grace: remote.Duration(2 * time.Second), Start: "echo started >>" + dir + "/effects"}
			e, _ := runEnv(b.host())
			e.ID = fmt.Sprintf("stop-%v-%d", after, at)
			crashed = crashing(t, e, at, after, s.Apply)
			select {
			case <-ended:
			default: // belay died before it stopped anything, or just after: the rollback tells
				if err := s.Undo(t.Context(), e); err != nil {
					t.Fatal(err)
				}
				if got := content(t, dir+"/effects"); got != "" {
					select {
					case <-ended: // it did end, a moment later, and was started again
						continue
					default:
						t.Fatalf("act %d: started what was never stopped: %q", at, got)
					}
				}
				e.Memory = MapMemory{}
				e.ID += "b"
				_ = os.Remove(dir + "/effects")
			}
			resume(t, s, e, func() {})
			<-ended
			back := crashing(t, e, at, after, s.Undo)
			for range 2 {
				if err := s.Undo(t.Context(), e); err != nil {
					t.Fatal(err)
				}
			}
			// Stopped by the Apply that died, the process was not there for the
			// second one to remember; the memory of the first is what counts.
			if got := content(t, dir+"/effects"); got != "started\n" {
				t.Errorf("act %d, after %v: effects %q", at, after, got)
			}
			crashed = crashed || back
		}
	}
}

func TestProcessStopTmux(t *testing.T) {
	remotetest.Need(t, "tmux")
	inShells(t, func(t *testing.T, b *runBox) {
		if strings.HasSuffix(t.Name(), "busybox") {
			b.env[0] += ":/usr/bin" // for tmux
		}
		sockets, err := os.MkdirTemp("", "b") // short: a socket's path holds 107 bytes
		if err != nil {
			t.Fatal(err)
		}
		tmux := func(args ...string) error {
			cmd := exec.Command("tmux", append([]string{"-f", "/dev/null"}, args...)...)
			cmd.Env = append(os.Environ(), "TMUX_TMPDIR="+sockets, "TMUX=")
			return cmd.Run()
		}
		t.Cleanup(func() {
			_ = tmux("kill-server")
			os.RemoveAll(sockets)
		})
		dir := t.TempDir()
		// A pane whose loop starts its program again, as people do it.
		loop := fmt.Sprintf("while :; do sh -c 'echo up >>%[1]s/starts; while :; do sleep .1; done' %[1]s/program; done", dir)
		name := "openhands-" + filepath.Base(sockets)
		for _, args := range [][]string{{"new-session", "-d", "-s", name, loop}, {"new-session", "-d", "-s", "other-" + name, "sleep 1000"}} {
			if err := tmux(args...); err != nil {
				t.Fatal(err)
			}
		}
		for content(t, dir+"/starts") == "" {
			time.Sleep(10 * time.Millisecond)
		}
		s := &processStop{Match: dir + "/program$", Tmux: name[:len(name)-1] + "?", Grace: remote.Duration(5 * time.Second), Children: true}
		e, log := runEnv(b.host())
		todo, err := s.Pending(t.Context(), looking(e))
		if err != nil || !strings.Contains(fmt.Sprint(todo), "end tmux session \""+name+"\" of root") && os.Getuid() == 0 {
			t.Fatalf("pending: %v, %v", todo, err)
		}
		mustApply(t, s, e)
		if tmux("has-session", "-t", "="+name) == nil {
			t.Errorf("the session is still there:\n%s", log)
		}
		if tmux("has-session", "-t", "=other-"+name) != nil {
			t.Errorf("another session was ended too:\n%s", log)
		}
	})
}

// TestProcessStopSpares runs a belay command that has the searched word in its
// arguments, and a script of a job: neither is seen.
func TestProcessStopSpares(t *testing.T) {
	inShells(t, func(t *testing.T, b *runBox) {
		word := "spared-" + strconv.Itoa(os.Getpid()) + strings.ReplaceAll(t.Name(), "/", "-")
		ready := filepath.Join(t.TempDir(), "ready")
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		go func() {
			ended <- b.Run(ctx, remote.Sh("echo >"+ready+"1; sleep 1000; : "+word, word))
		}()
		e, _ := runEnv(b.host())
		e.ID = word
		r := &run{Script: "echo >" + ready + "2; sleep 1000"}
		go func() { ended <- r.Apply(ctx, e) }()
		for content(t, ready+"1") == "" || content(t, ready+"2") == "" {
			time.Sleep(10 * time.Millisecond)
		}
		s := &processStop{Match: word, Children: true}
		todo, err := s.Pending(t.Context(), looking(e))
		if err != nil || len(todo) != 0 {
			t.Errorf("pending: %v, %v", todo, err)
		}
		cancel()
		<-ended
		<-ended
	})
}

// TestProcessStopComesBack: what does not match starts it again and again.
func TestProcessStopComesBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/restarter", []byte("cd ${0%/*}; while :; do sh -c 'echo x >>starts; while :; do sleep .05; done' program"+filepath.Base(dir)+filepath.Base(filepath.Dir(dir))+"; done"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", dir+"/restarter")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); _ = cmd.Wait() })
	for content(t, dir+"/starts") == "" {
		time.Sleep(5 * time.Millisecond)
	}
	e, _ := runEnv(remote.Local("chat"))
	s := &processStop{Match: "^sh .* program" + filepath.Base(dir) + filepath.Base(filepath.Dir(dir)), Grace: remote.Duration(5 * time.Second)}
	s.Match = strings.Replace(s.Match, "^sh .* ", "^sh -c .* ", 1)
	err := s.Apply(t.Context(), e)
	if err == nil || !strings.Contains(err.Error(), "is there again: pid ") || !strings.Contains(err.Error(), fmt.Sprintf("by pid %d (", cmd.Process.Pid)) {
		t.Errorf("%v", err)
	}
	if got := len(content(t, dir+"/starts")); got > 2*(stopPasses+1) {
		t.Errorf("stopped %d times", got/2)
	}
}

// TestProcessStopOverSSH: the session that carries the step is spared.
func TestProcessStopOverSSH(t *testing.T) {
	remotetest.Need(t, "ssh")
	t.Parallel()
	b := &runBox{home: t.TempDir()}
	d := remotetest.StartSSHD(t, remotetest.SSHDOptions{Extra: []string{"SetEnv HOME=" + b.home}})
	b.over = openSSH{d.Config}
	c := startOldChat(t)
	s := &processStop{Match: c.dir + "/", Grace: remote.Duration(500 * time.Millisecond), FreePort: c.port, Children: true}
	e, _ := runEnv(b.host())
	mustApply(t, s, e)
	if up := c.alive(); len(up) > 0 {
		t.Errorf("still up: %v", up)
	}
	remotetest.StartSSHD(t, remotetest.SSHDOptions{}) // another one, that does not carry this session
	wide := &processStop{Match: "sshd"}
	if _, err := wide.Pending(t.Context(), looking(e)); err == nil || !strings.Contains(err.Error(), "nothing was stopped") {
		t.Errorf("sshd itself: %v", err)
	}
}

// TestProcessStopForeignPort: what matches is gone, somebody else has the port.
func TestProcessStopForeignPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	e, _ := runEnv(remote.Local("chat"))
	s := &processStop{Match: "no-such-process-anywhere-[z]", FreePort: port}
	todo, err := s.Pending(t.Context(), looking(e))
	if err != nil || len(todo) != 1 || !strings.Contains(todo[0].Text, fmt.Sprintf("held by pid %d (", os.Getpid())) {
		t.Errorf("pending: %v, %v", todo, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	e.Say = func(p Progress) {
		if strings.Contains(p.Text, fmt.Sprintf("port %d is held by pid %d", port, os.Getpid())) {
			cancel(errors.New("seen"))
		}
	}
	if err := s.Apply(ctx, e); err == nil || err.Error() != "seen" {
		t.Errorf("apply: %v", err)
	}
	if err := s.Verify(t.Context(), looking(e)); err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("port %d is held by pid ", port)) {
		t.Errorf("verify: %v", err)
	}
}
