package mysql

import (
	"testing"

	"belay/remote/remotetest"
	"belay/remote/secret"
)

// TestDomain: who may not write in a GTID domain of belay's own is not let go
// on in the server's, where its writes would look like somebody else's.
func TestDomain(t *testing.T) {
	m := remotetest.StartMariaDB(t, remotetest.MariaDBOptions{})
	m.Exec("", "create user plain@'%' identified by 'pw'; grant select on *.* to plain@'%'")
	s := serverOf(m)
	s.User, s.Password = "plain", secret.New("pw")
	db, err := s.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	s.Domain = 7
	if db, err := s.Open(t.Context()); Number(err) != errPrivilege {
		if err == nil {
			db.Close()
		}
		t.Errorf("without BINLOG REPLAY: %v", err)
	}
}
