package tui

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/creack/pty"

	"belay/steps/journal"
	"belay/steps/run"
)

// onPTY is a wizard on a real pseudo-terminal, of which the test is the far end.
type onPTY struct {
	t      testing.TB
	far    *os.File
	result chan error
	cancel context.CancelFunc

	mu   sync.Mutex
	out  bytes.Buffer
	hold chan struct{} // not nil: the reader is stalled until it is closed
}

// keyboard is a terminal to read from, but not an *os.File: for those Bubble
// Tea 2.0.9 uses an epoll reader that it closes at the end while its own
// goroutine may still be waiting in it, which the race detector sees. Real
// files are what the stories in tmux use.
type keyboard struct{ f *os.File }

func (k keyboard) Read(b []byte) (int, error)  { return k.f.Read(b) }
func (k keyboard) Write(b []byte) (int, error) { return k.f.Write(b) }
func (k keyboard) Close() error                { return nil }
func (k keyboard) Fd() uintptr                 { return k.f.Fd() }

func startPTY(t testing.TB, s run.Session, o Options, stalled bool) *onPTY {
	t.Helper()
	far, near, err := pty.Open()
	if err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	if err := pty.Setsize(near, &pty.Winsize{Rows: 24, Cols: 80}); err != nil {
		t.Fatal(err)
	}
	p := &onPTY{t: t, far: far, result: make(chan error, 1)}
	if stalled {
		p.hold = make(chan struct{})
	}
	o.Input, o.Output = keyboard{near}, near
	if o.Env == nil {
		o.Env = []string{"TERM=xterm-256color", "LANG=C.UTF-8", "SSH_TTY=/dev/pts/0"}
	}
	if o.Now == nil {
		o.Now = func() time.Time { return noon }
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	go func() { p.result <- Run(ctx, s, o) }()
	go p.read()
	t.Cleanup(func() {
		cancel()
		far.Close()
		// near stays open: a reader may still be about to leave it.
	})
	return p
}

func (p *onPTY) read() {
	if p.hold != nil {
		<-p.hold
	}
	buf := make([]byte, 1<<16)
	for {
		n, err := p.far.Read(buf)
		p.mu.Lock()
		p.out.Write(buf[:n])
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (p *onPTY) bytes() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Len()
}

func (p *onPTY) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// until waits for something to happen, long enough for a busy machine.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not: %s", what)
		}
	}
}

// quiet waits until nothing has been written for a second, and returns how
// much had been by then.
func (p *onPTY) quiet() int {
	p.t.Helper()
	last, since := -1, time.Now()
	until(p.t, "a quiet second", func() bool {
		if n := p.bytes(); n != last {
			last, since = n, time.Now()
		}
		return time.Since(since) > time.Second
	})
	return last
}

func (p *onPTY) press(keys string) { _, _ = p.far.WriteString(keys) }

func (p *onPTY) ends(t *testing.T) error {
	t.Helper()
	select {
	case err := <-p.result:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("Run does not return")
		return nil
	}
}

func TestPTYIdleSendsNothing(t *testing.T) {
	t.Parallel()
	p := startPTY(t, findingsMoment(), Options{}, false)
	until(t, "the first frame", func() bool { return strings.Contains(p.text(), "stoat-to-fluxer") })
	before := p.quiet() // a whole second of ticks, status pulls and clocks has passed in it
	p.press("q")
	until(t, "the quit dialog", func() bool { return p.bytes() > before })
	p.quiet()
	if !strings.Contains(p.text(), "\x1b[?2026h") { // the very first frame may come too early for it
		t.Error("frames are not wrapped in synchronized output")
	}
	p.press("d")
	if err := p.ends(t); !errors.Is(err, ErrDetached) {
		t.Errorf("Run returned %v, want ErrDetached", err)
	}
	until(t, "the alternate screen is left", func() bool { return strings.Contains(p.text(), "\x1b[?1049l") })
}

func TestPTYWithoutSync(t *testing.T) {
	t.Parallel()
	p := startPTY(t, findingsMoment(), Options{Env: []string{"TERM=xterm", "SSH_TTY=x", "NO_SYNC=1", "LANG=C.UTF-8"}}, false)
	until(t, "the first frame", func() bool { return strings.Contains(p.text(), "stoat-to-fluxer") })
	p.quiet()
	if strings.Contains(p.text(), "\x1b[?2026h") {
		t.Error("NO_SYNC is not honoured")
	}
}

// counted counts how often the screen has looked.
type counted struct {
	*fakeSession
	looks atomic.Int64
}

func (c *counted) State() *journal.State {
	c.looks.Add(1)
	return c.fakeSession.State()
}

