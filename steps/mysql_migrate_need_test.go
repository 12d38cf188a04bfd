package steps

import (
	"testing"

	"belay/checks"
	"belay/remote"
)

// TestMySQLMigrateOnPath: a version that the path does not know blocks before
// anything has changed; a database that is not there yet does not.
func TestMySQLMigrateOnPath(t *testing.T) { eachMySQL(t, judgesVersions) }

func judgesVersions(t *testing.T, start mysqlStart) {
	box, m := newMySQLMigrate(t, start)
	judge := func(want checks.Level) {
		t.Helper()
		n := &mysqlOnPath{m, "db"}
		found, err := n.Assess(t.Context(), checks.World{Hosts: remote.Hosts{"db": box.e.Host}, Secret: box.e.Secret})
		if err != nil || len(found) != 1 || found[0].Level != want {
			t.Errorf("found %v, %v", found, err)
		}
	}
	judge(checks.Pass)
	box.a.Exec("", "INSERT INTO chat.schema_migrations VALUES ('1.7.3-rc1', '2024-06-01', '')")
	judge(checks.Block)
	box.a.Exec("", "DROP DATABASE chat")
	judge(checks.Pass)
}
