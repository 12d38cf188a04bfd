package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"belay/remote/remotetest"
	"belay/steps/journal"
	"belay/steps/plan"
	"belay/steps/run"
)

// keptPlan has a step that lasts until the test lets it go, and then a
// question.
const keptPlan = `belay: 1
name: kept
hosts: {here: {local: true}}
prepare:
  - step: Long work
    on: here
    run:
      dir: %s
      script: |
        echo began >>ledger
        while [ ! -e go ]; do [ ! -e noise ] || seq 1 2000; sleep 0.1; done
        echo ended >>ledger
  - step: Rackwork
    manual: {text: Look at the rack and read the Zaehlerstand., evidence: what you saw}
`

// kept is a run with a keeper, and the screens on it. Every screen is the real
// binary on a real terminal.
type kept struct {
	t       *testing.T
	dir     string
	program string
	env     []string
	tmux    string // name of the test's own tmux server
}

// realBelay builds the program as it ships, without what tests add to it.
func realBelay(t *testing.T) string {
	t.Helper()
	remotetest.Need(t, "go", "tmux")
	path := filepath.Join(t.TempDir(), "belay")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

func newKept(t *testing.T, program string) *kept {
	t.Helper()
	k := &kept{t: t, dir: t.TempDir(), program: program, tmux: "belay-" + strconv.Itoa(os.Getpid()) + "-" + regexp.MustCompile(`\W`).ReplaceAllString(t.Name(), "")}
	k.env = append(os.Environ(), "HOME="+k.dir, "BELAY_STATE="+k.dir, "BELAY_SSH_CONFIG=none", "BELAY_LOCK="+filepath.Join(k.dir, "lock"), "TERM=xterm-256color", "LANG=C.UTF-8")
	write(t, filepath.Join(k.dir, "plan.yaml"), fmt.Sprintf(keptPlan, k.dir))
	write(t, filepath.Join(k.dir, "answers.yaml"), "name: Ada Lovelace\nanswers:\n  - {question: findings, choice: accept, item: \"*\", reason: a lab, times: 99}\n"+
		"  - {question: manual, choice: done, text: seen}\n  - {question: close, choice: close, text: here}\n")
	t.Cleanup(func() {
		_ = k.inTmux("kill-server").Run()
		write(t, filepath.Join(k.dir, "go"), "")
		if h := k.holder(); h != nil {
			_ = syscall.Kill(h.PID, syscall.SIGKILL)
		}
	})
	return k
}

func (k *kept) inTmux(args ...string) *exec.Cmd {
	c := exec.Command("tmux", append([]string{"-L", k.tmux, "-f", "/dev/null"}, args...)...)
	c.Dir, c.Env = k.dir, k.env
	return c
}

// tmuxRun starts belay in a tmux window of its own.
func (k *kept) tmuxRun(session string, args ...string) {
	k.t.Helper()
	words := append([]string{"new-session", "-d", "-s", session, "-x", "100", "-y", "30", k.program}, args...)
	// A tmux server that was just killed may still be about to end.
	k.until("tmux starts", func() bool { return k.inTmux(words...).Run() == nil })
	_ = k.inTmux("set", "-g", "remain-on-exit", "on").Run()
}

func (k *kept) screen(session string) string {
	out, _ := k.inTmux("capture-pane", "-p", "-t", session).Output()
	return string(out)
}

// pid is the process in a tmux session.
func (k *kept) pid(session string) int {
	k.t.Helper()
	out, err := k.inTmux("list-panes", "-t", session, "-F", "#{pane_pid}").Output()
	if err != nil {
		k.t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		k.t.Fatal(err)
	}
	return n
}

func (k *kept) until(what string, ok func() bool) {
	k.t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			k.t.Fatalf("still not: %s", what)
		}
	}
}

func (k *kept) untilScreen(session, what string, words ...string) {
	k.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		text := k.screen(session)
		all := true
		for _, w := range words {
			all = all && strings.Contains(text, w)
		}
		if all {
			return
		}
		if time.Now().After(end) {
			k.t.Fatalf("the screen does not show %s (%q):\n%s", what, words, text)
		}
	}
}

func (k *kept) runDir() string {
	found, _ := filepath.Glob(filepath.Join(k.dir, "runs", "*"))
	if len(found) != 1 {
		return ""
	}
	return found[0]
}

// holder is who drives the run; nil when nobody does.
func (k *kept) holder() *run.Holder {
	all, _ := run.List(filepath.Join(k.dir, "runs"))
	if len(all) != 1 {
		return nil
	}
	return all[0].Live
}

func (k *kept) state() *journal.State {
	s := journal.NewState()
	events, err := journal.Read(filepath.Join(k.runDir(), "journal"))
	if err != nil {
		k.t.Fatal(err)
	}
	for _, e := range events {
		s.Apply(e)
	}
	return s
}

