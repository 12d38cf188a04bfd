package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"belay/remote"
	"belay/remote/hold"
	"belay/steps/journal"
)

// lockable is this machine as a host with a lock of its own, that can go away.
type lockable struct {
	lock string
	down atomic.Bool
}

func (l *lockable) Run(ctx context.Context, c remote.Cmd) error {
	if l.down.Load() {
		return &remote.UnreachableError{Host: "b", Err: errors.New("pulled the plug")}
	}
	c.Argv = append([]string{"env", "BELAY_LOCK=" + l.lock}, c.Argv...)
	return remote.Local("").Run(ctx, c)
}

// locks are the hosts a and b.
type locks struct{ a, b *lockable }

func newLocks(t *testing.T) *locks {
	dir := t.TempDir()
	return &locks{&lockable{lock: filepath.Join(dir, "a")}, &lockable{lock: filepath.Join(dir, "b")}}
}

func (l *locks) host(name string) remote.Host {
	return remote.Host{Name: name, Runner: map[string]*lockable{"a": l.a, "b": l.b}[name]}
}

// bench is one run over these hosts.
func (l *locks) bench(t *testing.T, run, path string, script ...string) *bench {
	t.Helper()
	b := newBench(t, loadPlan(t, happy), path, script...)
	b.Run = run
	b.Hosts = remote.Hosts{"a": l.host("a"), "b": l.host("b")}
	b.Hold = &hold.Record{Run: run, Plan: "test", Login: "ada", Bastion: "gate", Why: "run"}
	return b
}

// held is which run holds a host; "" when none does.
func (l *locks) held(t *testing.T, name string) string {
	t.Helper()
	h, err := hold.Look(context.Background(), l.host(name))
	if err != nil {
		t.Fatal(err)
	}
	if h == nil {
		return ""
	}
	return h.Run
}

func (l *locks) other(t *testing.T, name string) {
	t.Helper()
	r := hold.Record{Run: "other", Plan: "theirs", Login: "bob", From: "10.9.8.7", Bastion: "far", Since: time.Now(), Why: "run"}
	if _, err := hold.Take(context.Background(), l.host(name), r); err != nil {
		t.Fatal(err)
	}
}

func notes(b *bench) string {
	var all []string
	for _, n := range b.log.State().Notes {
		all = append(all, n.Text)
	}
	return strings.Join(all, "\n")
}

func mustWalk(t *testing.T, b *bench, want journal.Status) {
	t.Helper()
	status, err := b.Walk(context.Background())
	if err != nil || status != want {
		t.Fatalf("%q, %v; want %q\n%s", status, err, want, notes(b))
	}
}

func TestHostsAreHeldFromTheFirstChangeToTheLast(t *testing.T) {
	w, l := newWorld(), newLocks(t)
	w.hook = func(op, name, host string) error {
		if l.held(t, "a") != "r1" || l.held(t, "b") != "r1" {
			t.Errorf("%s %s: a is held by %q, b by %q", op, name, l.held(t, "a"), l.held(t, "b"))
		}
		return nil
	}
	b := l.bench(t, "r1", filepath.Join(t.TempDir(), "j"), happyAnswers...)
	b.Looking = func(bool) {
		if l.held(t, "a") != "" {
			t.Error("an assessment holds the host")
		}
	}
	mustWalk(t, b, journal.Closed)
	if l.held(t, "a") != "" || l.held(t, "b") != "" {
		t.Error("a closed run holds its hosts")
	}
	for _, want := range []string{"locked for this run: a, b", "lock released: a, b"} {
		if !strings.Contains(notes(b), want) {
			t.Errorf("no note %q in:\n%s", want, notes(b))
		}
	}
}

func TestHeldByAnotherRunBlocksTheAssessment(t *testing.T) {
	w, l := newWorld(), newLocks(t)
	l.other(t, "b")
	b := l.bench(t, "r1", filepath.Join(t.TempDir(), "j"), "findings=go", "findings=stop")
	mustWalk(t, b, journal.Stopped)
	said := strings.Join(b.op.asked, "\n")
	for _, want := range []string{"refused: not yet: this blocks: held by run other of plan \"theirs\": bob from 10.9.8.7 on far"} {
		if !strings.Contains(said, want) {
			t.Errorf("%s\ndoes not say %q", said, want)
		}
	}
	if len(w.put) != 0 || l.held(t, "a") != "" || l.held(t, "b") != "other" {
		t.Errorf("put %v, a held by %q, b by %q", w.put, l.held(t, "a"), l.held(t, "b"))
	}
}

