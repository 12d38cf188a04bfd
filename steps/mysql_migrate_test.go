package steps

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"belay/remote"
	"belay/remote/remotetest"
)

// newMySQLMigrate is the path of a chat server from 1.6 to 2.0, on a database
// at 1.7.
func newMySQLMigrate(t *testing.T, start mysqlStart) (*mysqlBox, *mysqlMigrate) {
	t.Helper()
	remotetest.Need(t, "mariadb-dump", "mariadb", "setsid")
	a := start(t, remotetest.MySQLOptions{Password: "one'"})
	a.UsePrograms()
	run := &runBox{home: t.TempDir(), over: remote.Local("db")}
	t.Cleanup(func() { endJobs(t, run.home) })
	h := run.host()
	box := &mysqlBox{a: a}
	box.e, box.log = runEnv(h)
	box.e.Hosts = remote.Hosts{"db": h}
	box.e.Secret = mysqlSecrets(map[string]string{"a": "one'", "token": "t0ken"})
	box.a.Exec("", "CREATE DATABASE chat CHARACTER SET utf8mb4; CREATE TABLE chat.schema_migrations (version VARCHAR(255) PRIMARY KEY, applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, description TEXT);"+
		"INSERT INTO chat.schema_migrations (version, applied_at) VALUES ('1.6.0', '2024-01-01'), ('1.7.0', '2024-01-01');"+
		"CREATE TABLE chat.users (id int PRIMARY KEY, is_admin int); INSERT INTO chat.users VALUES (1, 1), (2, 0)")
	file := filepath.Join(t.TempDir(), "1.8-to-1.9.sql")
	if err := os.WriteFile(file, []byte("CREATE TABLE roles (name varchar(20));\nINSERT INTO roles VALUES ('admin');\nALTER TABLE users ADD COLUMN role varchar(20);\nINSERT INTO schema_migrations (version) VALUES ('1.9.0');\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := &mysqlMigrate{mysqlStore: mysqlStoreOf(a, "a"), Database: "chat", Table: "schema_migrations", Backups: filepath.Join(t.TempDir(), "back ups"), Hops: []mysqlHop{
		{From: "1.6.0", To: "1.7.0", SQL: "SELECT 1"},
		{From: "1.7.0", To: "1.8.0", SQL: "ALTER TABLE users ADD COLUMN mail varchar(50)"},
		{From: "1.8.0", To: "1.9.0", File: file},
		{From: "1.9.0", To: "2.0.0", Run: `[ "$token" = t0ken ] && echo to two`, Secrets: []string{"token"}},
	}}
	if err := m.Validate(); err != nil {
		t.Fatal(err)
	}
	return box, m
}

func (b *mysqlBox) versions(t *testing.T) string {
	t.Helper()
	return strings.Join(b.a.Ask("chat", "SELECT version FROM schema_migrations ORDER BY version"), " ")
}

// TestMySQLMigrate: from where the tracking table is to the end, a dump before
// every hop, and back to the beginning.
func TestMySQLMigrate(t *testing.T) { eachMySQL(t, migrates) }

