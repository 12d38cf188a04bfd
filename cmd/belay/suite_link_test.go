package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/secret"
	"belay/steps/engine"
	"belay/steps/journal"
	"belay/steps/run"
)

// Time is compressed by linkScale: a dead link is noticed after 2 s (keepalive
// 1 s, twice) instead of 15, so that a cut of 4 s stands for one of 30 s and
// one of 40 s for one of 5 min. What is not compressed: a host that was up is
// waited for for 30 s by each command, so that 40 s is also longer than that.
const linkScale = 7.5

var keepalive = []string{"ServerAliveInterval 1", "ServerAliveCountMax 2"}

// outage is a way in which a link breaks and comes back.
type outage struct {
	name     string
	cut      func(*remotetest.SSHD)
	hold     time.Duration
	mend     func(*remotetest.SSHD)
	unspoken bool // too short for anybody to notice
}

func killed() outage {
	return outage{"sessions killed", (*remotetest.SSHD).KillSessions, 0, func(*remotetest.SSHD) {}, false}
}

func stopped(d time.Duration) outage {
	return outage{fmt.Sprintf("server away for %s", d), (*remotetest.SSHD).Stop, d, (*remotetest.SSHD).Restart, false}
}

func frozen(d time.Duration) outage {
	return outage{fmt.Sprintf("frozen for %s", d), (*remotetest.SSHD).Freeze, d, (*remotetest.SSHD).Thaw, d < 2*time.Second}
}

// linkCase is one outage at one moment of one step.
type linkCase struct {
	moment string // start, middle, end: of a job; copy: of a file
	outage
	status int  // of the job's script
	jump   bool // it is the jump host that it happens to
}

func (c linkCase) host() string {
	return "h" + regexp.MustCompile("[^a-z0-9]+").ReplaceAllString(fmt.Sprintf("-%s-%s-%d-%v", c.moment, c.name, c.status, c.jump), "-")
}

var linkCases = []linkCase{
	{"middle", stopped(40 * time.Second), 0, false},
	{"middle", frozen(40 * time.Second), 7, false},
	{"end", stopped(40 * time.Second), 7, false},
	{"copy", stopped(40 * time.Second), 0, false},
	{"start", killed(), 0, false},
	{"start", stopped(time.Second), 7, false},
	{"start", stopped(4 * time.Second), 0, false},
	{"start", frozen(4 * time.Second), 0, false},
	{"middle", killed(), 7, false},
	{"middle", stopped(time.Second), 0, false},
	{"middle", stopped(4 * time.Second), 7, false},
	{"middle", frozen(time.Second), 0, false},
	{"middle", frozen(4 * time.Second), 0, false},
	{"end", killed(), 7, false},
	{"end", stopped(time.Second), 0, false},
	{"end", stopped(4 * time.Second), 7, false},
	{"end", frozen(4 * time.Second), 0, false},
	{"copy", killed(), 0, false},
	{"copy", stopped(time.Second), 0, false},
	{"copy", stopped(4 * time.Second), 0, false},
	{"copy", frozen(4 * time.Second), 0, false},
	{"middle", killed(), 7, true},
	{"middle", stopped(4 * time.Second), 0, true},
}

// TestLinks breaks the links to real OpenSSH servers while a job starts, runs
// and ends, and while a file is copied: the step ends with its true outcome,
// the script has run once, its log is whole, and the log and the host's light
// have said what happened.
func TestLinks(t *testing.T) {
	var names []string
	for _, c := range linkCases {
		names = append(names, c.host())
		if c.jump {
			names = append(names, c.host()+"-gate")
		}
	}
	f := newFleet(t, names, keepalive...)
	own, err := os.ReadFile(f.config)
	if err != nil {
		t.Fatal(err)
	}
	jumps := ""
	for _, c := range linkCases {
		if c.jump {
			jumps += fmt.Sprintf("Host %[1]s\n\tProxyJump %[1]s-gate\n", c.host())
		}
	}
	write(t, f.config, jumps+string(own))
	t.Setenv("BELAY_SSH_CONFIG", f.config)
	t.Logf("time is compressed by %v: keepalive 2 s for 15 s, a cut of 4 s for 30 s, of 40 s for 5 min", linkScale)
	next := make(chan linkCase)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for c := range next {
				t.Run(c.host()[2:], func(t *testing.T) { newLinkRun(t, f, c).tell() })
			}
		})
	}
	for _, c := range linkCases {
		next <- c
	}
	close(next)
	wg.Wait()
}