// A terminal that takes nothing (a laptop asleep) stalls neither the run nor
// the wizard's own loop, and is drawn anew when it wakes up.
func TestPTYStalledTerminal(t *testing.T) {
	t.Parallel()
	s := &counted{fakeSession: prepareMoment()}
	p := startPTY(t, s, Options{}, true)
	said := 0
	say := func() { // as an engine does: it never waits for a screen
		s.mu.Lock()
		defer s.mu.Unlock()
		said++
		s.logs["frontend"] = append(s.logs["frontend"], run.Line{Host: "chat", Text: fmt.Sprintf("said %d %s", said, strings.Repeat("x", said%60))})
	}
	for range 300 { // three seconds: far more than a pseudo-terminal holds
		say()
		time.Sleep(10 * time.Millisecond)
	}
	looked := s.looks.Load()
	until(t, "the loop looks on while nothing is drawn", func() bool { return s.looks.Load() > looked+3 })
	s.mu.Lock()
	s.logs["frontend"] = append(s.logs["frontend"], run.Line{Host: "chat", Text: "THE LAST WORD"})
	s.mu.Unlock()
	close(p.hold)
	until(t, "the screen is drawn again", func() bool { return strings.Contains(p.text(), "THE LAST WORD") })
	p.press("qd")
	if err := p.ends(t); !errors.Is(err, ErrDetached) {
		t.Errorf("Run returned %v", err)
	}
}

func TestPTYLeavingWhileStalled(t *testing.T) {
	t.Parallel()
	p := startPTY(t, prepareMoment(), Options{}, true)
	time.Sleep(500 * time.Millisecond)
	p.press("q")
	time.Sleep(200 * time.Millisecond)
	p.press("d")
	if err := p.ends(t); !errors.Is(err, ErrDetached) {
		t.Errorf("Run returned %v, want ErrDetached", err)
	}
}

// broken panics when the screen looks at it for the tenth time.
type broken struct{ counted }

func (b *broken) State() *journal.State {
	if b.looks.Add(1) == 10 {
		panic("a bug in a screen")
	}
	return b.fakeSession.State()
}

func TestPTYPanicRestoresTheTerminal(t *testing.T) {
	t.Parallel()
	s := &broken{counted{fakeSession: findingsMoment()}}
	p := startPTY(t, s, Options{Resume: "belay resume r1"}, false)
	err := p.ends(t)
	if err == nil || !strings.Contains(err.Error(), "belay resume r1") {
		t.Errorf("error %v does not say how to resume", err)
	}
	until(t, "the alternate screen is left", func() bool { return strings.Contains(p.text(), "\x1b[?1049l") })
}

// A question rings the bell once: people look at other windows.
func TestPTYQuestionRings(t *testing.T) {
	t.Parallel()
	f := prepareMoment()
	p := startPTY(t, f, Options{}, false)
	until(t, "the first frame", func() bool { return strings.Contains(p.text(), "stoat-to-fluxer") })
	f.edit(func(s *journal.State) { s.Questions = failedMoment().st.Questions })
	until(t, "the question", func() bool { return strings.Contains(p.text(), "waits for YOU") })
	p.quiet()
	// A window title ends in the same byte; take those away.
	rest := regexp.MustCompile(`\x1b\][^\x07]*\x07`).ReplaceAllString(p.text(), "")
	if n := strings.Count(rest, "\a"); n != 1 {
		t.Errorf("the bell rang %d times, want once", n)
	}
}

func TestPTYCancel(t *testing.T) {
	t.Parallel()
	p := startPTY(t, findingsMoment(), Options{}, false)
	until(t, "the first frame", func() bool { return strings.Contains(p.text(), "stoat-to-fluxer") })
	p.cancel()
	if err := p.ends(t); !errors.Is(err, context.Canceled) {
		t.Errorf("Run returned %v", err)
	}
}

// What a line of a log costs on the wire, at 80 by 24 with ten lines a second.
func BenchmarkPTYBytesPerLogLine(b *testing.B) {
	f := prepareMoment()
	p := startPTY(b, f, Options{}, false)
	until(b, "the first frame", func() bool { return strings.Contains(p.text(), "stoat-to-fluxer") })
	before := p.quiet()
	n := 0
	for b.Loop() {
		n++
		f.mu.Lock()
		f.logs["frontend"] = append(f.logs["frontend"], run.Line{Host: "chat", Text: fmt.Sprintf("[%d/9999] transform src/components/Part%d.tsx %s", n, n*7919%1000, strings.Repeat("é", n%30))})
		f.mu.Unlock()
		time.Sleep(100 * time.Millisecond)
	}
	b.ReportMetric(float64(p.bytes()-before)/float64(n), "B/line")
}
