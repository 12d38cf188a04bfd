package mysql

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestLink: what either flavour is told. No MySQL server is at hand, so its
// words are held against its manual (8.4, 15.4.2).
func TestLink(t *testing.T) {
	l := link{name: "belay_1", host: "10.0.0.8", port: 3307, user: "belay_1", password: "se'cret", tls: "verify", databases: []string{"shop", "my_o%ther", `b\s`}}
	for _, c := range []struct {
		version string
		want    []string
	}{
		{"10.11.6-MariaDB-0+deb12u1-log", []string{
			`CHANGE MASTER 'belay_1' TO MASTER_HOST = '10.0.0.8', MASTER_PORT = 3307, MASTER_USER = 'belay_1', MASTER_PASSWORD = 'se\'cret', MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 5, MASTER_SSL = 1, MASTER_SSL_VERIFY_SERVER_CERT = 1`,
			"SET SESSION default_master_connection = 'belay_1'",
			`SET GLOBAL replicate_wild_do_table = 'shop.%,my\\_o\\%ther.%,b\\\\s.%'`,
			"START SLAVE 'belay_1'", "STOP SLAVE 'belay_1'", "RESET SLAVE 'belay_1' ALL", "SET GLOBAL gtid_slave_pos = '0-1-5'",
			"CREATE OR REPLACE USER `belay_1`@`%` IDENTIFIED VIA mysql_native_password USING '*A7EA126B023F242D2CAC6BA31FE0704AA42F49E8'",
			"GRANT REPLICATION SLAVE ON *.* TO `belay_1`@`%`",
		}},
		{"8.4.3", []string{
			`CHANGE REPLICATION SOURCE TO SOURCE_HOST = '10.0.0.8', SOURCE_PORT = 3307, SOURCE_AUTO_POSITION = 1, SOURCE_CONNECT_RETRY = 5, SOURCE_RETRY_COUNT = 86400, SOURCE_SSL = 1, SOURCE_SSL_VERIFY_SERVER_CERT = 1, GET_SOURCE_PUBLIC_KEY = 1 FOR CHANNEL 'belay_1'`,
			`CHANGE REPLICATION FILTER REPLICATE_WILD_DO_TABLE = ('shop.%', 'my\\_o\\%ther.%', 'b\\\\s.%') FOR CHANNEL 'belay_1'`,
			`START REPLICA USER = 'belay_1' PASSWORD = 'se\'cret' FOR CHANNEL 'belay_1'`, "STOP REPLICA FOR CHANNEL 'belay_1'", "RESET REPLICA ALL FOR CHANNEL 'belay_1'", "SET GLOBAL gtid_purged = '+0-1-5'",
			"CREATE USER IF NOT EXISTS `belay_1`@`%` IDENTIFIED BY 'se\\'cret'", "ALTER USER `belay_1`@`%` IDENTIFIED BY 'se\\'cret' ACCOUNT UNLOCK", "GRANT REPLICATION SLAVE ON *.* TO `belay_1`@`%`",
		}},
	} {
		v, err := ParseVersion(c.version)
		if err != nil {
			t.Fatal(err)
		}
		l.v = v
		got := append([]string{l.change()}, l.filter()...)
		got = append(got, l.start(), l.stop(), l.forget(), l.position("0-1-5"))
		if d := cmp.Diff(c.want, append(got, l.account(v)...)); d != "" {
			t.Errorf("%s:\n%s", c.version, d)
		}
	}
}

// TestLinkHash holds the hash against what PASSWORD('password') is known to be.
func TestLinkHash(t *testing.T) {
	got := link{user: "u", password: "password"}.account(Version{MariaDB: true})
	if want := "CREATE OR REPLACE USER `u`@`%` IDENTIFIED VIA mysql_native_password USING '*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19'"; got[0] != want {
		t.Error(got[0])
	}
}

func TestLinkStatus(t *testing.T) {
	l := link{v: Version{Major: 8, Minor: 4}, name: "x", databases: []string{"shop", "a"}}
	got := l.read(map[string]string{"replica_io_running": "Yes", "replica_sql_running": "No", "last_io_errno": "0", "last_sql_error": "no such table", "seconds_behind_source": "",
		"replicate_wild_do_table": "a.%,shop.%", "retrieved_gtid_set": "u:1-5,\nv:2"})
	want := linkStatus{there: true, io: true, sqlError: "no such table", seconds: -1, received: "u:1-5,v:2", filtered: true}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(linkStatus{})); d != "" {
		t.Error(d)
	}
}

func TestUnfit(t *testing.T) {
	for _, c := range []struct {
		from, to string
		ok       bool
	}{
		{"10.11.6-MariaDB", "10.11.2-MariaDB", true}, {"10.6.1-MariaDB", "11.4.2-MariaDB", true}, {"11.4.2-MariaDB", "10.11.2-MariaDB", false},
		{"10.3.1-MariaDB", "10.11.2-MariaDB", false}, {"8.0.36", "8.4.1", true}, {"8.0.22", "8.4.1", false}, {"5.7.44", "8.4.1", false}, {"8.0.36", "10.11.2-MariaDB", false},
	} {
		from, _ := ParseVersion(c.from)
		to, _ := ParseVersion(c.to)
		if err := Unfit(from, to); (err == nil) != c.ok {
			t.Errorf("%s to %s: %v", c.from, c.to, err)
		}
	}
}

func TestGTID(t *testing.T) {
	for _, c := range []struct {
		source, replica string
		want            int64
	}{
		{"0-1-500", "0-1-480", 20}, {"0-1-500,7-2-3", "0-1-500", 3}, {"0-1-5", "0-2-9,8-8-8", 0}, {"", "", 0}, {"0-1-5", "", 5},
	} {
		if got, err := gtidBehind(c.source, c.replica); err != nil || got != c.want {
			t.Errorf("%q behind %q: %d, %v", c.replica, c.source, got, err)
		}
	}
	if _, err := gtidBehind("bin.000001:328", ""); err == nil {
		t.Error("a file is no GTID")
	}
	if got, err := gtidMerge("0-1-5", "0-2-9,8-2-3"); err != nil || got != "0-1-5,8-2-3" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := gtidOwn("0-1-5,0-2-7,9-2-3", 2, 9); err != nil || got != "0-2-7" {
		t.Errorf("%q, %v", got, err)
	}
	for set, want := range map[string]int64{"": 0, "3E11FA47-71CA-11E1-9E33-C80AA9429562:1-5:7": 6, "3e11fa47-71ca-11e1-9e33-c80aa9429562:2,\n4e11fa47-71ca-11e1-9e33-c80aa9429562:tag:1-10": 11} {
		if got := gtidSetSize(set); got != want {
			t.Errorf("%q has %d", set, got)
		}
	}
	if got := gtidSetOf("aa:1-5,\nBB:2:4", "bb"); got != "BB:2:4" {
		t.Errorf("%q", got)
	}
}
