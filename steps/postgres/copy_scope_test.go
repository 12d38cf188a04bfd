package postgres

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"belay/remote/remotetest"
)

// TestCopyScope: what a plan leaves out stays out, whatever it is called; what
// it made in the target before is used, and is still there when the copy goes.
func TestCopyScope(t *testing.T) {
	from, to := pair(t)
	to.Exec("shop", "create schema auth; create function auth.uid() returns int language sql stable as 'select 2'; create table auth.kept (a int); insert into auth.kept values (1)")
	c := copyOf(t, from, to)
	c.Owners = false
	c.Beside = []string{"auth"}
	c.Scope = Scope{
		ExcludeSchemas: []string{`Weird "Schema" ; --`, "auth"}, ExcludeExtensions: []string{"hstore"},
		ExcludeTables: []string{"public.many", `public.Mixed "Case" ' table; --\`, "types"},
	}
	before, err := Contents(t.Context(), c.To, c.Beside)
	if err != nil {
		t.Fatal(err)
	}
	c.Before = before
	got, err := c.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, n := range got.Tables {
		if n.Name == "many" || n.Name == "types" || strings.HasPrefix(n.Name, "Mixed") || n.Schema != "public" {
			t.Errorf("copied %v", n)
		}
	}
	for sql, want := range map[string]string{
		"select auth.uid()": "2", "select a from auth.kept": "1", "select count(*) from posts": "4286",
		"select count(*) from pg_policy":                                          "1",
		"select count(*) from pg_namespace where nspname like 'Weird%'":           "0",
		"select count(*) from pg_extension where extname = 'hstore'":              "0",
		"select count(*) from pg_class where relname in ('many', 'types')":        "0",
		"select count(*) from pg_class where relowner <> 10 and oid >= 16384":     "0",
		"select count(*) from pg_class where relacl is not null and oid >= 16384": "0",
	} {
		if got := to.Ask("shop", sql); got[0] != want {
			t.Errorf("%s: %s, want %s", sql, got[0], want)
		}
	}
	after, err := Contents(t.Context(), c.To, c.Beside)
	if err != nil {
		t.Fatal(err)
	}
	if did, err := c.Empty(t.Context(), after); !did || err != nil {
		t.Fatalf("empty: %v %v", did, err)
	}
	left, err := Contents(t.Context(), c.To, c.Beside)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, left); diff != "" {
		t.Errorf("-before +left:\n%s", diff)
	}
	if got := to.Ask("shop", "select auth.uid() + a from auth.kept"); got[0] != "3" {
		t.Errorf("what was there: %q", got)
	}
	if did, err := c.Empty(t.Context(), nil); did || err != nil {
		t.Errorf("empty where nothing is: %v %v", did, err)
	}
}

// TestCopyDiskFull: a full disk stops the copy with a word; with room made, the
// next attempt makes it whole.
func TestCopyDiskFull(t *testing.T) {
	remotetest.NeedMachine(t)
	from, to := bulk(t)
	dir := filepath.Join(to.Dir, "small")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=18m,mode=700,uid=65534,gid=65534", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() {
		to.Kill()
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	to.Exec("postgres", "drop database shop")
	to.Exec("postgres", "create tablespace small location '"+dir+"'")
	to.Exec("postgres", "create database shop tablespace small")
	var s said
	c := Copy{From: serverOf(from, "shop"), To: serverOf(to, "shop"), ID: "run-1", Jobs: 2, Crowded: true, Sort: 64 << 20, Split: 4 << 20, Log: s.log, Say: func(Progress) {}}
	if _, err := c.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "No space left on device") {
		t.Fatalf("a full disk: %v", err)
	}
	if out, err := exec.Command("mount", "-o", "remount,size=200m", dir).CombinedOutput(); err != nil {
		t.Fatalf("remount: %v: %s", err, out)
	}
	if _, err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(bulkState(from), bulkState(to)); diff != "" {
		t.Errorf("-from +to:\n%s", diff)
	}
	if !strings.Contains(s.text.String(), "taking up the copy") {
		t.Errorf("it began anew:\n%s", s.text.String())
	}
}
