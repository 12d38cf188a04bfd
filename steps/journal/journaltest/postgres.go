package journaltest

import (
	"testing"

	"belay/remote/remotetest"
)

// Postgres is a PostgreSQL server of one test's own, on a loopback port. Its
// role and database are named belay, and it trusts whoever comes.
type Postgres struct {
	*remotetest.Postgres
	URL string
}

// StartPostgres starts one and ends it with the test.
func StartPostgres(t testing.TB) *Postgres {
	t.Helper()
	p := remotetest.StartPostgres(t, remotetest.PostgresOptions{Settings: []string{"fsync = on"}}) // a shared journal refuses another
	p.Exec("postgres", "create database belay")
	return &Postgres{p, p.URL("belay")}
}

// Start starts the server, anew after Kill, and waits until it answers.
func (p *Postgres) Start(t testing.TB) {
	t.Helper()
	p.Postgres.Start()
}

// Exec runs SQL as the test, beside belay.
func (p *Postgres) Exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	p.Postgres.Exec("belay", sql, args...)
}