func migrates(t *testing.T, start mysqlStart) {
	box, m := newMySQLMigrate(t, start)
	todo, err := m.Pending(t.Context(), box.e)
	if err != nil || len(todo) != 3 || !strings.Contains(todo[0].Text, "1.7.0 → 1.8.0") {
		t.Fatalf("pending: %v, %v", todo, err)
	}
	if err := m.Undo(t.Context(), box.e); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := m.Apply(t.Context(), box.e); err != nil {
			t.Fatalf("%v\n%s", err, box.log)
		}
	}
	if err := m.Verify(t.Context(), box.e); err != nil {
		t.Error(err)
	}
	if got := box.versions(t); got != "1.6.0 1.7.0 1.8.0 1.9.0 2.0.0" {
		t.Errorf("versions %s", got)
	}
	dumps, _ := filepath.Glob(m.Backups + "/*.sql.gz")
	if len(dumps) != 3 {
		t.Errorf("dumps: %s", dumps)
	}
	for _, d := range dumps { // MySQL's own program dumps MySQL
		text, err := exec.Command("gzip", "-dc", d).Output()
		if err != nil || bytes.Contains(text, []byte("MariaDB dump")) == (box.a.Programs != "") || !bytes.Contains(text, []byte("INSERT INTO `users`")) {
			t.Errorf("%s: %v: %.200s", d, err, text)
		}
	}
	for range 2 {
		if err := m.Undo(t.Context(), box.e); err != nil {
			t.Fatalf("%v\n%s", err, box.log)
		}
	}
	if got := box.versions(t); got != "1.6.0 1.7.0" {
		t.Errorf("versions after undo: %s", got)
	}
	if d := cmp.Diff([]string{"id", "is_admin"}, box.a.Ask("chat", "SHOW COLUMNS FROM users")); d != "" {
		t.Errorf("columns after undo:\n%s", d)
	}
	if s := box.log.String(); strings.Contains(s, "one'") || strings.Contains(s, "t0ken") {
		t.Errorf("a secret is in the log:\n%s", s)
	}
}

// TestMySQLMigrateHalfWay: a hop that fails is told with its statement; again,
// the dump is restored first, and nothing is done twice.
func TestMySQLMigrateHalfWay(t *testing.T) { eachMySQL(t, migratesHalfWay) }

func migratesHalfWay(t *testing.T, start mysqlStart) {
	box, m := newMySQLMigrate(t, start)
	box.a.Exec("chat", "ALTER TABLE users ADD COLUMN role int") // in the way of the third statement of 1.9
	err := m.Apply(t.Context(), box.e)
	if err == nil || !strings.Contains(err.Error(), "hop 1.8.0 → 1.9.0: statement 3 of 4") || !strings.Contains(err.Error(), m.Backups) {
		t.Fatalf("apply: %v", err)
	}
	if got := box.a.Ask("chat", "SHOW TABLES LIKE 'roles'"); len(got) != 1 {
		t.Fatal("the hop was not half way")
	}
	todo, err := m.Pending(t.Context(), box.e)
	if err != nil || len(todo) != 1 || !strings.Contains(todo[0].Text, "restore") {
		t.Errorf("pending: %v, %v", todo, err)
	}
	// The operator mends the file.
	if err := os.WriteFile(m.Hops[2].File, []byte("CREATE TABLE roles (name varchar(20));\nALTER TABLE users MODIFY COLUMN role varchar(20);\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := m.Apply(t.Context(), box.e); err != nil {
		t.Fatalf("%v\n%s", err, box.log)
	}
	if got := box.versions(t); got != "1.6.0 1.7.0 1.8.0 1.9.0 2.0.0" {
		t.Errorf("versions %s", got)
	}
	if got := box.a.Ask("chat", "SELECT COUNT(*) FROM roles"); got[0] != "0" {
		t.Errorf("%s rows of the failed hop are there", got[0])
	}
	if err := m.Undo(t.Context(), box.e); err != nil {
		t.Fatal(err)
	}
	if got := box.versions(t); got != "1.6.0 1.7.0" {
		t.Errorf("versions after undo: %s", got)
	}
}

// TestMySQLMigrateUnexpected: versions that are not on the path stop it before
// anything is changed.
func TestMySQLMigrateUnexpected(t *testing.T) { eachMySQL(t, refusesVersions) }

func refusesVersions(t *testing.T, start mysqlStart) {
	box, m := newMySQLMigrate(t, start)
	box.a.Exec("chat", "INSERT INTO schema_migrations (version, applied_at) VALUES ('1.7.5-custom', '2024-06-01')")
	if err := m.Apply(t.Context(), box.e); err == nil || !strings.Contains(err.Error(), "1.7.5-custom") || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("apply: %v", err)
	}
	if _, err := os.Stat(m.Backups); err == nil {
		t.Error("something was dumped")
	}
	// A hop that leads elsewhere.
	box.a.Exec("chat", "DELETE FROM schema_migrations WHERE version = '1.7.5-custom'")
	m.Hops[1].SQL = "INSERT INTO schema_migrations (version, applied_at) VALUES ('9.9', NOW() + INTERVAL 1 DAY)"
	if err := m.Apply(t.Context(), box.e); err == nil || !strings.Contains(err.Error(), `"9.9" after it`) {
		t.Errorf("apply: %v", err)
	}
	if err := m.Undo(t.Context(), box.e); err != nil {
		t.Fatal(err)
	}
	if got := box.versions(t); got != "1.6.0 1.7.0" {
		t.Errorf("versions after undo: %s", got)
	}
}

