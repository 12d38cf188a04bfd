package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"belay/steps/journal"
)

// twenty is a plan of twenty steps on three hosts. Each script leaves a line
// in its host's ledger.
const twenty = `belay: 1
name: twenty
hosts: {a: {}, b: {}, c: {}}
vars: {at: %[1]q, a: %[2]q, b: %[3]q, c: %[4]q, w: %[5]q}
secrets: {pass: {env: SUITE_PASS}}
prepare:
  - step: S01
    on: [a, b, c]
    run: {script: 'cd "$HOME/${{ at }}" && mkdir s01 && echo do-01 >>ledger', undo: 'cd "$HOME/${{ at }}" && rmdir s01 && echo undo-01 >>ledger'}
  - step: S02
    on: a
    files.copy: {content: "new page\n", to: "${{ a }}/page.html"}
  - step: S03
    on: b
    files.copy: {from: "${{ w }}/site", to: "${{ b }}/site", dir: true}
  - together:
      - step: S04
        on: [a, b]
        run:
          script: cd "$HOME/${{ at }}"; for i in 1 2 3; do echo line $i; sleep 0.05; done; echo do-04 >>ledger
          undo: echo undo-04 >>"$HOME/${{ at }}/ledger"
      - lane: other
        steps:
          - step: S05
            on: c
            files.edit: {path: "${{ c }}/app.env", env: {set: {PORT: "9090"}, remove: [OLD]}}
          - step: S06
            on: c
            run: {script: 'echo do-06 >>"$HOME/${{ at }}/ledger"', undo: 'echo undo-06 >>"$HOME/${{ at }}/ledger"'}
  - step: S07
    on: a
    files.archive: {path: "${{ a }}/data", to: "${{ a }}/data.tar.gz", room: 1KiB}
    undo: {run: 'cd "$HOME/${{ at }}" && rm -f data.tar.gz* && echo undo-07 >>ledger'}
  - step: S08
    on: b
    run:
      dir: ${{ b }}
      script: mkdir s08 && echo do-08 >>ledger
      pending: test -d s08 || echo make the directory s08
      verify: test -d s08
      undo: rmdir s08; echo undo-08 >>ledger
  - step: S09
    on: b
    files.edit: {path: "${{ b }}/conf.yaml", yaml: {set: {server.port: 9090}}}
  - step: S10
    manual: {text: Look at the rack., evidence: what you saw}
signoff:
  - check: prepare
  - The team knows
cutover:
  - step: S11
    on: c
    files.copy: {content: "big\n", to: "${{ c }}/new/big"}
  - step: S12
    on: [a, b, c]
    run: {script: 'echo do-12 >>"$HOME/${{ at }}/ledger"', undo: 'echo undo-12 >>"$HOME/${{ at }}/ledger"'}
  - step: S13
    on: a
    run: {dir: "${{ a }}", secrets: [pass], script: '[ "$pass" = geheim ] && echo do-13 >>ledger', undo: '[ "$pass" = geheim ] && echo undo-13 >>ledger'}
  - step: S14
    on: a
    files.edit: {path: "${{ a }}/app.json", json: {set: {port: 9090}}}
  - together:
      - step: S15
        on: b
        run: {dir: "${{ b }}", script: 'mv old-b new-b; echo do-15 >>ledger', undo: '[ ! -e new-b ] || mv new-b old-b; echo undo-15 >>ledger'}
      - step: S16
        on: c
        run: {script: 'echo do-16 >>"$HOME/${{ at }}/ledger"', undo: 'echo undo-16 >>"$HOME/${{ at }}/ledger"'}
  - step: S17
    on: b
    files.edit: {path: "${{ b }}/lines", lines: {replace: [{match: "^two", with: "zwei"}]}}
  - step: S18
    on: c
    run:
      script: for i in 1 2 3 4; do echo "row $i"; done; echo do-18 >>"$HOME/${{ at }}/ledger"
      progress: {match: 'row (\d+)', total: 4, unit: rows}
      undo: echo undo-18 >>"$HOME/${{ at }}/ledger"
close:
  - step: S19
    on: [a, b, c]
    run: {script: 'echo do-19 >>"$HOME/${{ at }}/ledger"', undo: 'echo undo-19 >>"$HOME/${{ at }}/ledger"'}
  - step: S20
    on: a
    run: {dir: "${{ a }}", script: 'mv old old.retired; echo do-20 >>ledger', undo: '[ ! -d old.retired ] || mv old.retired old; echo undo-20 >>ledger'}
`

