package steps

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/secret"
)

// hashedOdd are names that shells, lists and databases stumble over.
var hashedOdd = map[string]string{
	"a.png": "one", "sub/deep/a.png": "two", "twin.png": "one", "twin.jpg": "one", "README": "", "-rf *": "dash",
	"line\nbreak.txt": "break", "sp ace's \"q\".tar.gz": "quotes", "latin\xe9.png": "latin", "ünï.png": "unicode", ".hidden": "hidden",
	"back\\slash.png": "slash", "x.verylongextension": "long", "x.a b": "blank",
}

func hashedTree(t *testing.T, dir string) {
	t.Helper()
	for name, content := range hashedOdd {
		fileWrite(t, dir+"/"+name, content, 0o640)
	}
	if err := os.Symlink("a.png", dir+"/link.png"); err != nil {
		t.Fatal(err)
	}
}

// TestHashedCrash cuts the connection at every command, forth and back.
func TestHashedCrash(t *testing.T) {
	for shellName, shell := range fileShells(t) {
		for _, by := range []string{"copy", "link"} {
			t.Run(shellName+"/"+by, func(t *testing.T) {
				t.Parallel()
				fileCrash(t, fileCase{setup: func(t *testing.T, dir string) Step {
					hashedTree(t, dir+"/old")
					if by == "link" { // one was there before, and must be afterwards
						fileWrite(t, dir+"/new/"+hashedSum("latin")+".png", "latin", 0o600)
					}
					return &filesRenameByHash{Path: dir + "/old", To: dir + "/new", Of: "content", By: by, Extension: true,
						Manifest: dir + "/kept/manifest", Unmatched: "refuse"}
				}, skip: func(rel string) bool { return rel == "kept/manifest" }}, shell) // it names dir, which no run has again
			})
		}
	}
}

// TestHashedNames: dups share a name, extensions stay where they are some, and
// the old names stay.
func TestHashedNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	hashedTree(t, dir+"/old")
	before := fileSnapshot(t, dir+"/old", nil)
	e := newFileEnv([]string{"sh"})
	s := &filesRenameByHash{Path: dir + "/old", To: dir + "/old/by/hash", Of: "content", By: "copy", Extension: true, Manifest: dir + "/manifest", Unmatched: "refuse"}
	for range 2 { // a second time changes nothing
		e.apply(t, s)
		e.verify(t, s)
	}
	want := map[string]string{}
	for name, content := range hashedOdd {
		ext := filepath.Ext(name)
		switch name {
		case ".hidden", "x.verylongextension", "x.a b", "-rf *":
			ext = ""
		}
		want[hashedSum(content)+ext] = content
	}
	got := map[string]string{}
	for name := range fileSnapshot(t, dir+"/old/by/hash", nil) {
		if name != "." {
			b, err := os.ReadFile(filepath.Join(dir, "old/by/hash", name))
			if err != nil {
				t.Fatal(err)
			}
			got[name] = string(b)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("new names (-want +got):\n%s", d)
	}
	if !strings.Contains(e.log.String(), "link.png") {
		t.Error("the symbolic link is not named")
	}
	if err := os.WriteFile(dir+"/old/a.png", []byte("ONE"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := (&filesRemoveRenamed{Manifest: dir + "/manifest"}).Apply(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "a.png") {
		t.Errorf("removed a file that was written to since: %v", err)
	}
	fileWrite(t, dir+"/old/a.png", "one", 0o640)
	if d := cmp.Diff(before, fileSnapshot(t, dir+"/old", func(rel string) bool { return rel == "by" })); d != "" {
		t.Errorf("the old names (-before +after):\n%s", d)
	}
	rm := &filesRemoveRenamed{Manifest: dir + "/manifest"}
	if n := len(e.pending(t, rm)); n != 1 {
		t.Errorf("%d changes pending", n)
	}
	e.apply(t, rm)
	e.verify(t, rm)
	if n := len(e.pending(t, rm)); n != 0 {
		t.Errorf("%d changes pending afterwards", n)
	}
	if err := s.Verify(t.Context(), e.Env); err == nil {
		t.Error("the old names are gone, and nobody minds")
	}
	// What is only under its new name now is not removed on the way back.
	if err := s.Undo(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "kept") {
		t.Errorf("undo: %v", err)
	}
	if len(fileSnapshot(t, dir+"/old/by/hash", nil)) != len(want)+1 {
		t.Error("undo lost files")
	}
}

// TestHashedRefusals: nothing is written where names collide, the manifest is
// somebody else's, or the disk is full.
func TestHashedRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		setup func(t *testing.T, dir string, s *filesRenameByHash)
		want  string
	}{
		"another file has the name": {func(t *testing.T, dir string, s *filesRenameByHash) {
			fileWrite(t, dir+"/new/"+hashedSum("one")+".png", "other", 0o600)
		}, "is not what"},
		"two files of one name": {func(t *testing.T, dir string, s *filesRenameByHash) { s.Of = "name" }, "a.png and sub/deep/a.png"},
		"a manifest is there": {func(t *testing.T, dir string, s *filesRenameByHash) {
			fileWrite(t, dir+"/manifest", "mine", 0o600)
		}, "did not make it"},
		"the target is a file": {func(t *testing.T, dir string, s *filesRenameByHash) { fileWrite(t, dir+"/new", "x", 0o600) }, "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			hashedTree(t, dir+"/old")
			s := &filesRenameByHash{Path: dir + "/old", To: dir + "/new", Of: "content", By: "copy", Extension: true, Manifest: dir + "/manifest"}
			c.setup(t, dir, s)
			before := fileSnapshot(t, dir, nil)
			e := newFileEnv([]string{"sh"})
			if err := s.Apply(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("apply: %v", err)
			}
			e.undo(t, s)
			if d := cmp.Diff(before, fileSnapshot(t, dir, nil)); d != "" {
				t.Errorf("-before +after:\n%s", d)
			}
		})
	}
}

