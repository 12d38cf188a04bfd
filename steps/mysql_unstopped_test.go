package steps

import (
	"strings"
	"testing"

	"belay/checks"
	"belay/remote"
)

// TestMySQLNamesWhoIsNotStopped: whoever may write while a server is read-only,
// and whoever would not be let in after the move, is named before anything
// has changed.
func TestMySQLNamesWhoIsNotStopped(t *testing.T) { eachMySQL(t, namesWhoIsNotStopped) }

func namesWhoIsNotStopped(t *testing.T, start mysqlStart) {
	box := newMySQLMove(t, start, nil, []string{"--log-bin=bin"})
	right, both, source := "READ ONLY ADMIN", ": dba@10.%, cron@%", ": dba@10.%"
	if box.a.Programs != "" {
		right, both, source = "CONNECTION_ADMIN", "", "" // super_read_only stops everybody
	}
	box.a.Exec("", "CREATE USER dba@'10.%' IDENTIFIED BY 'x'; GRANT "+right+" ON *.* TO dba@'10.%'")
	box.b.Exec("", "CREATE USER cron@'%' IDENTIFIED BY 'x'; GRANT ALL ON *.* TO cron@'%'")
	w := checks.World{Hosts: remote.Hosts{"db": box.e.Hosts["db"]}, Secret: box.e.Secret}
	said := func(what string, c checks.Check) string {
		found, err := c.Assess(t.Context(), w)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		for _, f := range found {
			if strings.Contains(f.Text, "read_only does not stop") || strings.Contains(f.Text, "the target lacks, and") {
				if f.Level != checks.Warn || f.Fix == "" {
					t.Errorf("%s: %+v", what, f)
				}
				return f.Text
			}
		}
		return ""
	}
	back := &mysqlSwitch{mysqlPair: box.pair(), Reverse: box.b.Addr}
	if got := said("switch", &mysqlReverseNeed{back, "db"}); !strings.HasSuffix(got, both) || (got == "") != (both == "") {
		t.Errorf("switch: %q", got)
	}
	f := &mysqlFreeze{mysqlStore: mysqlStoreOf(box.a, "a")}
	if got := said("freeze", &mysqlUnstopped{f, "db"}); !strings.HasSuffix(got, source) || (got == "") != (source == "") {
		t.Errorf("freeze: %q", got)
	}
	f.Lock = []string{"dba@10.%"}
	if got := said("freeze with lock", &mysqlUnstopped{f, "db"}); got != "" {
		t.Errorf("freeze with lock: %q", got)
	}
	r := box.replicate()
	if got := said("copy of accounts", &mysqlCopyNeed{r.copyStep(), "db"}); got != "" {
		t.Errorf("accounts that come along: %q", got)
	}
	r.Accounts = "none"
	if got := said("copy without accounts", &mysqlCopyNeed{r.copyStep(), "db"}); !strings.HasSuffix(got, ": app@%") {
		t.Errorf("accounts that stay behind: %q", got)
	}
}
