package steps

import (
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/ssh"
)

// TestMySQLCopyOverSSH: both servers are reached through a real sshd, which
// drops the connection in the middle; the next attempt makes it whole.
func TestMySQLCopyOverSSH(t *testing.T) {
	sshd := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
	n := ssh.NewNetwork(ssh.Options{Config: sshd.Config, Home: sshd.Home, Agent: "none"})
	t.Cleanup(func() { n.Close() })
	h, err := n.Open("server", ssh.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	box := newMySQLBox(t, remotetest.MariaDBOptions{Password: `o"n'e`}, remotetest.MariaDBOptions{Password: "two"})
	box.e.Host, box.e.Hosts = h, remote.Hosts{"db": h}
	sql, err := os.ReadFile("mysql/testdata/nasty.sql")
	if err != nil {
		t.Fatal(err)
	}
	box.a.Exec("", string(sql))
	box.a.Exec("shop", "CREATE TABLE big (id int PRIMARY KEY, t text); INSERT INTO big SELECT seq, REPEAT(CHAR(65 + seq % 26), 900) FROM seq_1_to_20000")
	var cut sync.Once
	box.e.Say = func(p Progress) {
		if p.Done > 4<<20 {
			cut.Do(sshd.KillSessions)
		}
	}
	c := &mysqlCopy{From: mysqlStoreOf(box.a, "a"), To: mysqlStoreOf(box.b, "b"), Databases: []string{"shop"}, Accounts: "none",
		Events: "as_they_are", LockWait: 10e9, Lanes: 3, PartSize: 2 << 20, Proof: "fingerprint"}
	box.b.Exec("", "SET GLOBAL innodb_lock_wait_timeout = 5")
	if err := c.Apply(t.Context(), box.e); err == nil {
		t.Fatal("the link was not cut")
	}
	for try := 0; ; try++ {
		err := c.Apply(t.Context(), box.e)
		if err == nil {
			break
		}
		// The server may take a moment to see that the old sessions are gone.
		if try == 5 || strings.Contains(err.Error(), "not empty") {
			t.Fatalf("%v\n%s", err, box.log)
		}
	}
	if err := c.Verify(t.Context(), box.e); err != nil {
		t.Error(err)
	}
	box.e.Hosts = remote.Hosts{"db": remote.Local("db")}
	if d := cmp.Diff(mysqlAll(t, box, box.a, "a", "shop"), mysqlAll(t, box, box.b, "b", "shop")); d != "" {
		t.Errorf("source and target (-source +target):\n%s", d)
	}
}