// TestHashedDiskFull: a copy that does not fit leaves nothing behind, and goes
// on when it does.
func TestHashedDiskFull(t *testing.T) {
	dir := t.TempDir()
	fileWrite(t, dir+"/old/small", "s", 0o600)
	fileWrite(t, dir+"/old/large", strings.Repeat("large", 100_000), 0o600)
	e := newFileEnv([]string{"sh", "-c", `ulimit -f 64; trap "" XFSZ; exec "$0" "$@"`, "sh"})
	s := &filesRenameByHash{Path: dir + "/old", To: dir + "/new", Of: "content", By: "copy", Manifest: dir + "/manifest"}
	if err := s.Apply(t.Context(), e.Env); err == nil {
		t.Fatal("it fitted")
	}
	if left, err := filepath.Glob(dir + "/new/.*/*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	e.with(&fileRunner{shell: []string{"sh"}})
	e.apply(t, s)
	e.verify(t, s)
	e.undo(t, s)
	if left := fileSnapshot(t, dir, nil); len(left) != 4 {
		t.Errorf("left behind: %v", left)
	}
}

// TestHashedManifest: a manifest reads back as it was written, and a false one
// is refused.
func TestHashedManifest(t *testing.T) {
	m := &hashedManifest{From: "/a \"b\"\n", To: "/c", Rows: []hashedRow{{"k\x00\xff", "\n", "new "}}}
	for name, content := range hashedOdd {
		m.Files = append(m.Files, hashedFile{Old: name, New: hashedSum(content) + ".x", Sum: hashedSum(content), Size: int64(len(content)), Made: len(name) > 5})
	}
	m.sort()
	text, _ := m.text()
	got, err := hashedParse(text)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(m, got); d != "" {
		t.Error(d)
	}
	for _, bad := range []string{"", string(text[:len(text)-8]), string(text) + "x\n",
		strings.Replace(string(text), `"a.png"`, `"../a.png"`, 1), strings.Replace(string(text), `"a.png"`, `"/a.png"`, 1),
		strings.Replace(string(text), hashedSum("two")+".x", "../../etc/passwd", 1)} {
		if _, err := hashedParse([]byte(bad)); err == nil {
			t.Errorf("read %.200q", bad)
		}
	}
}

// hashedCut is a dialer whose connection breaks when word is sent: before the
// server has it, or after.
type hashedCut struct {
	remote.Dialer
	mu    sync.Mutex // a connection that is given up is written to beside the test
	word  string
	after bool
}

func (d *hashedCut) at(word string, after bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.word, d.after = word, after
}

// hit tells whether the connection breaks here, and whether that is after.
func (d *hashedCut) hit(p []byte) (now, after bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.word == "" || !strings.Contains(strings.ToUpper(string(p)), d.word) {
		return false, false
	}
	d.word = ""
	return true, d.after
}

func (d *hashedCut) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := d.Dialer.Dial(ctx, network, addr)
	return &hashedCutConn{Conn: c, d: d}, err
}

