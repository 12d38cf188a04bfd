package steps

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"belay/remote"
)

// A file of another host comes over with its mode and owner, shows no
// difference, and goes again when the step is undone.
func TestFilesCopyFromAHost(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "old's.env"), filepath.Join(dir, "new", "app.env")
	fileWrite(t, from, "PASSWORD=hunter2\n", 0o640)
	fileWrite(t, to, "PASSWORD=nobody\n", 0o600)
	c := &filesCopy{Host: "old", From: from, To: to}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	e := newFileEnv([]string{"sh"})
	e.Hosts = remote.Hosts{"old": {Name: "old", Runner: remote.Local("old").Runner}}
	changes, err := c.Pending(t.Context(), e.Env)
	if err != nil || len(changes) != 1 || changes[0].Diff != "" || !strings.Contains(changes[0].Text, "replace "+to) {
		t.Fatalf("%+v %v", changes, err)
	}
	if err := c.Apply(t.Context(), e.Env); err != nil {
		t.Fatal(err)
	}
	if err := c.Verify(t.Context(), e.Env); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(to)
	if err != nil || st.Mode().Perm() != 0o640 {
		t.Errorf("%v %v", st.Mode(), err)
	}
	if b, _ := os.ReadFile(to); string(b) != "PASSWORD=hunter2\n" {
		t.Errorf("%q", b)
	}
	if strings.Contains(e.log.String(), "hunter2") {
		t.Error("the log tells what is in it")
	}
	if err := c.Undo(t.Context(), e.Env); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(to); string(b) != "PASSWORD=nobody\n" {
		t.Errorf("%q", b)
	}
}

func TestFilesCopyFromAHostRefuses(t *testing.T) {
	dir := t.TempDir()
	e := newFileEnv([]string{"sh"})
	e.Hosts = remote.Hosts{"old": {Name: "old", Runner: remote.Local("old").Runner}}
	for from, want := range map[string]string{dir: "a directory is for files.sync", filepath.Join(dir, "none"): "absent"} {
		c := &filesCopy{Host: "old", From: from, To: filepath.Join(dir, "to")}
		if _, err := c.Pending(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", from, err)
		}
	}
	for _, c := range []*filesCopy{{Host: "old", To: "/x"}, {Host: "old", From: "rel", To: "/x"}, {Host: "old", From: "/a", Dir: true, To: "/x"}} {
		if c.Validate() == nil {
			t.Errorf("%+v passes", c)
		}
	}
}
