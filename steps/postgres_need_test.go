package steps

import (
	"testing"

	"belay/checks"
	"belay/remote"
	"belay/remote/remotetest"
)

// A database that an earlier step of the plan makes must not keep the plan
// from beginning.
func TestPostgresNeedOfALaterDatabase(t *testing.T) {
	b := newPgBox(t, remotetest.PostgresOptions{})
	e, _ := b.env()
	s := &postgresSQL{postgresStore: b.store("later"), SQL: "select 1", InTransaction: true}
	found, err := s.Needs("db")[0].Assess(t.Context(), checks.World{Hosts: remote.Hosts{"db": e.Host}, Secret: e.Secret})
	if err != nil || len(found) != 1 || found[0].Level != checks.Warn || found[0].Fix != "go on only if an earlier step makes it" {
		t.Errorf("%+v, %v", found, err)
	}
}