type hashedCutConn struct {
	net.Conn
	d    *hashedCut
	deaf atomic.Bool
}

func (c *hashedCutConn) Write(p []byte) (int, error) {
	if now, after := c.d.hit(p); now {
		c.deaf.Store(after)
		if !after {
			c.Conn.Close()
			return 0, net.ErrClosed
		}
	}
	return c.Conn.Write(p)
}

func (c *hashedCutConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.deaf.Load() {
		c.Conn.Close()
		return 0, net.ErrClosed
	}
	return n, err
}

// hashedStoreTest takes the kind through its life with rows of a real server.
// ask runs a query and returns the lines of its first column.
func hashedStoreTest(t *testing.T, rows hashedRows, pw string, run func(string), ask func(string) []string) {
	dir := t.TempDir()
	for name, content := range map[string]string{"A.png": "upper", "a.png": "lower", "d/twin1": "same", "d/twin2": "same", "q'\\\".txt": "quote", "ünï": "u"} {
		fileWrite(t, dir+"/old/"+name, content, 0o600)
	}
	run(`INSERT INTO files (id, file_path) VALUES (1, '/storage/A.png'), (2, '/storage/a.png'), (3, '/storage/d/twin1'), (4, '/storage/d/twin2'), (5, '/storage/d/twin2'), (6, '/storage/ünï'), (7, NULL), (8, ''), (18446744073709551, '/storage/q''` + rows.New + `')`)
	e := newFileEnv([]string{"sh"})
	cut := &hashedCut{Dialer: remote.Local("box").Dialer}
	connect := func(shell string) {
		e.with(&fileRunner{shell: []string{shell}})
		e.Host.Dialer = cut
	}
	connect("sh")
	e.Hosts = remote.Hosts{"box": e.Host}
	e.Secret = func(context.Context, string) (secret.Value, error) { return secret.New(pw), nil }
	good := rows
	good.Old, good.New = "/storage/", "uploads/"
	s := &filesRenameByHash{Path: dir + "/old", To: dir + "/new", Of: "content", By: "copy", Extension: true, Manifest: dir + "/manifest", Rows: &good, Unmatched: "refuse"}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	before := ask("SELECT file_path FROM files WHERE file_path <> '' ORDER BY id")
	err := s.Apply(t.Context(), e.Env)
	if err == nil || !strings.Contains(err.Error(), "1 rows name no file") || !strings.Contains(err.Error(), "1 files are in no row") {
		t.Fatalf("apply with what does not match: %v", err)
	}
	if left := fileSnapshot(t, dir, func(rel string) bool { return rel == "old" }); len(left) != 1 {
		t.Fatalf("written: %v", left)
	}
	s.Unmatched = "name"
	if todo := e.pending(t, s); len(todo) != 2 || todo[1].Rows != 6 {
		t.Errorf("pending: %v", todo)
	}
	for _, cutAt := range []struct {
		word  string
		after bool
	}{{"UPDATE", false}, {"UPDATE", true}, {"COMMIT", false}, {"COMMIT", true}} {
		cut.at(cutAt.word, cutAt.after)
		if err := s.Apply(t.Context(), e.Env); err == nil {
			t.Fatalf("cut at %s: apply did not tell", cutAt.word)
		}
		if !cutAt.after || cutAt.word == "UPDATE" {
			if now := ask("SELECT file_path FROM files WHERE file_path <> '' ORDER BY id"); !cmp.Equal(before, now) {
				t.Errorf("cut at %s: a part of the rows was changed: %q", cutAt.word, now)
			}
		}
		e.apply(t, s)
		e.verify(t, s)
		if todo := e.pending(t, s); len(todo) != 0 {
			t.Errorf("still pending: %v", todo)
		}
		want := []string{hashedSum("upper") + ".png", hashedSum("lower") + ".png", hashedSum("same"), hashedSum("same"), hashedSum("same"), hashedSum("u")}
		now := ask("SELECT file_path FROM files WHERE file_path <> '' ORDER BY id")
		for i, w := range want {
			if now[i] != "uploads/"+w {
				t.Errorf("row %d names %q", i+1, now[i])
			}
		}
		if cutAt.word == "COMMIT" && cutAt.after {
			break
		}
		e.undo(t, s)
		if now := ask("SELECT file_path FROM files WHERE file_path <> '' ORDER BY id"); !cmp.Equal(before, now) {
			t.Errorf("undone: %q", now)
		}
	}
	hashedSinceTest(t, e, s, dir, run, ask)
}