const twentyAnswers = `name: Ada Lovelace
answers:
  - {question: findings, choice: accept, item: "*", reason: a lab, times: 99}
  - {question: findings, choice: go}
  - {question: manual, choice: done, text: a rack}
  - {question: sign-off, choice: sign, item: "*"}
  - {question: sign-off, choice: go}
  - {question: cutover, choice: go, text: c}
  - {question: close, choice: close, text: c}
  - {question: rollback, choice: go, text: c, reason: the test goes back}
`

// done20 is what each host's ledger must hold when the run is closed; of S07
// only the way back writes.
var done20 = map[string]string{"a": "do-01 do-04 do-12 do-13 do-19 do-20", "b": "do-01 do-04 do-08 do-12 do-15 do-19", "c": "do-01 do-06 do-12 do-16 do-18 do-19"}

// tale is one run of the twenty steps in places of its own.
type tale struct {
	t          *testing.T
	f          *fleet
	dir, state string
	places     map[string]string // by host
	env        []string
	before     string
}

func newTale(t *testing.T, f *fleet, name string) *tale {
	t.Helper()
	dir := t.TempDir()
	s := &tale{t: t, f: f, dir: dir, state: filepath.Join(dir, "state"), places: map[string]string{}}
	for host, server := range f.servers {
		s.places[host] = filepath.Join(server.Home, name)
	}
	s.env = []string{"HOME=" + filepath.Join(dir, "home"), "BELAY_STATE=" + s.state, "BELAY_SSH_CONFIG=" + f.config, "SUITE_PASS=geheim"}
	a, b, c := s.places["a"], s.places["b"], s.places["c"]
	for path, text := range map[string]string{
		dir + "/plan.yaml": fmt.Sprintf(twenty, name, a, b, c, dir), dir + "/answers.yaml": twentyAnswers,
		dir + "/home/x": "", dir + "/site/index.html": "site\n", dir + "/site/sub/x": "x\n",
		a + "/page.html": "old page\n", a + "/data/1": "one\n", a + "/data/2": "two\n", a + "/app.json": "{\n  \"port\": 8080\n}\n", a + "/old/keep": "old\n",
		b + "/site/index.html": "old site\n", b + "/conf.yaml": "# ours\nserver:\n  port: 8080 # old\n", b + "/old-b": "old\n", b + "/lines": "one\ntwo\nthree\n",
		c + "/app.env": "# app\nPORT=8080\nOLD=1\n",
	} {
		write(t, path, text)
	}
	s.before = s.tree()
	return s
}

// tree is all that the tale may change, but for the ledgers.
func (s *tale) tree() string {
	var b strings.Builder
	for _, host := range []string{"a", "b", "c"} {
		for line := range strings.Lines(tree(s.places[host])) {
			if !strings.HasPrefix(line, "/ledger ") {
				b.WriteString(host + line)
			}
		}
	}
	return b.String()
}

// killed runs belay so that it dies at a point; false when it came to its end
// before.
func (s *tale) killed(point string, args ...string) bool {
	s.t.Helper()
	args = append(args, "--headless", "--answers", "answers.yaml")
	c := exec.CommandContext(s.t.Context(), program(s.t), args...)
	c.Dir, c.Env = s.dir, append(append(os.Environ(), s.env...), killAt+"="+point, countTo+"="+filepath.Join(s.dir, "counts."+args[0]))
	out, err := c.CombinedOutput()
	if c.ProcessState == nil {
		s.t.Fatal(err)
	}
	if ws := c.ProcessState.Sys().(syscall.WaitStatus); ws.Signaled() && ws.Signal() == syscall.SIGKILL {
		return true
	}
	if code := c.ProcessState.ExitCode(); code != exitClosed && code != exitRolledBack {
		s.t.Fatalf("%q, to die at %s, ended with %d:\n%s", args, point, code, out)
	}
	return false
}

func (s *tale) belay(want int, args ...string) {
	s.t.Helper()
	if code, out := belay(s.t, s.dir, s.env, append(args, "--headless", "--answers", "answers.yaml")...); code != want {
		s.t.Fatalf("belay %q ended with %d, want %d:\n%s", args, code, want, out)
	}
}

// wantLedgers: each effect is there exactly once.
func (s *tale) wantLedgers(back bool) {
	s.t.Helper()
	for host, done := range done20 {
		text, err := os.ReadFile(filepath.Join(s.places[host], "ledger"))
		if err != nil {
			s.t.Fatal(err)
		}
		if back {
			done += " " + strings.ReplaceAll(done, "do-", "undo-")
		}
		if back && host == "a" {
			done += " undo-07"
		}
		got, want := strings.Fields(string(text)), strings.Fields(done)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			s.t.Errorf("the ledger of %s holds %q, want %q", host, got, want)
		}
	}
}