func (k *kept) ledger() string {
	b, _ := os.ReadFile(filepath.Join(k.dir, "ledger"))
	return strings.Join(strings.Fields(string(b)), " ")
}

func (k *kept) attach() *run.Attached {
	k.t.Helper()
	var a *run.Attached
	k.until("a screen can attach", func() (ok bool) {
		if k.runDir() != "" {
			var err error
			a, err = run.Attach(k.runDir(), plan.All(), journal.Author{Login: "eve", Name: "Eve"})
			ok = err == nil
		}
		return ok
	})
	return a
}

// begin answers the first gate from another screen, which leaves then; the
// long step runs when it returns.
func (k *kept) begin() {
	k.t.Helper()
	a := k.attach()
	defer a.Close()
	if err := a.TakePen(); err != nil {
		k.t.Fatal(err)
	}
	k.until("the long step runs", func() bool {
		for _, q := range a.State().Questions {
			_, open := a.State().Standing()
			for _, f := range open {
				_ = a.Answer(k.t.Context(), journal.Answer{Question: q.ID, Choice: "accept", Item: f.ID, Reason: "a lab", By: journal.Author{Login: "eve", Name: "Eve"}})
			}
			_ = a.Answer(k.t.Context(), journal.Answer{Question: q.ID, Choice: "go", By: journal.Author{Login: "eve", Name: "Eve"}})
		}
		return k.ledger() == "began"
	})
}

// question waits for the manual step's question and returns its id.
func (k *kept) question() (id string) {
	k.t.Helper()
	k.until("the question waits", func() bool {
		for _, q := range k.state().Questions {
			if q.Kind == journal.AskManual {
				id = q.ID
			}
		}
		return id != ""
	})
	return id
}

// answer has a person answer the question on another screen.
func (k *kept) answer(id string) {
	k.t.Helper()
	a := k.attach()
	defer a.Close()
	if err := a.TakePen(); err != nil {
		k.t.Fatal(err)
	}
	if err := a.Answer(k.t.Context(), journal.Answer{Question: id, Choice: "done", Text: "42", By: journal.Author{Login: "eve", Name: "Eve"}}); err != nil {
		k.t.Fatal(err)
	}
}

func (k *kept) letGo() { write(k.t, filepath.Join(k.dir, "go"), "") }