// TestMySQLMigrateDirty: a tracking table in golang-migrate's way; what another
// tool left half way is not touched.
func TestMySQLMigrateDirty(t *testing.T) { eachMySQL(t, refusesDirty) }

func refusesDirty(t *testing.T, start mysqlStart) {
	box, m := newMySQLMigrate(t, start)
	box.a.Exec("chat", "DROP TABLE schema_migrations; CREATE TABLE schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL); INSERT INTO schema_migrations VALUES (7, 1)")
	m.Hops = []mysqlHop{{From: "6", To: "7", SQL: "SELECT 1"}, {From: "7", To: "8", SQL: "ALTER TABLE users ADD COLUMN mail varchar(50)"}}
	for name, do := range map[string]func(context.Context, Env) error{"apply": m.Apply, "pending": func(ctx context.Context, e Env) error { _, err := m.Pending(ctx, e); return err }} {
		if err := do(t.Context(), box.e); err == nil || !strings.Contains(err.Error(), "chat.schema_migrations says that version 7 is dirty") || !strings.Contains(err.Error(), "nothing was changed") {
			t.Errorf("%s: %v", name, err)
		}
	}
	box.a.Exec("chat", "UPDATE schema_migrations SET dirty = 0")
	if err := m.Apply(t.Context(), box.e); err != nil {
		t.Fatalf("%v\n%s", err, box.log)
	}
	if err := m.Verify(t.Context(), box.e); err != nil {
		t.Error(err)
	}
	if d := cmp.Diff([]string{"8 0"}, box.a.Ask("chat", "SELECT CONCAT(version, ' ', dirty) FROM schema_migrations")); d != "" {
		t.Errorf("the tracking table:\n%s", d)
	}
	if err := m.Undo(t.Context(), box.e); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"7 0"}, box.a.Ask("chat", "SELECT CONCAT(version, ' ', dirty) FROM schema_migrations")); d != "" {
		t.Errorf("the tracking table after undo:\n%s", d)
	}
}

func TestMySQLMigrateValidate(t *testing.T) {
	hops := []mysqlHop{{From: "1", To: "2", SQL: "SELECT 1"}, {From: "2", To: "3", SQL: "SELECT 1"}}
	for want, m := range map[string]mysqlMigrate{
		"hops.1.from: ": {Database: "a", Backups: "/b", Hops: []mysqlHop{hops[0], {From: "5", To: "6", Run: "x"}}},
		"hops.0.sql: ":  {Database: "a", Backups: "/b", Hops: []mysqlHop{{From: "1", To: "2", SQL: "BEGIN; SELECT 1"}}},
		"hops.0: ":      {Database: "a", Backups: "/b", Hops: []mysqlHop{{From: "1", To: "2"}}},
		"hops.1.to: ":   {Database: "a", Backups: "/b", Hops: []mysqlHop{hops[0], {From: "2", To: "1", Run: "x"}}},
		"to: ":          {Database: "a", Backups: "/b", Hops: hops, Target: "4"},
		"initial: ":     {Database: "a", Backups: "/b", Hops: hops, Initial: "4"},
		"backups: ":     {Database: "a", Backups: "b", Hops: hops},
	} {
		if err := m.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	ok := mysqlMigrate{Database: "a", Backups: "/b", Hops: hops}
	if err := ok.Validate(); err != nil {
		t.Error(err)
	}
}
