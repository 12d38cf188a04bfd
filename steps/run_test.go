package steps

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"belay/remote"
	"belay/remote/job"
)

func TestRunWhole(t *testing.T) {
	inShells(t, func(t *testing.T, b *runBox) {
		dir := t.TempDir()
		r := &run{
			Script: "echo from $PWD with \"$GREET\"\necho made >>made\necho oops >&2", Dir: dir,
			Env:       map[string]string{"GREET": "it's\n $HOME `id`"},
			PendingBy: "[ -e made ] || echo 'make it'", VerifyBy: "echo proving; grep -q made made", UndoBy: "rm made",
		}
		if err := r.Validate(); err != nil {
			t.Fatal(err)
		}
		e, log := runEnv(b.host())
		todo, err := r.Pending(t.Context(), looking(e))
		if err != nil || len(todo) != 2 || todo[0].Text != "make it" || !strings.Contains(todo[1].Cmd, "echo made >>made") {
			t.Fatalf("pending: %+v, %v", todo, err)
		}
		mustApply(t, r, e)
		want := "from " + dir + " with it's\n $HOME `id`\noops\nproving\n"
		if diff := cmp.Diff(want, log.String()); diff != "" {
			t.Error(diff)
		}
		if todo, err := r.Pending(t.Context(), looking(e)); err != nil || len(todo) != 0 {
			t.Fatalf("pending afterwards: %v, %v", todo, err)
		}
		for range 2 {
			if err := r.Undo(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Verify(t.Context(), looking(e)); err == nil {
			t.Error("verify passes after undo")
		}
		mustApply(t, r, e) // and forward again
		if got := content(t, dir+"/made"); got != "made\n" {
			t.Errorf("made twice: %q", got)
		}
		if err := r.Undo(t.Context(), e); err != nil || content(t, dir+"/made") != "" {
			t.Errorf("second undo: %v, %q", err, content(t, dir+"/made"))
		}
	})
}

// TestRunPendingNoDir: a dry run looks before the steps that make the directory.
func TestRunPendingNoDir(t *testing.T) {
	dir := t.TempDir() + "/it's new"
	r := &run{Script: "true", Dir: dir, PendingBy: "exit 3"}
	e, _ := runEnv(remote.Local("chat"))
	todo, err := r.Pending(t.Context(), looking(e))
	if err != nil || len(todo) != 2 || todo[0].Text != "everything: "+dir+" is not there yet" {
		t.Errorf("no directory: %v, %v", todo, err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Pending(t.Context(), looking(e)); !isExit(err) {
		t.Errorf("a file in its place: %v", err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Pending(t.Context(), looking(e)); !isExit(err) {
		t.Errorf("a script that fails: %v", err)
	}
}

// TestRunCrash kills belay before and after each thing it does.
func TestRunCrash(t *testing.T) {
	inShells(t, func(t *testing.T, b *runBox) {
		for _, after := range []bool{false, true} {
			for at := 1; ; at++ {
				dir := t.TempDir()
				r := &run{Script: "echo x >>effects; sleep .1; echo done", UndoBy: "echo u >>undone", Dir: dir}
				e, log := runEnv(b.host())
				e.ID = fmt.Sprintf("crash-%v-%d", after, at)
				crashed := crashing(t, e, at, after, r.Apply)
				resume(t, r, e, func() {
					if got := content(t, dir+"/effects"); got != "" {
						t.Errorf("act %d: a person is asked after the effect: %q", at, got)
					}
				})
				if got := content(t, dir+"/effects"); got != "x\n" {
					t.Fatalf("act %d, after %v: effects %q", at, after, got)
				}
				if got := log.String(); !strings.Contains(got, "done\n") {
					t.Errorf("act %d: log %q", at, got)
				}
				crashing(t, e, at, after, r.Undo)
				if err := r.Undo(t.Context(), e); err != nil {
					t.Fatal(err)
				}
				if got := content(t, dir+"/undone"); got != "u\n" {
					t.Fatalf("act %d, after %v: undone %q", at, after, got)
				}
				if !crashed {
					if at < 4 {
						t.Errorf("only %d acts", at)
					}
					break
				}
			}
		}
	})
}

// TestRunAttempts: a failure that was told is tried again as a new execution; one
// that was not told is told first.
func TestRunAttempts(t *testing.T) {
	inShells(t, func(t *testing.T, b *runBox) {
		dir := t.TempDir()
		r := &run{Script: "echo x >>effects; echo why >&2; [ -e good ]", UndoBy: "echo u >>undone; [ -e good ]", Dir: dir}
		e, _ := runEnv(b.host())
		if !crashing(t, e, 3, false, r.Apply) { // it has ended; belay dies before it remembers that
			t.Fatal("no crash")
		}
		err := r.Apply(t.Context(), e)
		exit, ok := errors.AsType[*remote.ExitError](err)
		if !ok || exit.Status != 1 || err.Error() != "script: exit status 1: why" {
			t.Fatalf("told: %v", err)
		}
		if got := content(t, dir+"/effects"); got != "x\n" {
			t.Fatalf("told by doing it again: %q", got)
		}
		if on, err := r.Underway(e); on || err != nil {
			t.Errorf("underway after it was told: %v, %v", on, err)
		}
		if todo, err := r.Pending(t.Context(), looking(e)); err != nil || len(todo) != 1 {
			t.Errorf("pending after a failure: %v, %v", todo, err)
		}
		if err := r.Undo(t.Context(), e); err == nil || !strings.HasPrefix(err.Error(), "undo script: exit status 1") {
			t.Errorf("undo: %v", err)
		}
		if err := os.WriteFile(dir+"/good", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		mustApply(t, r, e)
		if got := content(t, dir+"/effects"); got != "x\nx\n" {
			t.Errorf("retry: %q", got)
		}
		if todo, err := r.Pending(t.Context(), looking(e)); err != nil || len(todo) != 0 {
			t.Errorf("pending after it ended well: %v, %v", todo, err)
		}
		if err := r.Undo(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if got := content(t, dir+"/undone"); got != "u\nu\n" {
			t.Errorf("undo tried again: %q", got)
		}
		if todo, err := r.Pending(t.Context(), looking(e)); err != nil || len(todo) != 1 {
			t.Errorf("pending after undo: %v, %v", todo, err)
		}
	})
}

// TestRunProofFails: what ended well, and is disproved, is still to be done.
func TestRunProofFails(t *testing.T) {
	b := &runBox{home: t.TempDir(), over: remote.Local("chat")}
	dir := t.TempDir()
	r := &run{Script: "echo x >>effects", VerifyBy: "test -e proof", Dir: dir}
	e, _ := runEnv(b.host())
	if err := r.Apply(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if err := r.Verify(t.Context(), looking(e)); err == nil || err.Error() != "verify script: exit status 1" {
		t.Errorf("verify: %v", err)
	}
	if todo, err := r.Pending(t.Context(), looking(e)); err != nil || len(todo) != 1 {
		t.Errorf("pending: %v, %v", todo, err)
	}
	if r.WayBack() || r.Undo(t.Context(), e) != ErrNoWayBack {
		t.Error("there is a way back without an undo script")
	}
}

// TestRunEnds: leaving lets the script go on, any other cause ends it.
func TestRunEnds(t *testing.T) {
	b := &runBox{home: t.TempDir(), over: remote.Local("chat")}
	t.Cleanup(func() { endJobs(t, b.home) })
	for _, cause := range []error{ErrDetach, errors.New("not done within 1s")} {
		dir := t.TempDir()
		r := &run{Script: "echo x >>effects; until [ -e go ]; do sleep .05; done; echo y >>effects", UndoBy: "echo u >>undone", Dir: dir}
		e, _ := runEnv(b.host())
		e.ID = fmt.Sprintf("ends-%d", len(cause.Error()))
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			for content(t, dir+"/effects") == "" {
				time.Sleep(5 * time.Millisecond)
			}
			cancel(cause)
		}()
		if err := r.Apply(ctx, e); !errors.Is(err, cause) {
			t.Fatalf("apply: %v", err)
		}
		on, err := r.Underway(e)
		if err != nil || on != (cause == ErrDetach) {
			t.Errorf("%v: underway %v, %v", cause, on, err)
		}
		if err := os.WriteFile(dir+"/go", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		want := "x\nx\ny\n" // ended, then done again
		if cause == ErrDetach {
			want = "x\ny\n" // taken up
		}
		mustApply(t, r, e)
		if got := content(t, dir+"/effects"); got != want {
			t.Errorf("%v: %q, want %q", cause, got, want)
		}
	}
}

// TestRunUndoWhileRunning: a rollback ends the script before it undoes it.
func TestRunUndoWhileRunning(t *testing.T) {
	b := &runBox{home: t.TempDir(), over: remote.Local("chat")}
	t.Cleanup(func() { endJobs(t, b.home) })
	dir := t.TempDir()
	r := &run{Script: "echo $$ >pid; while :; do sleep .05; done", UndoBy: `kill -0 "$(cat pid)" 2>/dev/null && echo alive >>undone || echo gone >>undone`, Dir: dir}
	e, _ := runEnv(b.host())
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		for content(t, dir+"/pid") == "" {
			time.Sleep(5 * time.Millisecond)
		}
		cancel(ErrDetach)
	}()
	if err := r.Apply(ctx, e); !errors.Is(err, ErrDetach) {
		t.Fatal(err)
	}
	if err := r.Undo(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if got := content(t, dir+"/undone"); got != "gone\n" {
		t.Errorf("undo saw the script %q", got)
	}
}

func TestRunAttachedCrash(t *testing.T) {
	inShells(t, func(t *testing.T, b *runBox) {
		for at, effects := range map[int]string{1: "", 2: "", 3: "x\n", 4: "x\n"} {
			dir := t.TempDir()
			r := &run{Script: "echo x >>effects; echo said", Dir: dir, IsAttached: true, UndoBy: "echo u >>undone"}
			e, log := runEnv(b.host())
			crashed := crashing(t, e, at, false, r.Apply)
			if got := content(t, dir+"/effects"); got != effects || crashed != (at < 4) {
				t.Fatalf("act %d: crashed %v, %q", at, crashed, got)
			}
			if on, err := r.Underway(e); on || err != nil {
				t.Errorf("an attached script cannot be underway: %v", err)
			}
			todo, err := r.Pending(t.Context(), looking(e))
			if err != nil || (len(todo) > 0) != crashed {
				t.Errorf("act %d: pending %v, %v: a person must be asked", at, todo, err)
			}
			if !crashed && log.String() != "said\n" {
				t.Errorf("log %q", log)
			}
			if err := r.Undo(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			if undone := content(t, dir+"/undone"); (undone == "u\n") != (at > 1) {
				t.Errorf("act %d: undone %q", at, undone)
			}
		}
	})
}

// TestRunUnknown kills the process that waits for the script's end: nobody
// knows then how it ends, and that is said, once; it is not run again while it
// still runs.
func TestRunUnknown(t *testing.T) {
	b := &runBox{home: t.TempDir(), over: remote.Local("chat")}
	t.Cleanup(func() { endJobs(t, b.home) })
	dir := t.TempDir()
	r := &run{Script: "echo x >>effects; until [ -e go ]; do sleep .05; done", Dir: dir, UndoBy: "echo u >>undone"}
	e, _ := runEnv(b.host())
	done := make(chan error, 1)
	go func() { done <- r.Apply(t.Context(), e) }()
	for content(t, dir+"/effects") == "" {
		time.Sleep(5 * time.Millisecond)
	}
	var minder int
	if _, err := fmt.Sscan(content(t, b.home+"/.local/state/belay/jobs/"+e.ID+".1/claim"), &minder); err != nil || minder < 2 {
		t.Fatal(err)
	}
	if err := syscall.Kill(minder, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	err := <-done
	if unknown, ok := errors.AsType[*job.UnknownError](err); !ok || unknown.State != job.Orphaned {
		t.Fatalf("told: %v", err)
	}
	if on, err := r.Underway(e); on || err != nil {
		t.Errorf("underway, so that no person is asked: %v", err)
	}
	if todo, err := r.Pending(t.Context(), looking(e)); err != nil || len(todo) != 1 {
		t.Errorf("pending: %v, %v", todo, err)
	}
	if err := r.Apply(t.Context(), e); err == nil || !strings.Contains(err.Error(), "still runs") {
		t.Errorf("again while it runs: %v", err)
	}
	if err := os.WriteFile(dir+"/go", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for {
		if err := r.Apply(t.Context(), e); err == nil {
			break
		} else if !strings.Contains(err.Error(), "still runs") {
			t.Fatal(err)
		}
	}
	if got := content(t, dir+"/effects"); got != "x\nx\n" {
		t.Errorf("effects %q", got)
	}
}

// TestRunBrokenMemory: when the journal cannot be written, nothing is begun.
func TestRunBrokenMemory(t *testing.T) {
	b := &runBox{home: t.TempDir(), over: remote.Local("chat")}
	dir := t.TempDir()
	r := &run{Script: "echo x >>effects", Dir: dir}
	e, _ := runEnv(b.host())
	e.Memory = brokenMemory{}
	if err := r.Apply(t.Context(), e); !errors.Is(err, errBrokenMemory) {
		t.Errorf("%v", err)
	}
	if got := content(t, dir+"/effects"); got != "" {
		t.Errorf("effects %q", got)
	}
}

var errBrokenMemory = errors.New("disk full")

type brokenMemory struct{ MapMemory }

func (brokenMemory) Put(string, any) error { return errBrokenMemory }

// TestRunUndoUnreachable: a rollback must not wait for a host that is down.
func TestRunUndoUnreachable(t *testing.T) {
	b := &runBox{home: t.TempDir(), over: remote.Local("chat")}
	r := &run{Script: "true", UndoBy: "true"}
	e, _ := runEnv(b.host())
	mustApply(t, r, e)
	b.over = downRunner{}
	err := r.Undo(t.Context(), e)
	if _, ok := errors.AsType[*remote.UnreachableError](err); !ok {
		t.Errorf("%v", err)
	}
	b.over = remote.Local("chat")
	if err := r.Undo(t.Context(), e); err != nil {
		t.Error(err)
	}
}

type downRunner struct{}

func (downRunner) Run(context.Context, remote.Cmd) error {
	return &remote.UnreachableError{Host: "chat", Err: errors.New("no route to host")}
}