// sgr are the control sequences of a terminal.
var sgr = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][0-9A-B]|\x1b[=>]`)

// firstFrame starts a screen on a terminal of its own, and measures how long it
// takes until it shows the question about the rack, or, where another screen
// has the pen, that a question waits.
func (k *kept) firstFrame(args ...string) time.Duration {
	k.t.Helper()
	c := exec.Command(k.program, args...)
	c.Dir, c.Env = k.dir, append(k.env, "SSH_TTY=/dev/pts/0")
	begun := time.Now()
	far, err := pty.StartWithSize(c, &pty.Winsize{Rows: 30, Cols: 100})
	if err != nil {
		k.t.Skipf("no pseudo-terminal: %v", err)
	}
	var took time.Duration
	got := make(chan bool, 1)
	go func() {
		var all bytes.Buffer
		buf := make([]byte, 1<<16)
		for {
			n, err := far.Read(buf)
			all.Write(buf[:n])
			if text := sgr.ReplaceAllString(all.String(), ""); took == 0 && (strings.Contains(text, "belay waits for YOU: press enter to answer. Rackwork") || strings.Contains(text, "A question waits")) {
				took = time.Since(begun)
				got <- true
			}
			if err != nil {
				return
			}
		}
	}()
	select {
	case <-got:
	case <-time.After(time.Minute):
		k.t.Errorf("the screen of %q does not show the question", args)
	}
	_ = c.Process.Kill()
	_ = c.Wait()
	far.Close()
	return took
}

// TestTerminalIsTakenAway closes the terminal in three ways in the middle of a
// step: the keeper goes on, the question waits, and attach shows that very
// question.
func TestTerminalIsTakenAway(t *testing.T) {
	program := realBelay(t)
	for name, take := range map[string]func(k *kept) error{
		"hangup":       func(k *kept) error { return syscall.Kill(k.pid("one"), syscall.SIGHUP) },
		"pane closed":  func(k *kept) error { return k.inTmux("kill-pane", "-t", "one").Run() },
		"tmux killed":  func(k *kept) error { return k.inTmux("kill-server").Run() },
		"screen kill9": func(k *kept) error { return syscall.Kill(k.pid("one"), syscall.SIGKILL) },
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			k := newKept(t, program)
			k.tmuxRun("one", "run", "plan.yaml")
			k.begin()
			k.untilScreen("one", "the step", "Long work")
			keeper := k.holder()
			if keeper == nil {
				t.Fatal("nobody holds the run")
			}
			if err := take(k); err != nil {
				t.Fatal(err)
			}
			k.letGo()
			id := k.question()
			if now := k.holder(); now == nil || now.PID != keeper.PID {
				t.Fatalf("the keeper was %d, and is %v now", keeper.PID, now)
			}
			took := k.firstFrame("attach")
			t.Logf("attach shows the question after %s", took.Round(time.Millisecond))
			k.tmuxRun("two", "attach")
			k.untilScreen("two", "the question", "Rackwork")
			if again := k.question(); again != id {
				t.Errorf("the question was %s and is %s now", id, again)
			}
			if n := strings.Count(k.journalText(), `"kind":"`+journal.AskManual+`"`); n != 1 {
				t.Errorf("the question was asked %d times", n)
			}
			k.answer(id)
			k.until("the run goes on", func() bool { return k.state().Step("rackwork").Status == journal.PassedStatus })
			if k.ledger() != "began ended" {
				t.Errorf("the ledger holds %q", k.ledger())
			}
			if text := k.journalText(); !strings.Contains(text, `"name":"Eve"`) {
				t.Error("the journal does not say who answered")
			} else if strings.Contains(text, `"login":"eve"`) {
				t.Error("the journal believes the login that an answer claims, and not the kernel")
			}
		})
	}
}

// aScreen is belay on a terminal of the test's own.
type aScreen struct {
	*exec.Cmd
	far  *os.File
	mu   sync.Mutex
	text bytes.Buffer
}

func (k *kept) onTerminal(args ...string) *aScreen {
	k.t.Helper()
	s := &aScreen{Cmd: exec.Command(k.program, args...)}
	s.Dir, s.Env = k.dir, k.env
	var err error
	if s.far, err = pty.StartWithSize(s.Cmd, &pty.Winsize{Rows: 30, Cols: 100}); err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { _ = s.Process.Kill(); _ = s.far.Close() })
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, err := s.far.Read(buf)
			s.mu.Lock()
			s.text.Write(buf[:n])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return s
}

func (s *aScreen) shows(words string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(sgr.ReplaceAllString(s.text.String(), ""), words)
}

// TestScreenIsLeft leaves a screen in three ways in the middle of a step: it
// ends by itself, with the code of a run that goes on, and the keeper does go on.
func TestScreenIsLeft(t *testing.T) {
	program := realBelay(t)
	for name, leave := range map[string]func(k *kept, s *aScreen) error{
		"keys": func(k *kept, s *aScreen) error {
			if _, err := s.far.WriteString("q"); err != nil {
				return err
			}
			k.until("the screen says what leaving means", func() bool { return s.shows("d    detach") })
			_, err := s.far.WriteString("d")
			return err
		},
		"told to": func(_ *kept, s *aScreen) error { return s.Process.Signal(syscall.SIGTERM) },
		"told to, and hung up": func(_ *kept, s *aScreen) error {
			err := s.Process.Signal(syscall.SIGTERM)
			_ = s.Process.Signal(syscall.SIGHUP) // it may be gone by now
			return err
		},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			k := newKept(t, program)
			s := k.onTerminal("run", "plan.yaml")
			k.begin()
			k.until("the screen shows the step", func() bool { return s.shows("Long work") })
			if err := leave(k, s); err != nil {
				t.Fatal(err)
			}
			_ = s.Wait()
			if code := s.ProcessState.ExitCode(); code != exitInterrupted {
				t.Errorf("the screen ended with %d (%s)", code, s.ProcessState)
			}
			if k.holder() == nil {
				t.Fatal("the keeper is gone")
			}
			k.letGo()
			k.answer(k.question())
			k.until("the run goes on", func() bool { return k.state().Step("rackwork").Status == journal.PassedStatus })
		})
	}
}

func (k *kept) journalText() string {
	b, _ := os.ReadFile(filepath.Join(k.runDir(), "journal"))
	return string(b)
}

// TestTerminalStalls has a terminal whose reader stops while the step says a
// lot: the keeper does not wait for it.
func TestTerminalStalls(t *testing.T) {
	k := newKept(t, realBelay(t))
	c := exec.Command(k.program, "run", "plan.yaml")
	c.Dir, c.Env = k.dir, k.env
	far, err := pty.StartWithSize(c, &pty.Winsize{Rows: 30, Cols: 100})
	if err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	defer far.Close()
	defer func() { _ = c.Process.Kill(); _ = c.Wait() }()
	// Nobody reads the terminal any more, from here on.
	k.begin()
	write(t, filepath.Join(k.dir, "noise"), "")
	log := filepath.Join(k.runDir(), "logs", "long-work@here.log")
	size := func() int64 {
		st, err := os.Stat(log)
		if err != nil {
			return 0
		}
		return st.Size()
	}
	stalled := time.Now()
	for n := int64(0); time.Since(stalled) < 12*time.Second; {
		k.until("the log grows", func() bool { return size() > n })
		n = size()
		time.Sleep(500 * time.Millisecond)
	}
	k.letGo()
	id := k.question()
	t.Logf("stalled for %s, in which the step wrote %d KB of log; the question came all the same", time.Since(stalled).Round(time.Second), size()>>10)
	took := k.firstFrame("attach")
	t.Logf("attach shows the question after %s", took.Round(time.Millisecond))
	k.answer(id)
	k.until("the run goes on", func() bool { return k.state().Step("rackwork").Status == journal.PassedStatus })
	// The stalled screen comes back to what is there now.
	var mu sync.Mutex
	var all bytes.Buffer
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, err := far.Read(buf)
			mu.Lock()
			all.Write(buf[:n])
			mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	asked := time.Now()
	k.until("the stalled screen shows the newest question", func() bool {
		if time.Since(asked) > time.Second { // ctrl-l: what is drawn in pieces cannot be read as text
			asked = time.Now()
			_, _ = far.Write([]byte{'l' & 0x1f})
		}
		mu.Lock()
		defer mu.Unlock()
		return strings.Contains(sgr.ReplaceAllString(all.String(), ""), "Close the migration")
	})
}

// TestKeeperIsKilled kills the keeper in the middle of a step: the screen says
// so with the command that takes the run up, and that one finishes it.
func TestKeeperIsKilled(t *testing.T) {
	k := newKept(t, realBelay(t))
	k.tmuxRun("one", "run", "plan.yaml")
	k.begin()
	id := filepath.Base(k.runDir())
	if err := syscall.Kill(k.holder().PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	k.untilScreen("one", "that the keeper is gone", "gone", "belay resume", id)
	if _, out := k.belay("attach", "--plain"); !strings.Contains(out, "belay resume "+id) {
		t.Errorf("attach says:\n%s", out)
	}
	k.letGo()
	code, out := k.belay("resume", "--headless", "--answers", "answers.yaml")
	if code != exitClosed {
		t.Errorf("resume ended with %d:\n%s", code, out)
	}
	if k.ledger() != "began ended" {
		t.Errorf("the ledger holds %q", k.ledger())
	}
}

func (k *kept) belay(args ...string) (int, string) {
	c := exec.Command(k.program, args...)
	c.Dir, c.Env = k.dir, k.env
	out, err := c.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		k.t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), string(out)
}

// TestTwoScreens: one holds the pen, the other reads; taking it over is shown
// to both.
func TestTwoScreens(t *testing.T) {
	k := newKept(t, realBelay(t))
	k.tmuxRun("one", "run", "plan.yaml")
	k.untilScreen("one", "the plan", "kept")
	k.tmuxRun("two", "attach")
	k.untilScreen("two", "that it only reads", "You only read", "p takes it")
	if _, out := k.belay(); !strings.Contains(out, filepath.Base(k.runDir())) || !strings.Contains(out, "belay attach RUN") {
		t.Errorf("bare belay offers no run to attach to:\n%s", out)
	}
	eve := k.attach()
	defer eve.Close()
	var refused *journal.RefusedError
	k.until("the first gate is open", func() bool { return len(eve.State().Questions) > 0 })
	q := eve.State().Questions[0].ID
	if err := eve.Answer(t.Context(), journal.Answer{Question: q, Choice: "stop"}); !errors.As(err, &refused) || !strings.Contains(refused.Why, "holds the pen") {
		t.Errorf("an answer without the pen: %v", err)
	}
	if out, err := k.inTmux("send-keys", "-t", "two", "p").CombinedOutput(); err != nil {
		t.Fatalf("tmux: %v: %s", err, out)
	}
	k.untilScreen("one", "that the pen was taken", "You only read")
	k.until("the second screen does not only read any more", func() bool { return !strings.Contains(k.screen("two"), "You only read") })
	if err := syscall.Kill(k.pid("two"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	// When its holder has died the pen goes to who has been there longest.
	k.until("the dead screen is gone", func() bool { return eve.Pen().Screens == 2 })
	k.until("the first screen has the pen again", func() bool { return !strings.Contains(k.screen("one"), "You only read") })
	if eve.Pen().Mine {
		t.Error("the pen went past the screen that was there first")
	}
	if err := eve.TakePen(); err != nil {
		t.Fatal(err)
	}
	if err := eve.Request(t.Context(), run.Request{What: run.WantStop}); err != nil {
		t.Errorf("a request with the pen: %v", err)
	}
	k.untilScreen("one", "that the run has stopped", "belay resume")
	if b, err := json.Marshal(k.state().Status); err != nil || string(b) != `"stopped"` {
		t.Errorf("status %s, %v", b, err)
	}
}