// hashedSinceTest: what happened since survives the way back, and old names
// are not removed while a row uses one.
func hashedSinceTest(t *testing.T, e *fileEnv, s *filesRenameByHash, dir string, run func(string), ask func(string) []string) {
	run("INSERT INTO files (id, file_path) VALUES (20, '/storage/a.png')")
	if err := s.Verify(t.Context(), e.Env); err == nil {
		t.Error("a row names an old name, and nobody minds")
	}
	rm := &filesRemoveRenamed{Manifest: s.Manifest, Rows: s.Rows}
	if err := rm.Apply(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "row 20") {
		t.Errorf("removed what a row names: %v", err)
	}
	run("DELETE FROM files WHERE id = 3")
	run("UPDATE files SET file_path = 'elsewhere' WHERE id = 4")
	run(fmt.Sprintf("INSERT INTO files (id, file_path) VALUES (21, 'uploads/%s')", hashedSum("u")))
	e.undo(t, s)
	now := ask("SELECT file_path FROM files WHERE id IN (1, 2, 4, 5, 6, 21) ORDER BY id")
	want := []string{"/storage/A.png", "/storage/a.png", "elsewhere", "/storage/d/twin2", "/storage/ünï", "uploads/" + hashedSum("u")}
	if d := cmp.Diff(want, now); d != "" {
		t.Errorf("rows after undo:\n%s", d)
	}
	if left := fileSnapshot(t, dir+"/new", nil); len(left) != 2 || left[hashedSum("u")] == "" {
		t.Errorf("a file that a newer row names was removed, or others were not: %v", left)
	}
	run("DELETE FROM files")
}

func TestHashedMySQL(t *testing.T) {
	t.Parallel()
	eachMySQL(t, hashesRows)
}