const linkPlan = `belay: 1
name: link
hosts: {%[1]s: {}}
prepare:
  - step: Job
    on: %[1]s
    run:
      dir: %[2]s
      script: |
        echo began >>ledger; n=0
        while [ ! -e go ]; do n=$((n+1)); echo "line $n"; sleep 0.05; done
        echo "last $n"; echo ended >>ledger; exit %[3]d
`

const copyPlan = `belay: 1
name: link
hosts: {%[1]s: {}}
prepare:
  - step: Job
    on: %[1]s
    files.copy: {from: %[3]s/big, to: %[2]s/big}
`

const linkAnswers = `name: Ada Lovelace
answers:
  - {question: findings, choice: accept, item: "*", reason: a lab, times: 99}
  - {question: findings, choice: go, times: 9}
  - {question: unknown, choice: recheck, times: 9}
  - {question: failed, choice: stop}
  - {question: close, choice: close, text: %s}
`

// linkRun is a run of one step, in this process, over a link that breaks.
type linkRun struct {
	linkCase
	t      *testing.T
	broken *remotetest.SSHD // where the outage happens
	dir    string           // of this side
	place  string           // on the host
	run    *run.Run
	begin  sync.Once // of the outage
	over   chan struct{}

	mu     sync.Mutex
	lights []string
	said   bytes.Buffer
}

func newLinkRun(t *testing.T, f *fleet, c linkCase) *linkRun {
	t.Helper()
	l := &linkRun{linkCase: c, t: t, dir: t.TempDir(), place: filepath.Join(f.servers[c.host()].Home, "place"), over: make(chan struct{})}
	l.broken = f.servers[c.host()]
	text := fmt.Sprintf(linkPlan, c.host(), l.place, c.status)
	if c.jump {
		l.broken = f.servers[c.host()+"-gate"]
	}
	if c.moment == "copy" {
		text = fmt.Sprintf(copyPlan, c.host(), l.place, l.dir)
		big := make([]byte, 24<<20)
		for i := 0; i < len(big); i += 1 << 10 {
			big[i] = byte(rand.Uint32())
		}
		write(t, filepath.Join(l.dir, "big"), string(big))
	}
	write(t, filepath.Join(l.dir, "plan.yaml"), text)
	write(t, filepath.Join(l.dir, "answers.yaml"), fmt.Sprintf(linkAnswers, c.host()))
	if err := os.Mkdir(l.place, 0o700); err != nil {
		t.Fatal(err)
	}
	return l
}

// walk drives the run in this process as `belay run --headless` does.
func (l *linkRun) walk() <-chan error {
	l.t.Helper()
	p, err := readPlan(filepath.Join(l.dir, "plan.yaml"), nil)
	if err != nil {
		l.t.Fatal(err)
	}
	said, err := readAnswers(filepath.Join(l.dir, "answers.yaml"))
	if err != nil {
		l.t.Fatal(err)
	}
	red := &secret.Redactor{}
	r, err := run.Create(filepath.Join(l.dir, "runs"), "r", p, red, author())
	if err != nil {
		l.t.Fatal(err)
	}
	l.run = r
	w, err := wire(p, red, r.Prompted, func(host string, light remote.Light, reason string) {
		r.Light(host, light, reason)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lights = append(l.lights, light.String())
	})
	if err != nil {
		l.t.Fatal(err)
	}
	for name, h := range w.hosts {
		h.Runner = tripping{ownLock{h.Runner, filepath.Join(l.dir, "lock")}, l}
		w.hosts[name] = h
	}
	e := r.Engine(spec(w))
	ended := make(chan error, 1)
	ctx, leave := context.WithCancel(context.Background())
	go func() {
		_, err := (*engine.Engine).Walk(e, ctx)
		r.Ended(err)
	}()
	go func() {
		h := &headless{run: r, answers: said, author: author(), out: &l.said}
		q := h.follow(ctx)
		if q != nil {
			fmt.Fprintf(&l.said, "not answered: %s", q.Title)
		}
		ended <- r.Live().Err
	}()
	l.t.Cleanup(func() {
		leave()
		w.close()
		r.Close()
	})
	return ended
}

// tripping breaks the link in the middle of what is sent.
type tripping struct {
	remote.Runner
	l *linkRun
}

func (r tripping) Run(ctx context.Context, c remote.Cmd) error {
	if c.Stdin != nil && (r.l.moment == "copy" || r.l.moment == "start" && slices.Contains(c.Argv, "start")) {
		c.Stdin = &trip{Reader: c.Stdin, l: r.l}
	}
	return r.Runner.Run(ctx, c)
}

type trip struct {
	io.Reader
	l    *linkRun
	read int
}

