package steps

import (
	"fmt"

	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"belay/remote"
	"belay/remote/remotetest"
)

func fileEditEnv(t *testing.T) (*fileEnv, *filesEdit, string) {
	remotetest.Need(t, "dash")
	p := t.TempDir() + "/.env"
	fileWrite(t, p, "A=1\nOTHER_TOKEN=t0psecret\nDB_PASSWORD=\"hunter2\" # db\nURL=postgres://u:pa55@h/db\n", 0o640)
	return newFileEnv([]string{"dash"}), &filesEdit{Path: p, Env: &fileEnvEdit{Set: map[string]fileValue{
		"A": {Text: "2"}, "DB_PASSWORD": {Secret: "db_password"},
	}}}, p
}

// TestFilesEditSecrets: neither the new secret nor the old one, nor any that
// only stands beside, is shown; none is on a command line.
func TestFilesEditSecrets(t *testing.T) {
	e, s, p := fileEditEnv(t)
	var argv strings.Builder
	e.with(remote.Record(e.Host.Runner, func(r remote.Ran) { fmt.Fprintln(&argv, r.Argv) }))
	changes := e.pending(t, s)
	want := fmt.Sprintf(`--- %[1]s
+++ %[1]s
@@ -1,4 +1,4 @@
-A=1
+A=2
 OTHER_TOKEN=[secret]
-DB_PASSWORD=[secret]
+DB_PASSWORD=[secret]
 URL=postgres://u:[secret]@h/db
`, p)
	if len(changes) != 1 || changes[0].Diff != want {
		t.Errorf("changes: %+v\n%s", changes, cmp.Diff(want, changes[0].Diff))
	}
	e.apply(t, s)
	e.verify(t, s)
	b, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), `DB_PASSWORD="s3cr3t \$planted' \"x" # db`) {
		t.Errorf("the file holds %q", b)
	}
	fileWrite(t, p, string(b)+"X=1\n", 0o640)
	undoErr := s.Undo(t.Context(), e.Env)
	if undoErr == nil {
		t.Error("undo went over somebody else's change")
	}
	shown := fmt.Sprint(changes, e.log.String(), argv.String(), undoErr)
	for _, planted := range []string{"s3cr3t", "hunter2", "t0psecret", "pa55"} {
		if strings.Contains(shown, planted) {
			t.Errorf("%q is shown", planted)
		}
	}
	if !strings.Contains(fmt.Sprint(undoErr), "-X=1") {
		t.Errorf("the refusal does not show what differs: %v", undoErr)
	}
	fileWrite(t, p, string(b), 0o640) // the other change is taken back
	e.undo(t, s)
}

// TestFilesEditChangedBetween: what a person agreed to is what happens.
func TestFilesEditChangedBetween(t *testing.T) {
	e, s, p := fileEditEnv(t)
	e.pending(t, s)
	fileWrite(t, p, "A=7\n", 0o640)
	if err := s.Apply(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "was changed since") {
		t.Errorf("apply: %v", err)
	}
	if b, _ := os.ReadFile(p); string(b) != "A=7\n" {
		t.Errorf("the file was touched: %q", b)
	}
	e.pending(t, s)
	e.apply(t, s)
	e.verify(t, s)
}

// TestFilesEditChangedDuring: between reading and writing, too.
func TestFilesEditChangedDuring(t *testing.T) {
	e, s, p := fileEditEnv(t)
	meddled := false
	e.with(remote.Record(e.Host.Runner, func(r remote.Ran) {
		if !r.Ended && !r.Pure && !meddled {
			meddled = true
			fileWrite(t, p, "A=8\n", 0o640)
		}
	}))
	if err := s.Apply(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "by somebody else") {
		t.Errorf("apply: %v", err)
	}
	if b, _ := os.ReadFile(p); string(b) != "A=8\n" {
		t.Errorf("the file was touched: %q", b)
	}
}