// begun tells whether there is a journal to resume from.
func (s *tale) begun() bool {
	found, _ := filepath.Glob(filepath.Join(s.state, "runs", "*", "journal"))
	return len(found) == 1
}

// tell has the tale told once: forward, killed at one point and resumed; back,
// killed at another and taken up again. It returns how often it was killed.
func (s *tale) tell(point, backPoint string) (kills int) {
	s.t.Helper()
	if s.killed(point, "run", "plan.yaml") {
		kills++
		if s.begun() {
			s.belay(exitClosed, "resume", theRun(s.t, s.state))
		} else { // nothing had been done or recorded: the run is begun again
			if err := os.RemoveAll(s.state); err != nil {
				s.t.Fatal(err)
			}
			s.belay(exitClosed, "run", "plan.yaml")
		}
	}
	s.wantLedgers(false)
	if s.tree() == s.before {
		s.t.Error("closed, and nothing has changed")
	}
	dir := theRun(s.t, s.state)
	if s.killed(backPoint, "rollback", dir) {
		kills++
		s.belay(exitRolledBack, "rollback", dir)
	}
	s.wantLedgers(true)
	if after := s.tree(); after != s.before {
		s.t.Errorf("before:\n%s\nafter the rollback:\n%s", s.before, after)
	}
	return kills
}

// points are all the points of what was counted.
func (s *tale) points(command string) (all []string) {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "counts."+command))
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kind string
		var n int
		if _, err := fmt.Sscan(line, &kind, &n); err != nil {
			s.t.Fatal(err)
		}
		for i := range n {
			all = append(all, fmt.Sprintf("%s %d before", kind, i+1), fmt.Sprintf("%s %d after", kind, i+1))
		}
	}
	return all
}

// TestCrashTwentyStepsOnThreeHosts kills belay at appends, at commands, and in
// the middle of what they send and say, of a run over real OpenSSH and of its
// rollback, and resumes with the ordinary commands: every effect is there
// exactly once, nobody had to be asked about a job, and back all is as it was.
// By default it tries some of the points, spread over all; with
// BELAY_CRASH_ALL=1 (make crash) every one, which takes an hour or two; in
// parts with BELAY_CRASH_PART=K/N.
func TestCrashTwentyStepsOnThreeHosts(t *testing.T) {
	f := newFleet(t, []string{"a", "b", "c"})
	whole := newTale(t, f, "whole")
	whole.tell("run 0 after", "run 0 after")
	forward, back := whole.points("run"), whole.points("rollback")
	tries, at := 8, 4
	first, end := 0, tries
	if os.Getenv("BELAY_CRASH_ALL") == "1" {
		tries, at = max(len(forward), len(back)), 8 // a tale mostly waits
		first, end = crashPart(t, tries)
	}
	var tried, unknown atomic.Int32
	begun := time.Now()
	next := make(chan int)
	var wg sync.WaitGroup
	for range at {
		wg.Go(func() {
			for i := range next {
				// Half a stride on, so that before and after take turns.
				point, backPoint := forward[(2*i+1)*len(forward)/(2*tries)], back[(2*i+1)*len(back)/(2*tries)]
				t.Run(strings.ReplaceAll(point+", "+backPoint, " ", "-"), func(t *testing.T) {
					s := newTale(t, f, fmt.Sprintf("p%d", i))
					tried.Add(int32(s.tell(point, backPoint)))
					unknown.Add(int32(s.asked(journal.AskUnknown)))
				})
			}
		})
	}
	for i := first; i < end; i++ {
		next <- i
	}
	close(next)
	wg.Wait()
	t.Logf("tales %d to %d of %d: %d crash points tried, of %d forward and %d back, in %s; a person was asked about an unknown outcome %d times",
		first+1, end, tries, tried.Load(), len(forward), len(back), time.Since(begun).Round(time.Second), unknown.Load())
}

// crashPart is which of n tales to tell: those of part K of N where
// BELAY_CRASH_PART says "K/N", else all.
func crashPart(t *testing.T, n int) (first, end int) {
	t.Helper()
	part := os.Getenv("BELAY_CRASH_PART")
	if part == "" {
		return 0, n
	}
	var k, of int
	if _, err := fmt.Sscanf(part, "%d/%d", &k, &of); err != nil || k < 1 || k > of {
		t.Fatalf("BELAY_CRASH_PART is %q, not K/N", part)
	}
	return (k - 1) * n / of, k * n / of
}

// asked counts the questions of a kind in the tale's journal.
func (s *tale) asked(kind string) (n int) {
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
