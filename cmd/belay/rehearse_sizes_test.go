package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"belay/remote/remotetest"
)

const sizesPlan = `belay: 1
name: sizes
environment: production
rehearsal: %s
hosts: {here: {local: true}}
vars: {db: prod}
secrets: {pg: {env: SIZES_PG}, my: {env: SIZES_MY}}
prepare:
  - step: Copy the shop
    on: here
    postgres.copy: {from: {addr: "%s", user: %s, password: {secret: pg}, database: "${{ db }}"}, to: {addr: "%s", user: %s, password: {secret: pg}, database: "${{ db }}"}}
  - step: Copy the blog
    on: here
    mysql.copy: {from: {addr: "%s", user: belay, password: {secret: my}}, to: {addr: "%s", user: belay, password: {secret: my}}, databases: ["${{ db }}"], accounts: none}
cutover:
  - step: Note it
    on: here
    run: {script: "echo moved >>%s/ledger", undo: "echo back >>%s/ledger"}
`

// TestSizesOfDatabases: a plan that copies PostgreSQL and MariaDB is rehearsed
// with little data, and production has as much; then far more, which is said
// before anything begins, and the licence holds; an old rehearsal and a changed
// plan have none, and whoever breaks the glass says why.
func TestSizesOfDatabases(t *testing.T) {
	remotetest.Need(t, "pg_dump", "mariadbd", "postgres")
	dir := t.TempDir()
	var pg [2]*remotetest.Postgres
	var my [2]*remotetest.MariaDB
	for i := range pg {
		pg[i] = remotetest.StartPostgres(t, remotetest.PostgresOptions{Password: "elephant-7"})
		my[i] = remotetest.StartMariaDB(t, remotetest.MariaDBOptions{Password: "sealion-7"})
	}
	fill := func(db string) {
		pg[0].Exec("postgres", "CREATE DATABASE "+db)
		pg[0].Exec(db, "CREATE TABLE orders (id int PRIMARY KEY, text text)")
		my[0].Exec("", "CREATE DATABASE "+db+"; CREATE TABLE "+db+".posts (id int PRIMARY KEY, text text)")
	}
	grow := func(db string, from, to int) {
		pg[0].Exec(db, fmt.Sprintf("INSERT INTO orders SELECT n, repeat(md5(n::text), 10) FROM generate_series(%d, %d) n", from, to))
		pg[0].Exec(db, "ANALYZE orders")
		my[0].Exec(db, fmt.Sprintf("INSERT INTO posts SELECT seq, REPEAT(MD5(seq), 10) FROM seq_%d_to_%d", from, to))
		my[0].Exec(db, "ANALYZE TABLE posts")
	}
	for _, db := range []string{"staging", "prod", "hasty"} {
		fill(db)
		grow(db, 1, 2000)
	}
	planned := func(name, rehearsal string, edit ...string) {
		text := fmt.Sprintf(sizesPlan, rehearsal, pg[0].Addr, pg[0].User, pg[1].Addr, pg[1].User, my[0].Addr, my[1].Addr, dir, dir)
		write(t, filepath.Join(dir, name), strings.NewReplacer(edit...).Replace(text))
	}
	planned("plan.yaml", "required")
	planned("aged.yaml", "{max_age: 1s}")
	planned("other.yaml", "required", "echo moved", "echo moved on")
	write(t, filepath.Join(dir, "staging.yaml"), "environment: staging\nvars: {db: staging}\n")
	write(t, filepath.Join(dir, "hasty.yaml"), "vars: {db: hasty}\n")
	accepts := strings.Replace(labAnswers("here", "  - {question: close, choice: close, text: here}"), `"a lab"`, `"a lab", times: 99`, 1)
	write(t, filepath.Join(dir, "forward.yaml"), accepts)
	write(t, filepath.Join(dir, "back.yaml"), strings.Replace(accepts, "choice: close, text: here", "choice: rollback, reason: tried", 1)+"  - {question: rollback, choice: go, text: here, reason: tried}\n")
	write(t, filepath.Join(dir, "ledger"), "")
	env := []string{"HOME=" + dir, "BELAY_STATE=" + dir, "BELAY_LOCK=" + filepath.Join(dir, "lock"), "SIZES_PG=elephant-7", "SIZES_MY=sealion-7"}
	does := func(code int, args []string, says ...string) string {
		t.Helper()
		got, out := belay(t, dir, env, args...)
		for _, s := range says {
			if not := strings.TrimPrefix(s, "! "); (not == s) != strings.Contains(out, not) {
				t.Errorf("%s: not so: %q", args, s)
			}
		}
		if got != code || t.Failed() {
			logs, _ := filepath.Glob(filepath.Join(dir, "runs", "*", "logs", "copy-*.log"))
			for _, l := range logs {
				b, _ := os.ReadFile(l)
				out += "\n" + filepath.Base(l) + ": " + string(b)
			}
			t.Fatalf("%s: %d, want %d\n%s", args, got, code, out)
		}
		return out
	}
	does(exitNoGo, []string{"assess", "plan.yaml"}, "not rehearsed yet")
	does(exitClosed, []string{"rehearse", "plan.yaml", "--with", "staging.yaml", "--headless", "--answers", "back.yaml"}, "Licence for production: rehearsed")
	if got := pg[1].Ask("postgres", "SELECT datname FROM pg_database WHERE datname = 'staging'"); len(got) > 0 {
		t.Errorf("the rehearsal left %q", got)
	}

	// As much as was rehearsed, and then two hundred times that.
	does(exitClosed, []string{"assess", "plan.yaml"}, "rehearsed ", "! the times are scaled")
	grow("prod", 2001, 100000)
	does(exitClosed, []string{"assess", "plan.yaml"}, "the times are scaled, and a guess")
	does(exitClosed, []string{"plan", "plan.yaml"}, "rehearsed with", ", here ")
	does(exitNoGo, []string{"assess", "aged.yaml"}, "is too old: the plan allows")
	does(exitNoGo, []string{"assess", "other.yaml"}, "was of another plan", "changed since: cutover: Note it")

	does(exitNoGo, []string{"run", "other.yaml", "--with", "hasty.yaml", "--headless", "--answers", "forward.yaml"}, "was of another plan")
	does(exitClosed, []string{"run", "other.yaml", "--with", "hasty.yaml", "--headless", "--answers", "forward.yaml", "--without-rehearsal", "the old disk dies"})
	does(exitClosed, []string{"report"}, "the old disk dies")
	does(exitClosed, []string{"run", "plan.yaml", "--headless", "--answers", "forward.yaml"}, "run ended: closed")
	does(exitClosed, []string{"report"}, "the times are scaled, and a guess")
	if a, b := pg[1].Ask("prod", "SELECT count(*) FROM orders"), my[1].Ask("prod", "SELECT COUNT(*) FROM posts"); a[0] != "100000" || b[0] != "100000" {
		t.Errorf("orders %s, posts %s", a, b)
	}
}