// Taken by another between the assessment and prepare.
func TestHeldByAnotherRunIsAsked(t *testing.T) {
	for answer, want := range map[string]journal.Status{"lock=stop": journal.Stopped, "lock=retry": journal.Closed, "lock=break@Grace": journal.Closed} {
		t.Run(answer, func(t *testing.T) {
			w, l := newWorld(), newLocks(t)
			b := l.bench(t, "r1", filepath.Join(t.TempDir(), "j"), append([]string{answer}, happyAnswers...)...)
			b.Looking = func(on bool) {
				if !on {
					l.other(t, "b")
				}
			}
			b.Operator = asker(func(ctx context.Context, q journal.Question) (journal.Answer, error) {
				if q.Kind == journal.AskLock {
					if got := l.held(t, "a"); got != "" {
						t.Errorf("a is held by %q while nobody knows whether the run begins", got)
					}
					for _, want := range []string{"b is held by run other", "bob from 10.9.8.7 on far", "last sign of life", "On far: belay resume other", "Nothing was changed"} {
						if !strings.Contains(q.Text, want) {
							t.Errorf("%q does not say %q", q.Text, want)
						}
					}
					if answer == "lock=retry" {
						if _, err := hold.Release(ctx, l.host("b"), "other"); err != nil {
							t.Error(err)
						}
					}
				}
				return b.op.Ask(ctx, q)
			})
			mustWalk(t, b, want)
			switch {
			case want == journal.Stopped && (len(w.put) != 0 || l.held(t, "b") != "other" || l.held(t, "a") != ""):
				t.Errorf("put %v, a held by %q, b by %q", w.put, l.held(t, "a"), l.held(t, "b"))
			case want == journal.Closed && w.put["a:one"] != 1:
				t.Errorf("put %v", w.put)
			}
			if answer == "lock=break@Grace" {
				note := "lock on b broken by Grace: because. It was held by run other of plan \"theirs\": bob"
				if !strings.Contains(notes(b), note) {
					t.Errorf("no note %q in:\n%s", note, notes(b))
				}
				kept, err := filepath.Glob(l.b.lock + ".broken-*")
				if err != nil || len(kept) != 1 {
					t.Errorf("kept: %q, %v", kept, err)
				}
			}
		})
	}
}

type asker func(context.Context, journal.Question) (journal.Answer, error)

func (a asker) Ask(ctx context.Context, q journal.Question) (journal.Answer, error) { return a(ctx, q) }

// Also when the run was assessed, and stopped at the block, without the flag.
func TestBreakLockGivenBeforehand(t *testing.T) {
	newWorld()
	l, path := newLocks(t), filepath.Join(t.TempDir(), "j")
	l.other(t, "b")
	b := l.bench(t, "r1", path, "findings=stop")
	mustWalk(t, b, journal.Stopped)
	b.log.Close()
	b = l.bench(t, "r1", path, happyAnswers...)
	b.BreakLock = "bob is on holiday"
	mustWalk(t, b, journal.Closed)
	if want := "lock on b broken by ada: bob is on holiday. It was held by run other"; !strings.Contains(notes(b), want) {
		t.Errorf("no note %q in:\n%s", want, notes(b))
	}
	if a := b.log.State().Accepted[journal.FindingID("lock", "b", "")]; a.Reason != "bob is on holiday" {
		t.Errorf("accepted: %+v", a)
	}
}

func TestStoppedRunKeepsItsHosts(t *testing.T) {
	w, l := newWorld(), newLocks(t)
	path := filepath.Join(t.TempDir(), "j")
	b := l.bench(t, "r1", path, happyAnswers...)
	w.hook = func(op, name, host string) error { b.Stop(); return nil }
	mustWalk(t, b, journal.Stopped)
	if want := "stays locked for this run until it is closed, or rolled back without debts: a, b"; !strings.Contains(notes(b), want) {
		t.Errorf("no note %q in:\n%s", want, notes(b))
	}
	second := l.bench(t, "r2", filepath.Join(t.TempDir(), "j2"), "findings=stop")
	mustWalk(t, second, journal.Stopped)
	if blocks, _ := second.log.State().Standing(); len(blocks) != 2 || !strings.Contains(blocks[0].Text, "run r1") {
		t.Errorf("blocks for the second run: %v", blocks)
	}
	b.log.Close()
	w.hook = nil
	b = l.bench(t, "r1", path, happyAnswers[1:]...)
	mustWalk(t, b, journal.Closed)
	if l.held(t, "a") != "" || l.held(t, "b") != "" {
		t.Error("a closed run holds its hosts")
	}
}