// TestFilesEditForeign: after this step wrote, somebody changed the file, and
// the step is tried again: what was there first is not lost.
func TestFilesEditForeign(t *testing.T) {
	e, s, p := fileEditEnv(t)
	e.apply(t, s)
	fileWrite(t, p, "A=9\n", 0o640)
	e.pending(t, s)
	if err := s.Apply(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "is kept in") {
		t.Errorf("apply: %v", err)
	}
	if b, _ := os.ReadFile(p); string(b) != "A=9\n" {
		t.Errorf("the file was touched: %q", b)
	}
}

func TestFilesEditKeepsMarksAndKinds(t *testing.T) {
	remotetest.Need(t, "dash")
	e := newFileEnv([]string{"dash"})
	p := t.TempDir() + "/x.json"
	fileWrite(t, p, "\ufeff{\"a\":1}", 0o600)
	s := &filesEdit{Path: p, JSON: &filePathEdit{Set: map[string]any{"a": map[string]any{"secret": "db_password"}}}}
	changes := e.pending(t, s)
	if len(changes) != 1 || strings.Contains(changes[0].Diff, "s3cr3t") {
		t.Errorf("changes: %+v", changes)
	}
	e.apply(t, s)
	if b, _ := os.ReadFile(p); string(b) != "\ufeff{\"a\":\"s3cr3t $planted' \\\"x\"}" {
		t.Errorf("the file holds %q", b)
	}
	for _, missing := range []string{p + ".none", t.TempDir(), "/dev/null"} {
		if _, err := (&filesEdit{Path: missing, JSON: s.JSON}).Pending(t.Context(), e.Env); err == nil {
			t.Errorf("%s was not refused", missing)
		}
	}
	fileWrite(t, p, "a\x00b", 0o600)
	if _, err := s.Pending(t.Context(), e.Env); err == nil {
		t.Error("a binary file was not refused")
	}
}

func TestFilesEditValidate(t *testing.T) {
	set := map[string]fileValue{"A": {}}
	for name, s := range map[string]*filesEdit{
		"nothing":        {Path: "/x"},
		"relative":       {Path: "x", Env: &fileEnvEdit{Set: set}},
		"two formats":    {Path: "/x", Env: &fileEnvEdit{Set: set}, JSON: &filePathEdit{Set: map[string]any{"a": 1}}},
		"bad key":        {Path: "/x", Env: &fileEnvEdit{Set: map[string]fileValue{"A B": {}}}},
		"set and remove": {Path: "/x", Env: &fileEnvEdit{Set: set, Remove: []string{"A"}}},
		"set and rename": {Path: "/x", Env: &fileEnvEdit{Set: set, Rename: map[string]string{"A": "B"}}},
		"chain":          {Path: "/x", Env: &fileEnvEdit{Rename: map[string]string{"A": "B", "B": "C"}}},
		"empty part":     {Path: "/x", YAML: &filePathEdit{Set: map[string]any{"a..b": 1}}},
		"within":         {Path: "/x", YAML: &filePathEdit{Set: map[string]any{"a": 1, "a.b": 2}}},
		"mode":           {Path: "/x", Mode: "rw", Env: &fileEnvEdit{Set: set}},
		"regexp":         {Path: "/x", Lines: &fileLineEdit{Remove: []string{"("}}},
	} {
		if s.Validate() == nil {
			t.Errorf("%s: not refused", name)
		}
	}
	if err := (&filesEdit{Path: "/x", Env: &fileEnvEdit{Set: set}}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestFileDiff(t *testing.T) {
	var a, b []string
	for i := range 40 {
		a = append(a, fmt.Sprintf("line %d\n", i))
	}
	b = append(b, a...)
	b[3], b[33] = "changed\n", "also\r\n"
	got := fileDiff("f", strings.Join(a, ""), strings.TrimSuffix(strings.Join(b, ""), "\n"))
	want := `--- f
+++ f
@@ -1,7 +1,7 @@
 line 0
 line 1
 line 2
-line 3
+changed
 line 4
 line 5
 line 6
@@ -31,10 +31,10 @@
 line 30
 line 31
 line 32
-line 33
+also\r
 line 34
 line 35
 line 36
 line 37
 line 38
-line 39
+line 39
\ no newline at end of file
`
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}
