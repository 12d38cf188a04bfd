package steps

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"belay/checks"
	"belay/remote"
)

// answers is a check that passes where its script says so.
type answers struct {
	script string // p: passes, b: blocks, u: unknown, e: error; the last one stays
	asked  int
}

func (a *answers) Assess(ctx context.Context, w checks.World) ([]checks.Finding, error) {
	c := a.script[min(a.asked, len(a.script)-1)]
	a.asked++
	f := checks.Finding{Host: "chat", Text: fmt.Sprintf("answer %c", c), Level: checks.Pass}
	switch c {
	case 'e':
		return nil, errors.New("it could not look")
	case 'b':
		f.Level = checks.Block
	case 'u':
		f.Level = checks.Unknown
	}
	return []checks.Finding{f}, nil
}

func TestWaitStable(t *testing.T) {
	for script, want := range map[string]struct {
		stable, looks int
		log           []string
	}{
		"bbp":     {1, 3, []string{"b", "p"}},
		"ppbppp":  {3, 6, []string{"p", "b", "p"}},
		"euppp":   {2, 4, []string{"it could not look", "u", "p"}},
		"pupupp":  {2, 6, []string{"p", "u", "p", "u", "p"}},
		"uuuuubp": {1, 7, []string{"u", "b", "p"}},
	} {
		a := &answers{script: script}
		w := &wait{For: a, Timeout: remote.Duration(time.Hour), Every: remote.Duration(time.Millisecond), Stable: want.stable}
		e, log := runEnv(remote.Local("chat"))
		if err := w.Apply(t.Context(), e); err != nil || a.asked != want.looks {
			t.Errorf("%s: %d looks, %v", script, a.asked, err)
		}
		var said []string
		for line := range strings.Lines(log.String()) {
			_, text, _ := strings.Cut(strings.TrimSpace(line), ": ")
			said = append(said, strings.TrimPrefix(text, "answer "))
		}
		if diff := cmp.Diff(want.log, said); diff != "" {
			t.Errorf("%s: %s", script, diff)
		}
	}
}

func TestWaitGivesUp(t *testing.T) {
	w := &wait{For: &answers{script: "bue"}, Timeout: remote.Duration(50 * time.Millisecond), Every: remote.Duration(time.Millisecond), Stable: 1}
	e, _ := runEnv(remote.Local("chat"))
	err := w.Apply(t.Context(), e)
	if err == nil || !strings.HasPrefix(err.Error(), "not so within 50ms (") ||
		!strings.HasSuffix(err.Error(), "oldest first: answer b | answer u | it could not look; nothing was changed") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(ErrDetach)
	if err := w.Apply(ctx, e); !errors.Is(err, ErrDetach) {
		t.Errorf("when belay leaves: %v", err)
	}
	if err := w.Verify(t.Context(), looking(e)); err == nil || err.Error() != "no longer so: it could not look" {
		t.Errorf("verify: %v", err)
	}
	if err := w.Undo(t.Context(), e); err != nil {
		t.Errorf("undo: %v", err)
	}
}

func TestWaitPending(t *testing.T) {
	for script, want := range map[string]string{"p": "[]", "b": "[{wait, up to 1s (now: answer b)"} {
		w := &wait{For: &answers{script: script}, Timeout: remote.Duration(time.Second), Stable: 1}
		e, _ := runEnv(remote.Local("chat"))
		todo, err := w.Pending(t.Context(), looking(e))
		if err != nil || !strings.HasPrefix(fmt.Sprint(todo), want) {
			t.Errorf("%s: %v, %v", script, todo, err)
		}
		w.Stable = 2
		if todo, err := w.Pending(t.Context(), looking(e)); err != nil || len(todo) != 1 {
			t.Errorf("%s: one look cannot tell what is stable: %v, %v", script, todo, err)
		}
	}
}

// TestWaitReal waits for a web server that warms up, a log line, and a port by
// the facts of the host.
func TestWaitReal(t *testing.T) {
	var asked atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) < 4 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer srv.Close()
	log := filepath.Join(t.TempDir(), "chat.log")
	write := func(text string) {
		if err := os.WriteFile(log, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("starting\n")
	time.AfterFunc(300*time.Millisecond, func() { write("starting\nready to serve\n") })
	port := srv.Listener.Addr().String()
	var number int
	if _, err := fmt.Sscan(port[strings.LastIndex(port, ":")+1:], &number); err != nil {
		t.Fatal(err)
	}
	for name, check := range map[string]checks.Check{
		"http": &checks.HTTPCheck{URL: srv.URL, Status: 200},
		"log":  &checks.LogCheck{Path: log, Contains: "ready"},
		"port": &checks.PortCheck{Port: number, Owner: "steps"},
	} {
		w := &wait{For: check, Timeout: remote.Duration(time.Minute), Every: remote.Duration(100 * time.Millisecond), Stable: 1}
		e, out := runEnv(remote.Local("chat"))
		other := remote.Host{Name: "other"} // never asked: the step's own host is meant
		e.Hosts["other"] = other
		if err := w.Apply(t.Context(), e); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		if strings.Contains(out.String(), "other") {
			t.Errorf("%s looked at another host: %s", name, out)
		}
	}
}

func TestWaitValidate(t *testing.T) {
	w := &wait{Stable: 0, Every: 1, Timeout: 0}
	err := w.Validate()
	for _, want := range []string{"every: 1ns is less than", "timeout: it must be", "stable: 0 is less than 1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %s", err, want)
		}
	}
}

// lockedLog is a log that two may write to.
type lockedLog struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// logHolds is a check that passes when the log holds a text.
type logHolds struct {
	log  *lockedLog
	text string
}

func (c logHolds) Assess(context.Context, checks.World) ([]checks.Finding, error) {
	f := checks.Finding{Level: checks.Block, Text: "not yet"}
	if strings.Contains(c.log.String(), c.text) {
		f.Level = checks.Pass
	}
	return []checks.Finding{f}, nil
}

func TestWaitFollows(t *testing.T) {
	e, _ := runEnv(remote.Local("chat"))
	log := &lockedLog{}
	e.Log = log
	var last atomic.Value
	e.Log, e.Say = (&LogProgress{Match: `Applied (\d+)`, Total: 2}).Watch(log, func(p Progress) { last.Store(p) })
	// What it follows would go on for good; the wait ends it.
	w := &wait{For: logHolds{log, "Applied 2"}, Timeout: remote.Duration(time.Minute), Every: remote.Duration(10 * time.Millisecond), Stable: 1,
		Follow: "echo Applied 1; echo Applied 2; exec sleep 600"}
	if err := w.Apply(t.Context(), e); err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	if got := last.Load(); got == nil || got.(Progress).Total == 2 && got.(Progress).Done != 2 {
		t.Errorf("progress: %+v", got)
	}
	e.Log = log
	w.For, w.Follow = logHolds{log, "follow ended: "}, "echo it is gone >&2; exit 3"
	if err := w.Apply(t.Context(), e); err != nil || !strings.Contains(log.String(), "it is gone") {
		t.Errorf("%v\n%s", err, log)
	}
}
