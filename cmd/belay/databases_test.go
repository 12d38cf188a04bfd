package main

import (
	"strings"
	"testing"

	"belay/remote/lab/dockerlab"
)

// nine are the two servers of scenario 5: apps, with nine databases for its
// applications, and db, with nine empty ones.
func nine(t *testing.T) *dockerlab.Lab {
	t.Helper()
	l := dockerlab.Up(t,
		dockerlab.Server{Name: "apps", Databases: true, Files: dockerlab.Tree(t, "testdata/databases/apps")},
		dockerlab.Server{Name: "db", Databases: true, Files: dockerlab.Tree(t, "testdata/databases/db")})
	l.Exec("db", "/root/make")
	l.Exec("apps", "/root/make")
	if before := l.Exec("apps", "/root/count"); before != everybody {
		t.Fatalf("before:\n%s", before)
	}
	return l
}

// everybody is what the applications find at the addresses that they know:
// before, afterwards, and after a rollback.
const everybody = `gitlab 29 projects, 5 users
keycloak 24 tables, 3 users
megabuild 20000 trades
appwrite 21 tables
mailcow 60 mailboxes
redis 6379 304 keys
redis 6380 304 keys
redis 6381 304 keys
redis 6382 304 keys
`

const nineOverlay = `environment: lab
vars:
  db_address: db
  apps_address: apps
  stop: lab-db stop "$1"
  start: lab-db start "$1"
  retire: mv /srv/db/"$1" /srv/db/"$1".retired
  unretire: '[ ! -e /srv/db/"$1".retired ] || mv -T /srv/db/"$1".retired /srv/db/"$1"'
  kept: 15s
  look_every: 300ms
  bad_for: 2s
secrets:
  postgres_old: {env: LAB_ADMIN}
  postgres_new: {env: LAB_ADMIN}
  mariadb_old: {env: LAB_ADMIN}
  mariadb_new: {env: LAB_ADMIN}
  redis: {env: LAB_ADMIN}
  gitlab: {env: LAB_GITLAB}
  keycloak: {env: LAB_KEYCLOAK}
  ws_gibd: {env: LAB_WS_GIBD}
  appwrite: {env: LAB_APPWRITE}
  mailcow: {env: LAB_MAILCOW}
`

var nineSecrets = []string{"LAB_ADMIN=lab-admin", "LAB_GITLAB=app-gitlab", "LAB_KEYCLOAK=app-keycloak", "LAB_WS_GIBD=app-ws_gibd", "LAB_APPWRITE=app-appwrite", "LAB_MAILCOW=app-mailcow"}

func runNine(t *testing.T, l *dockerlab.Lab, then ...string) (int, string) {
	t.Helper()
	return onLab(t, l, "databases-to-one-host", nineOverlay, labAnswers("apps", then...), nineSecrets...)
}

func TestDatabasesForward(t *testing.T) {
	l := nine(t)
	code, out := runNine(t, l, toTheEnd, "  - {question: close, choice: close, text: apps}")
	if code != exitClosed {
		t.Fatalf("belay ended with %d:\n%s", code, out)
	}
	if after := l.Exec("apps", "/root/count"); after != everybody {
		t.Errorf("through the proxies:\n%s", after)
	}
	// What is written at the old addresses arrives on the new host.
	l.Exec("apps", "/root/write")
	if got := l.Exec("db", "/root/written"); got != "user6\nnew@example.org\nafter\n" {
		t.Errorf("written through the proxies: %q", got)
	}
	if left := l.Exec("apps", "ls /srv/db; pgrep -l 'postgres|mariadbd|redis-server' || :"); strings.Count(left, ".retired\n") != 9 || strings.Count(left, "\n") != 9 {
		t.Errorf("of the old servers there is:\n%s", left)
	}
}

// TestDatabasesRollBackWhenOneDiffers has somebody write to a new server
// before it is proved equal.
func TestDatabasesRollBackWhenOneDiffers(t *testing.T) {
	l := nine(t)
	l.Exec("db", `nohup sh -c 'until REDISCLI_AUTH=lab-admin redis-cli -p 6383 set session:6382:17 tampered xx | grep -q OK; do sleep 0.1; done' >/dev/null 2>&1 </dev/null &`)
	code, out := runNine(t, l, "  - {question: failed, step: prove-all-nine-equal, choice: rollback}", `  - {question: rollback, choice: go, text: apps, reason: "they differ"}`)
	if code != exitRolledBack {
		t.Fatalf("belay ended with %d:\n%s", code, out)
	}
	if !strings.Contains(out, "session:6382:17") || strings.Contains(out, "Stop gibd-postgres") {
		t.Errorf("the difference is not named, or nobody minded it:\n%s", out)
	}
	if after := l.Exec("apps", "/root/count"); after != everybody {
		t.Errorf("after the rollback:\n%s", after)
	}
	l.Exec("apps", "/root/write") // all take writes again
	if socat, err := l.Try("apps", "pgrep socat"); err == nil {
		t.Errorf("there are proxies: %s", socat)
	}
}
