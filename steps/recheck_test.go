package steps

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"belay/remote"
	"belay/remote/secret"
)

// TestRunRecheck: what a person mended by hand is seen by the verify script;
// a step with no script that could see it says so.
func TestRunRecheck(t *testing.T) {
	b := &runBox{home: t.TempDir(), over: remote.Local("chat")}
	dir := t.TempDir()
	proved := &run{Script: "exit 7", VerifyBy: "test -e proof", Dir: dir}
	e, _ := runEnv(b.host())
	if err := proved.Apply(t.Context(), e); err == nil {
		t.Fatal("exit 7 passed")
	}
	if err := os.WriteFile(filepath.Join(dir, "proof"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if todo, err := proved.Pending(t.Context(), looking(e)); err != nil || len(todo) != 1 {
		t.Errorf("pending, which a retry asks: %v, %v", todo, err)
	}
	if todo, err := proved.Recheck(t.Context(), looking(e)); err != nil || len(todo) != 0 {
		t.Errorf("recheck: %v, %v", todo, err)
	}

	listed := &run{Script: "exit 7", PendingBy: "[ -e made ] || echo make it", VerifyBy: "true", Dir: dir}
	if todo, err := listed.Recheck(t.Context(), looking(e)); err != nil || len(todo) == 0 || todo[0].Text != "make it" {
		t.Errorf("recheck with a pending script: %v, %v", todo, err)
	}

	blind := &run{Script: "exit 7", Dir: dir}
	if _, err := blind.Recheck(t.Context(), looking(e)); !errors.Is(err, errCannotSee) {
		t.Errorf("recheck of a blind step: %v", err)
	}
}

// TestRunWithoutItsSecret: a script whose secret cannot be had was not begun,
// so there is nothing to take up and nothing to undo.
func TestRunWithoutItsSecret(t *testing.T) {
	b := &runBox{home: t.TempDir(), over: remote.Local("chat")}
	for _, attached := range []bool{false, true} {
		r := &run{Script: "true", UndoBy: "exit 1", Secrets: []string{"pw"}, Dir: t.TempDir(), IsAttached: attached}
		e, _ := runEnv(b.host())
		e.Secret = func(context.Context, string) (secret.Value, error) {
			return secret.Value{}, errors.New(`secret "pw": nobody gave it`)
		}
		if err := r.Apply(t.Context(), e); err == nil || err.Error() != `script: secret "pw": nobody gave it; it was not started` {
			t.Errorf("apply: %v", err)
		}
		if _, begun, err := traceOf(e, runKey); begun || err != nil {
			t.Errorf("a trace of it: %v, %v", begun, err)
		}
		if err := r.Undo(t.Context(), e); err != nil {
			t.Errorf("undo: %v", err)
		}
	}
}