func hashesRows(t *testing.T, start mysqlStart) {
	m := start(t, remotetest.MySQLOptions{Password: "one"})
	m.Exec("", "CREATE DATABASE chatnio CHARACTER SET utf8mb4")
	m.Exec("chatnio", "CREATE TABLE files (id bigint unsigned PRIMARY KEY, file_path varchar(200))") // whose collation takes A for a
	rows := hashedRows{MySQL: &hashedMySQL{mysqlStore{store: store{Host: "box", Addr: m.Addr, User: m.User, Password: secret.Ref{Name: "pw"}}}, "chatnio"},
		Table: "files", Column: "file_path", Key: "id"}
	hashedStoreTest(t, rows, "one", func(q string) { m.Exec("chatnio", q) }, func(q string) []string { return m.Ask("chatnio", q) })

	// What cannot be changed whole is not changed.
	for table, want := range map[string]string{
		"short (id int PRIMARY KEY, file_path varchar(20))":                 "Data too long",
		"loose (id int PRIMARY KEY, file_path varchar(200)) ENGINE=MyISAM":  "no transactions",
		"keyless (id int, file_path varchar(200), KEY (id))":                "does not tell rows apart",
		"nameless (id int PRIMARY KEY, other varchar(200))":                 "no column",
		"single (id int PRIMARY KEY, file_path varchar(200) UNIQUE)":        "Duplicate entry",
		"other (id char(20) PRIMARY KEY, file_path varbinary(200))":         "",
		"\xe4\xb8\xad文 (id int PRIMARY KEY, file_path varchar(200), x int)": "",
	} {
		m.Exec("chatnio", "CREATE TABLE "+table)
		name := strings.Fields(table)[0]
		if want != "no column" {
			m.Exec("chatnio", "INSERT INTO "+name+" (id, file_path) VALUES (1, 'one'), (2, 'two')")
		}
		dir := t.TempDir()
		fileWrite(t, dir+"/old/one", "same", 0o600)
		fileWrite(t, dir+"/old/two", "same", 0o600)
		e := newFileEnv([]string{"sh"})
		e.Host.Dialer = remote.Local("box").Dialer
		e.Hosts = remote.Hosts{"box": e.Host}
		e.Secret = mysqlSecrets(map[string]string{"pw": "one"})
		r := rows
		r.Table, r.Old, r.New = name, "", ""
		s := &filesRenameByHash{Path: dir + "/old", To: dir + "/new", Of: "content", By: "copy", Manifest: dir + "/m", Rows: &r, Unmatched: "refuse"}
		err := s.Apply(t.Context(), e.Env)
		if want == "" {
			if err != nil || len(m.Ask("chatnio", "SELECT id FROM "+name+" WHERE file_path = '"+hashedSum("same")+"'")) != 2 {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
		if want != "no column" && strings.Join(m.Ask("chatnio", "SELECT file_path FROM "+name+" ORDER BY id"), " ") != "one two" {
			t.Errorf("%s: rows were changed", name)
		}
	}
}

func TestHashedPostgres(t *testing.T) {
	t.Parallel()
	box := newPgBox(t, remotetest.PostgresOptions{})
	box.Exec("postgres", "CREATE TABLE files (id bigint PRIMARY KEY, file_path text)")
	st := box.store("postgres")
	st.Host = "box"
	hashedStoreTest(t, hashedRows{Postgres: &st, Table: "files", Column: "file_path", Key: "id"}, box.Password,
		func(q string) { box.Exec("postgres", q) }, func(q string) []string { return box.Ask("postgres", q) })
}

// TestHashedMany: ten thousand files, a third of them alike.
func TestHashedMany(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(dir+"/old", 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("sh", "-c", `cd "$1" && seq 10000 | awk '{ printf "%s", int($1 / 3) >("f" $1 ".txt"); close("f" $1 ".txt") }'`, "sh", dir+"/old").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	e := newFileEnv([]string{"sh"})
	s := &filesRenameByHash{Path: dir + "/old", To: dir + "/new", Of: "content", By: "link", Extension: true, Manifest: dir + "/manifest"}
	e.apply(t, s)
	e.verify(t, s)
	if left := e.pending(t, s); len(left) != 0 {
		t.Errorf("pending: %v", left)
	}
	made, err := os.ReadDir(dir + "/new")
	if err != nil || len(made) != 3334 {
		t.Errorf("%d names, %v", len(made), err)
	}
	e.undo(t, s)
	if _, err := os.Stat(dir + "/new"); !os.IsNotExist(err) {
		t.Errorf("after undo: %v", err)
	}
}