func TestUnreachableHostIsRefusedBeforeAnythingBegins(t *testing.T) {
	w, l := newWorld(), newLocks(t)
	l.b.down.Store(true)
	b := l.bench(t, "r1", filepath.Join(t.TempDir(), "j"), "findings=go", "lock=retry", "lock=stop")
	b.Operator = asker(func(ctx context.Context, q journal.Question) (journal.Answer, error) {
		if _, canBreak := q.Option("break"); q.Kind == journal.AskLock && (canBreak || !strings.Contains(q.Text, `host "b" not reached: pulled the plug`)) {
			t.Errorf("%+v", q)
		}
		return b.op.Ask(ctx, q)
	})
	mustWalk(t, b, journal.Stopped)
	if len(w.put) != 0 || l.held(t, "a") != "" {
		t.Errorf("put %v, a held by %q", w.put, l.held(t, "a"))
	}
}

// A rollback goes on without the host that is down, and keeps all locks for
// its debts; taken up again, it gives them back.
func TestRollbackWithAHostDown(t *testing.T) {
	w, l := newWorld(), newLocks(t)
	path := filepath.Join(t.TempDir(), "j")
	b := l.bench(t, "r1", path, happyAnswers[:3]...)
	w.hook = func(op, name, host string) error { // after three everything stops
		if name == "three" {
			b.Stop()
		}
		return nil
	}
	mustWalk(t, b, journal.Stopped)
	b.log.Close()
	w.hook = func(op, name, host string) error {
		if host == "b" && l.b.down.Load() {
			return &remote.UnreachableError{Host: "b", Err: errors.New("pulled the plug")}
		}
		return nil
	}
	l.b.down.Store(true)
	b = l.bench(t, "r1", path, "rollback=go")
	status, err := b.Rollback(context.Background())
	if err != nil || status != journal.RolledBack || len(b.log.State().Debts) != 1 {
		t.Fatalf("%q, %v, debts %v", status, err, b.log.State().Debts)
	}
	if l.held(t, "a") != "r1" || !strings.Contains(notes(b), "going on without") {
		t.Errorf("a is held by %q; notes:\n%s", l.held(t, "a"), notes(b))
	}
	b.log.Close()
	l.b.down.Store(false)
	b = l.bench(t, "r1", path)
	if status, err = b.Rollback(context.Background()); err != nil || status != journal.RolledBack || !b.log.State().Over() {
		t.Fatalf("%q, %v, debts %v", status, err, b.log.State().Debts)
	}
	if l.held(t, "a") != "" || l.held(t, "b") != "" {
		t.Errorf("a is held by %q, b by %q", l.held(t, "a"), l.held(t, "b"))
	}
}

// Who lost the lock while it ran begins nothing more; a lock that is only gone
// is taken again.
func TestLockTakenAway(t *testing.T) {
	w, l := newWorld(), newLocks(t)
	b := l.bench(t, "r1", filepath.Join(t.TempDir(), "j"), happyAnswers...)
	b.signEvery = 10 * time.Millisecond
	w.hook = func(op, name, host string) error {
		if name != "one" {
			t.Errorf("%s %s was begun", op, name)
			return nil
		}
		if err := os.Remove(l.a.lock); err != nil {
			t.Error(err)
		}
		for l.held(t, "a") != "r1" {
			time.Sleep(5 * time.Millisecond)
		}
		h, err := hold.Look(context.Background(), l.host("b"))
		if err != nil {
			t.Error(err)
		}
		if _, err := hold.Break(context.Background(), l.host("b"), "other", *h, time.Now()); err != nil {
			t.Error(err)
		}
		// It may be taken again by the run itself before the other gets it.
		r := hold.Record{Run: "other", Plan: "theirs", Login: "bob", Bastion: "far"}
		for {
			if _, err := hold.Take(context.Background(), l.host("b"), r); err == nil {
				break
			}
			h, err := hold.Look(context.Background(), l.host("b"))
			if err == nil && h != nil {
				_, _ = hold.Break(context.Background(), l.host("b"), "other", *h, time.Now())
			}
		}
		<-b.halts.ctx().Done()
		return nil
	}
	mustWalk(t, b, journal.Stopped)
	for _, want := range []string{"locked for this run: a (the lock was not there any more)", "this run's lock was taken away, so it begins nothing more: host \"b\" is held by run other"} {
		if !strings.Contains(notes(b), want) {
			t.Errorf("no note %q in:\n%s", want, notes(b))
		}
	}
	if strings.Contains(notes(b), "stays locked") || l.held(t, "b") != "other" {
		t.Errorf("b is held by %q; notes:\n%s", l.held(t, "b"), notes(b))
	}
}
