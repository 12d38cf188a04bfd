package steps

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"belay/remote"
	"belay/remote/remotetest"
	"belay/steps/mysql"
)

// mysqlAll is all that a server has in some databases, as compare would see it.
func mysqlAll(t *testing.T, box *mysqlBox, m *remotetest.MySQL, password string, databases ...string) map[string]string {
	t.Helper()
	srv, err := mysqlStoreOf(m, password).server(t.Context(), box.e)
	if err != nil {
		t.Fatal(err)
	}
	s, err := mysql.NewSide(t.Context(), srv, databases...)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	objects, err := s.Objects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, o := range objects {
		if o.Kind == "account" {
			continue
		}
		all[o.Kind+" "+o.Name] = o.Print
		if o.Data {
			p, err := s.Prints(t.Context(), o.Name, 1)
			if err != nil {
				t.Fatal(err)
			}
			all["rows of "+o.Name] = p[0].Sum
		}
	}
	return all
}

// TestMySQLDumpRestore: a dump as a detached job goes into another server,
// equal; nothing of the login stays behind.
func TestMySQLDumpRestore(t *testing.T) {
	remotetest.Need(t, "mariadb-dump", "mariadb", "zstd", "setsid")
	eachMySQL(t, func(t *testing.T, start mysqlStart) {
		dumpAndRestore(t, newMySQLBoxOf(t, start, remotetest.MySQLOptions{Password: `o"n\e'`}, remotetest.MySQLOptions{Password: "two", Settings: []string{"--loose-sql-generate-invisible-primary-key=ON", "--loose-sql-require-primary-key=ON"}}))
	})
}

func dumpAndRestore(t *testing.T, box *mysqlBox) {
	box.a.UsePrograms()
	file := "mysql/testdata/nasty.sql"
	if box.a.Programs != "" {
		file = "mysql/testdata/nasty_mysql.sql"
	}
	sql, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	box.a.Exec("", string(sql))
	if box.a.Programs != "" {
		// mysqldump cannot dump triggers and events that came in a script of several
		// statements: MySQL keeps their semicolon.
		for _, q := range []string{"DROP TRIGGER `after many`", "DROP TRIGGER second", "DROP EVENT tidy",
			"CREATE TRIGGER `after many` AFTER INSERT ON `many` FOR EACH ROW INSERT INTO `log` (`what`) VALUES (CONCAT('new ', NEW.`word`))",
			"CREATE TRIGGER `second` AFTER INSERT ON `many` FOR EACH ROW FOLLOWS `after many` SET @x = 'ä'",
			"CREATE EVENT `tidy` ON SCHEDULE EVERY 1 DAY STARTS '2024-01-01 00:00:00' COMMENT 'x' DO DELETE FROM `log` WHERE `n` < 0"} {
			box.a.Exec("shop", q)
		}
	}
	// Dumps hold six digits of a FLOAT, and take 31 February for no date; only
	// mysql.copy keeps them.
	box.a.Exec("shop", "SET sql_mode = 'ALLOW_INVALID_DATES'; UPDATE kinds SET fl = 0.5; UPDATE kinds SET d = '2024-02-29' WHERE d = '2024-02-31'")
	dir := t.TempDir()
	run := &runBox{home: t.TempDir(), over: remote.Local("chat")}
	t.Cleanup(func() { endJobs(t, run.home) })
	h := run.host()
	e, log := box.e, box.log
	e.Host, e.ID = h, "move-1.dump.db"
	h.Dialer = box.e.Host.Dialer
	e.Host, e.Hosts = h, remote.Hosts{"db": h, h.Name: h}
	t.Setenv("TMPDIR", dir)
	file = filepath.Join(dir, "it's.sql.zst")
	d := &mysqlDump{mysqlStore: mysqlStoreOf(box.a, "a"), Databases: []string{"shop"}, To: file}
	if err := d.Validate(); err != nil {
		t.Fatal(err)
	}
	// A directory that is not there is named before anything is dumped.
	lost, far := e, *d
	lost.ID, lost.Memory, far.To = "move-1.dump.lost", MapMemory{}, filepath.Join(dir, "gone", "shop.sql")
	if err := far.Apply(t.Context(), lost); err == nil || !strings.Contains(err.Error(), "the directory "+filepath.Join(dir, "gone")+" is not there: make it first") {
		t.Errorf("into a directory that is not there: %v", err)
	}
	if todo, err := d.Pending(t.Context(), e); err != nil || len(todo) != 1 {
		t.Fatalf("pending: %v, %v", todo, err)
	}
	if err := d.Apply(t.Context(), e); err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	if err := d.Verify(t.Context(), e); err != nil {
		t.Error(err)
	}
	if todo, err := d.Pending(t.Context(), e); err != nil || len(todo) != 0 {
		t.Errorf("pending after: %v, %v", todo, err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, "*"))
	if d := cmp.Diff([]string{file, file + ".sha256"}, left); d != "" {
		t.Errorf("files (-want +got):\n%s", d)
	}
	other := e
	other.Memory, other.ID = MapMemory{}, "move-1.other.db"
	if _, err := d.Pending(t.Context(), other); err == nil || !strings.Contains(err.Error(), "there already") {
		t.Errorf("another step's file: %v", err)
	}
	restoreDump(t, box, e, file)
	if s := log.String(); strings.Contains(s, `o"n`) {
		t.Errorf("a secret is in the log:\n%s", s)
	}
}

func restoreDump(t *testing.T, box *mysqlBox, e Env, file string) {
	t.Helper()
	e.Memory, e.ID = MapMemory{}, "move-1.restore.db"
	r := &mysqlRestore{mysqlStore: mysqlStoreOf(box.b, "b"), Databases: []string{"shop"}, From: file}
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	box.b.Exec("", "CREATE DATABASE shop; CREATE TABLE shop.theirs (n int)")
	if err := r.Apply(t.Context(), e); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("into what is theirs: %v", err)
	}
	box.b.Exec("", "DROP DATABASE shop")
	wrong := &mysqlRestore{mysqlStore: r.mysqlStore, Databases: []string{"blog"}, From: file}
	we := e
	we.Memory, we.ID = MapMemory{}, "move-1.wrong.db"
	if err := wrong.Apply(t.Context(), we); err == nil {
		t.Error("a dump of another database was restored")
	}
	if got := box.b.Ask("", "SHOW DATABASES LIKE 'shop'"); len(got) != 0 {
		t.Error("something was made")
	}
	if todo, err := r.Pending(t.Context(), e); err != nil || len(todo) != 1 {
		t.Fatalf("pending: %v, %v", todo, err)
	}
	for range 2 {
		if err := r.Apply(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Verify(t.Context(), e); err != nil {
		t.Error(err)
	}
	if d := cmp.Diff(mysqlAll(t, box, box.a, "a", "shop"), mysqlAll(t, box, box.b, "b", "shop")); d != "" {
		t.Errorf("source and target (-source +target):\n%s", d)
	}
	for range 2 {
		if err := r.Undo(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if got := box.b.Ask("", "SHOW DATABASES LIKE 'shop'"); len(got) != 0 {
		t.Error("undo left the database")
	}
}
