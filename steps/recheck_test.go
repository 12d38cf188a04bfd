package steps

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"belay/remote"
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