func (t *trip) Read(b []byte) (int, error) {
	if t.l.moment == "start" && t.read > 0 || t.read > 4<<20 {
		t.l.breakLink()
	}
	n, err := t.Reader.Read(b)
	t.read += n
	return n, err
}

// breakLink has the outage happen, once. It returns when the link is cut.
func (l *linkRun) breakLink() {
	l.begin.Do(func() {
		l.cut(l.broken)
		go func() {
			time.Sleep(l.hold)
			l.mend(l.broken)
			close(l.over)
		}()
	})
}

func (l *linkRun) log() string {
	b, _ := os.ReadFile(filepath.Join(l.dir, "runs", "r", "logs", "job@"+l.host()+".log"))
	return string(b)
}

func (l *linkRun) ledger() string {
	b, _ := os.ReadFile(filepath.Join(l.place, "ledger"))
	return strings.Join(strings.Fields(string(b)), " ")
}

func (l *linkRun) until(what string, ok func() bool) {
	l.t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			l.t.Fatalf("still not: %s\nlog:\n%s", what, l.log())
		}
	}
}

func (l *linkRun) lines() int { return strings.Count(l.log(), "line ") }

func (l *linkRun) letGo() { write(l.t, filepath.Join(l.place, "go"), "") }

func (l *linkRun) tell() {
	ended := l.walk()
	switch l.moment {
	case "start":
		<-l.over
		l.letGo()
	case "middle":
		l.until("the job runs", func() bool { return l.lines() >= 5 })
		l.breakLink()
		<-l.over
		n := l.lines()
		l.until("the log goes on", func() bool { return l.lines() > n+5 })
		l.letGo()
	case "end":
		l.until("the job runs", func() bool { return l.lines() >= 1 })
		l.breakLink()
		l.letGo()
		l.until("the job has ended", func() bool { return strings.Contains(l.ledger(), "ended") })
	}
	if err := <-ended; err != nil {
		l.t.Fatalf("the run ended with %v", err)
	}
	st := l.run.State().Step("job")
	if want := map[int]journal.Status{0: journal.PassedStatus, 7: journal.FailedStatus}[l.status]; st.Status != want {
		l.t.Errorf("the step is %s (%s), want %s\n%s\nlog:\n%s", st.Status, st.Err, want, l.said.String(), l.log())
	}
	if l.moment == "copy" {
		l.copied()
	} else {
		l.ranOnce(st)
	}
	l.told()
}

// ranOnce: the script ran once, and its log is whole.
func (l *linkRun) ranOnce(st journal.StepState) {
	if l.status != 0 && !strings.Contains(st.Err, "exit status 7") {
		l.t.Errorf("the step's error is %q, want the script's status, 7", st.Err)
	}
	if got := l.ledger(); got != "began ended" {
		l.t.Errorf("the ledger holds %q, want one began and one ended", got)
	}
	n := 0
	for line := range strings.Lines(l.log()) {
		switch {
		case strings.HasPrefix(line, "line "):
			n++
			if line != fmt.Sprintf("line %d\n", n) {
				l.t.Fatalf("the log's line %d is %q", n, line)
			}
		case strings.HasPrefix(line, "last ") && line != fmt.Sprintf("last %d\n", n):
			l.t.Errorf("the log has %d lines, and then %q", n, line)
		}
	}
	if strings.Count(l.log(), "\nlast ") != 1 {
		l.t.Errorf("the log has no end:\n%s", l.log())
	}
}

func (l *linkRun) copied() {
	sum := func(path string) [32]byte {
		b, err := os.ReadFile(path)
		if err != nil {
			l.t.Error(err)
		}
		return sha256.Sum256(b)
	}
	if sum(filepath.Join(l.dir, "big")) != sum(filepath.Join(l.place, "big")) {
		l.t.Error("the copy differs")
	}
	// What was cut may be ending still, on the host: nothing of it may stay.
	l.until("nothing else is left", func() bool {
		left, err := os.ReadDir(l.place)
		return err == nil && len(left) == 1
	})
}

// told: the log and the light said what happened.
func (l *linkRun) told() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.unspoken {
		return
	}
	lights := strings.Join(l.lights, ", ")
	if !strings.Contains(lights, "reconnecting") || !strings.HasSuffix(lights, "up") {
		l.t.Errorf("the light was %s", lights)
	}
	if log := l.log(); l.moment == "copy" {
		if !strings.Contains(log, "outcome unknown: ") {
			l.t.Errorf("the log does not say that the link was lost:\n%s", log)
		}
	} else if !strings.Contains(log, "-- link: lost (") || !strings.Contains(log, "-- link: connected again") {
		l.t.Errorf("the log does not say that the link was lost and came back:\n%s", log)
	}
}
