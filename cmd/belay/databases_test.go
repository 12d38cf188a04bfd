package main

import (
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
	return l
}

// everybody is what the applications find, before, after and after a rollback.
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

func TestDatabasesForward(t *testing.T) {
	l := nine(t)
	if before := l.Exec("apps", "/root/count"); before != everybody {
		t.Fatalf("before:\n%s", before)
	}
}
