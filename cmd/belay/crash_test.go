package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"belay/remote/lab"
	"belay/steps/engine"
	"belay/steps/journal"
)

// dieAt, in the environment, makes this test binary a belay that kills itself
// at one append to the journal: "17 before" or "17 after" it is on the disk.
const dieAt = "BELAY_TEST_DIE_AT"

// mortal is a journal whose process is killed at one append, as kill -9 does.
type mortal struct {
	engine.Log
	mu    sync.Mutex
	left  int
	after bool
}

func (m *mortal) Append(e journal.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left--; m.left != 0 {
		return m.Log.Append(e)
	}
	if m.after {
		if err := m.Log.Append(e); err != nil {
			return err
		}
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// mortalMain is belay's own main, but for that journal.
func mortalMain() int {
	var at int
	var when string
	if _, err := fmt.Sscan(os.Getenv(dieAt), &at, &when); err != nil {
		panic(err)
	}
	dying := func(walk walkFunc) walkFunc {
		return func(e *engine.Engine, ctx context.Context) (journal.Status, error) {
			e.Log = &mortal{Log: e.Log, left: at, after: when == "after"}
			return walk(e, ctx)
		}
	}
	if os.Args[1] != "run" {
		walks[os.Args[1]] = dying(walks[os.Args[1]])
		return realMain()
	}
	f := driveFlags{headless: true, answers: "answers.yaml"}
	p, err := readPlan("plan.yaml", nil)
	if err == nil {
		r, red, said, cerr := create(p, f)
		if err = cerr; err == nil {
			err = drive(context.Background(), r, p, red, said, f, dying(walks["run"]))
		}
	}
	if code := exit(0); errors.As(err, &code) || err == nil {
		return int(code)
	}
	fmt.Fprintln(os.Stderr, err)
	return exitFailed
}

// twelve is a plan of twelve steps of real kinds on this machine and on two
// servers. Each script writes into the ledger what it did.
const twelve = `belay: 1
name: twelve
hosts: {here: {local: true}, a: {}, b: {}}
vars: {w: %[1]q, a: %[2]q, b: %[3]q, ledger: %[4]q}
prepare:
  - step: One
    on: here
    run: {dir: "${{ w }}", script: "echo x >>one; echo do-one >>${{ ledger }}", undo: "rm -f one; echo undo-one >>${{ ledger }}"}
  - step: Two
    on: a
    files.copy: {content: "new page\n", to: "${{ a }}/page.html"}
  - together:
      - step: Three
        on: [a, b]
        run:
          script: for i in 1 2 3; do echo line $i; sleep 0.1; done; echo do-three >>${{ ledger }}
          undo: echo undo-three >>${{ ledger }}
      - lane: other
        steps:
          - step: Four
            on: b
            files.edit: {path: "${{ b }}/app.env", env: {set: {PORT: "9090"}, remove: [OLD]}}
          - step: Five
            on: a
            files.archive: {path: "${{ a }}/data", to: "${{ a }}.tar.gz", room: 1KiB} # its way back leaves it
  - step: Six
    manual: {text: Look at the rack., evidence: what you saw}
signoff:
  - check: prepare
  - The team knows
cutover:
  - step: Seven
    on: here
    process.stop:
      match: "${{ w }}/daemon[.]sh"
      grace: 5s
      start: "nohup sh ${{ w }}/daemon.sh >/dev/null 2>&1 </dev/null & echo restart >>${{ ledger }}"
  - step: Eight
    on: here
    files.edit: {path: "${{ w }}/conf.yaml", yaml: {set: {server.port: 9090}}}
  - step: Nine
    on: a
    run:
      dir: "${{ a }}"
      script: mkdir nine && echo do-nine >>${{ ledger }}
      pending: test -d nine || echo make the directory nine
      verify: test -d nine
      undo: rmdir nine; echo undo-nine >>${{ ledger }}
  - step: Ten
    on: b
    files.copy: {from: "${{ w }}/site", to: "${{ b }}/site", dir: true}
  - step: Eleven
    on: b
    run: {script: "echo do-eleven >>${{ ledger }}; echo x >>${{ b }}/eleven", undo: "rm -f ${{ b }}/eleven; echo undo-eleven >>${{ ledger }}"}
close:
  - step: Twelve
    on: here
    run: {dir: "${{ w }}", script: "mv old old.retired; echo do-twelve >>${{ ledger }}", undo: "[ ! -d old.retired ] || mv old.retired old; echo undo-twelve >>${{ ledger }}"}
`

const twelveAnswers = `name: Ada Lovelace
answers:
  - {question: findings, choice: accept, item: "*", reason: a lab, times: 99}
  - {question: findings, choice: go}
  - {question: manual, choice: done, text: a rack}
  - {question: sign-off, choice: sign, item: "*"}
  - {question: sign-off, choice: go}
  - {question: cutover, choice: go, text: here}
  - {question: close, choice: close, text: here}
  - {question: rollback, choice: go, text: here, reason: the test goes back}
`

var (
	done   = strings.Fields("do-one do-three do-three do-nine do-eleven do-twelve")
	undone = strings.Fields("undo-one undo-three undo-three undo-nine undo-eleven undo-twelve restart")
)

// story is one run of the twelve steps in places of its own.
type story struct {
	t             *testing.T
	dir, w, a, b  string
	ledger, state string
	env           []string
	before        string
}

func newStory(t *testing.T, l *lab.Lab, name string) *story {
	dir := filepath.Join(t.TempDir(), "s")
	s := &story{t: t, dir: dir, w: filepath.Join(dir, "w"), a: filepath.Join(l.Home("a"), name), b: filepath.Join(l.Home("b"), name),
		ledger: filepath.Join(dir, "ledger"), state: filepath.Join(dir, "state")}
	s.env = []string{"HOME=" + filepath.Join(dir, "home"), "BELAY_STATE=" + s.state, "BELAY_SSH_CONFIG=" + l.SSHConfig()}
	for path, text := range map[string]string{
		dir + "/plan.yaml": fmt.Sprintf(twelve, s.w, s.a, s.b, s.ledger), dir + "/answers.yaml": twelveAnswers,
		dir + "/home/x": "", s.ledger: "",
		s.w + "/daemon.sh": "while :; do sleep 1; done\n", s.w + "/conf.yaml": "# ours\nserver:\n  port: 8080 # old\n",
		s.w + "/site/index.html": "site\n", s.w + "/site/sub/x": "x\n", s.w + "/old/keep": "old\n",
		s.a + "/page.html": "old page\n", s.a + "/data/1": "one\n", s.a + "/data/2": "two\n",
		s.b + "/app.env": "# app\nPORT=8080\nOLD=1\n", s.b + "/site/index.html": "old site\n",
	} {
		write(t, path, text)
	}
	c := exec.Command("sh", s.w+"/daemon.sh")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = c.Wait() }() // it is the plan that ends it
	t.Cleanup(func() {
		for pid := range s.daemons() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	s.before = s.tree()
	return s
}

func (s *story) tree() string { return tree(s.w) + tree(s.a) + tree(s.b) }

func (s *story) daemons() map[int]string {
	return processes(s.t, "^sh "+s.w+"/daemon[.]sh ?$")
}

// killed runs belay so that it dies at an append; false when the run came to
// its end before.
func (s *story) killed(at int, when string, args ...string) bool {
	c := exec.CommandContext(s.t.Context(), os.Args[0], args...)
	c.Dir, c.Env = s.dir, append(append(os.Environ(), s.env...), dieAt+"="+strconv.Itoa(at)+" "+when)
	out, err := c.CombinedOutput()
	if c.ProcessState == nil {
		s.t.Fatal(err)
	}
	if ws := c.ProcessState.Sys().(syscall.WaitStatus); ws.Signaled() && ws.Signal() == syscall.SIGKILL {
		return true
	}
	if code := c.ProcessState.ExitCode(); code != exitClosed && code != exitRolledBack {
		s.t.Fatalf("%q, to die at append %d, ended with %d:\n%s", args, at, code, out)
	}
	return false
}

func (s *story) belay(want int, args ...string) {
	s.t.Helper()
	if code, out := belay(s.t, s.dir, s.env, append(args, "--headless", "--answers", "answers.yaml")...); code != want {
		s.t.Fatalf("belay %q ended with %d, want %d:\n%s", args, code, want, out)
	}
}

func (s *story) wantLedger(want []string) {
	s.t.Helper()
	text, err := os.ReadFile(s.ledger)
	if err != nil {
		s.t.Fatal(err)
	}
	got := strings.Fields(string(text))
	slices.Sort(got)
	if want = slices.Sorted(slices.Values(want)); !slices.Equal(got, want) {
		s.t.Errorf("the ledger holds %q, want %q", got, want)
	}
}

// appends is how many events are in the story's journal, or -1.
func (s *story) appends() int {
	found, _ := filepath.Glob(filepath.Join(s.state, "runs", "*", "journal"))
	if len(found) != 1 {
		return -1
	}
	events, err := journal.Read(found[0])
	if err != nil {
		s.t.Fatal(err)
	}
	return len(events)
}

// tell has the story told once: forward, killed at one append and resumed;
// back, killed at another and resumed. 0 is not killed.
func (s *story) tell(at, backAt int, when string) (forward, back int) {
	s.t.Helper()
	if s.killed(at, when, "run") {
		if s.appends() <= 0 { // nothing had been done or recorded: the run is begun again
			if err := os.RemoveAll(s.state); err != nil {
				s.t.Fatal(err)
			}
			s.belay(exitClosed, "run", "plan.yaml")
		} else {
			s.belay(exitClosed, "resume", theRun(s.t, s.state))
		}
	}
	s.wantLedger(done)
	if s.tree() == s.before || len(s.daemons()) != 0 {
		s.t.Errorf("closed, and the daemons %v run", s.daemons())
	}
	forward = s.appends()
	dir := theRun(s.t, s.state)
	if s.killed(backAt, when, "rollback", dir, "--headless", "--answers", "answers.yaml") {
		s.belay(exitRolledBack, "rollback", dir)
	}
	s.wantLedger(append(slices.Clone(done), undone...))
	if after := s.tree(); after != s.before {
		s.t.Errorf("before:\n%s\nafter the rollback:\n%s", s.before, after)
	}
	if n := len(s.daemons()); n != 1 {
		s.t.Errorf("%d daemons run after the rollback", n)
	}
	return forward, s.appends() - forward
}

// TestKilledAtAppends kills belay at appends of a run and of its rollback, and
// resumes with the ordinary commands: every effect exactly once, and back all
// is as it was. By default it tries some of the points, spread over all; with
// BELAY_CRASH_ALL=1 (make crash) every one, before and after the event is on
// the disk.
func TestKilledAtAppends(t *testing.T) {
	l, err := lab.Start(t.Context(), filepath.Join(t.TempDir(), "lab"), "a", "b")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Stop(); err != nil {
			t.Error(err)
		}
	})
	forward, back := newStory(t, l, "whole").tell(0, 0, "after")
	tries := 6
	if os.Getenv("BELAY_CRASH_ALL") == "1" {
		tries = 2 * max(forward, back)
	}
	var tried, unknown atomic.Int32
	begun := time.Now()
	t.Run("points", func(t *testing.T) {
		for i := range tries {
			// An odd number of steps apart, so that before and after take turns.
			when, n := []string{"before", "after"}[i%2], i/2
			every := max(1, (tries+1)/2)
			at, backAt := 1+n*forward/every, 1+n*back/every
			if tries < forward && i%2 == 1 {
				at, backAt = at+forward/tries, backAt+back/tries
			}
			t.Run(fmt.Sprintf("%d-%d-%s", at, backAt, when), func(t *testing.T) {
				t.Parallel()
				s := newStory(t, l, fmt.Sprintf("p%d", i))
				s.tell(at, backAt, when)
				tried.Add(2)
				unknown.Add(int32(s.asked(journal.AskUnknown)))
			})
		}
	})
	t.Logf("%d crash points tried of %d appends forward and %d back (times two: before and after), in %s; a person was asked about an unknown outcome %d times",
		tried.Load(), forward, back, time.Since(begun).Round(time.Second), unknown.Load())
}

// asked counts the questions of a kind in the story's journal.
func (s *story) asked(kind string) (n int) {
	events, err := journal.Read(filepath.Join(theRun(s.t, s.state), "journal"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range events {
		if e.Type == journal.Asked && strings.Contains(string(e.Data), `"kind":"`+kind+`"`) {
			n++
		}
	}
	return n
}
