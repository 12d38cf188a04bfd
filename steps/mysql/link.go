package mysql

import (
	"context"
	"crypto/sha1"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// link is one replication connection (MySQL: channel) in the words of its
// replica. MySQL 8.4 knows no MASTER and SLAVE any more; 8.0.23 and later know
// the new words. (MySQL 8.4 manual, 15.4.2; MariaDB: "CHANGE MASTER TO".)
type link struct {
	v              Version
	name           string
	host           string
	port           int
	user, password string
	tls            string // as Server.TLS
	ca             string // path for the replica's server; empty: its machine's own
	databases      []string
	held           bool // the replica's server was told by belay not to start it by itself
}

// retries is how often a replica of MySQL tries to connect. The last digit is
// belay's mark of held: it is forgotten with the link.
func (l link) retries() string {
	if l.held {
		return "86401"
	}
	return "86400"
}

// change says where the source is. It holds the password on MariaDB.
func (l link) change() string {
	yes := map[bool]string{false: "0", true: "1"}
	ssl, verify := l.tls == "require" || l.tls == "verify", l.tls == "verify"
	if l.v.MariaDB {
		return "CHANGE MASTER " + String(l.name) + " TO MASTER_HOST = " + String(l.host) + ", MASTER_PORT = " + strconv.Itoa(l.port) +
			", MASTER_USER = " + String(l.user) + ", MASTER_PASSWORD = " + String(l.password) +
			", MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 5, MASTER_SSL = " + yes[ssl] + ", MASTER_SSL_VERIFY_SERVER_CERT = " + yes[verify] + l.authority("MASTER")
	}
	return "CHANGE REPLICATION SOURCE TO SOURCE_HOST = " + String(l.host) + ", SOURCE_PORT = " + strconv.Itoa(l.port) +
		", SOURCE_AUTO_POSITION = 1, SOURCE_CONNECT_RETRY = 5, SOURCE_RETRY_COUNT = " + l.retries() + ", SOURCE_SSL = " + yes[ssl] +
		", SOURCE_SSL_VERIFY_SERVER_CERT = " + yes[verify] + l.authority("SOURCE") + ", GET_SOURCE_PUBLIC_KEY = 1 FOR CHANNEL " + String(l.name)
}

func (l link) authority(word string) string {
	if l.ca == "" || l.tls != "verify" {
		return ""
	}
	return ", " + word + "_SSL_CA = " + String(l.ca)
}

// filter lets only the databases through, told by the tables that a change is
// made to. (Filters by the session's default database, replicate_do_db, lose
// an ALTER TABLE that is given from another one.) Either flavour forgets it
// when the replica's server is started anew.
func (l link) filter() []string {
	if l.v.MariaDB {
		return []string{"SET SESSION default_master_connection = " + String(l.name), "SET GLOBAL replicate_wild_do_table = " + String(strings.Join(l.patterns(), ","))}
	}
	var all []string
	for _, p := range l.patterns() {
		all = append(all, String(p))
	}
	return []string{"CHANGE REPLICATION FILTER REPLICATE_WILD_DO_TABLE = (" + strings.Join(all, ", ") + ") FOR CHANNEL " + String(l.name)}
}

// patterns match all tables of the databases.
func (l link) patterns() []string {
	var all []string
	for _, d := range l.databases {
		all = append(all, strings.NewReplacer(`\`, `\\`, "_", `\_`, "%", `\%`).Replace(d)+".%")
	}
	return all
}

// start begins. MySQL is given the password only here, and does not keep it.
func (l link) start() string {
	if l.v.MariaDB {
		return "START SLAVE " + String(l.name)
	}
	return "START REPLICA USER = " + String(l.user) + " PASSWORD = " + String(l.password) + " FOR CHANNEL " + String(l.name)
}

func (l link) stop() string {
	if l.v.MariaDB {
		return "STOP SLAVE " + String(l.name)
	}
	return "STOP REPLICA FOR CHANNEL " + String(l.name)
}

// forget ends it for good.
func (l link) forget() string {
	if l.v.MariaDB {
		return "RESET SLAVE " + String(l.name) + " ALL"
	}
	return "RESET REPLICA ALL FOR CHANNEL " + String(l.name)
}

// position sets where a replica begins that applied nothing yet. The old
// position of MySQL cannot be taken back, only added to.
func (l link) position(at string) string {
	if l.v.MariaDB {
		return "SET GLOBAL gtid_slave_pos = " + String(at)
	}
	return "SET GLOBAL gtid_purged = " + String("+"+at)
}

// account makes the login on the source, which is of v, with a new password
// and not locked, or gives it one. On MariaDB the server is told a hash only.
func (l link) account(v Version) []string {
	who := Account{User: l.user, Host: "%"}.sql()
	if v.MariaDB {
		first := sha1.Sum([]byte(l.password)) // what mysql_native_password keeps
		return []string{"CREATE OR REPLACE USER " + who + fmt.Sprintf(" IDENTIFIED VIA mysql_native_password USING '*%X'", sha1.Sum(first[:])),
			"GRANT REPLICATION SLAVE ON *.* TO " + who}
	}
	return []string{"CREATE USER IF NOT EXISTS " + who + " IDENTIFIED BY " + String(l.password), "ALTER USER " + who + " IDENTIFIED BY " + String(l.password) + " ACCOUNT UNLOCK",
		"GRANT REPLICATION SLAVE ON *.* TO " + who}
}

// linkStatus is what a replica says of one connection.
type linkStatus struct {
	there    bool
	io, sql  bool
	ioNumber int
	ioError  string
	sqlError string
	seconds  int64  // -1: not known
	received string // GTIDs that arrived
	filtered bool   // by all of the patterns, and no other
	held     bool
}

// status asks the replica.
func (l link) status(ctx context.Context, q Queryer) (st linkStatus, err error) {
	ask, name := "SHOW ALL SLAVES STATUS", "connection_name"
	if !l.v.MariaDB {
		ask, name = "SHOW REPLICA STATUS", "channel_name"
	}
	columns, rows, err := named(ctx, q, ask)
	if err != nil {
		return st, err
	}
	for _, r := range rows {
		row := map[string]string{}
		for i, c := range columns {
			row[strings.NewReplacer("slave", "replica", "master", "source").Replace(strings.ToLower(c))] = r[i].String
		}
		if row[name] == l.name {
			return l.read(row), nil
		}
	}
	return st, nil
}

// read takes a row of SHOW … STATUS, its columns in MySQL's new words and lower case.
func (l link) read(row map[string]string) linkStatus {
	st := linkStatus{there: true, io: row["replica_io_running"] == "Yes", sql: row["replica_sql_running"] == "Yes",
		ioError: row["last_io_error"], sqlError: row["last_sql_error"], seconds: -1}
	st.ioNumber, _ = strconv.Atoi(row["last_io_errno"])
	if st.received = row["gtid_io_pos"]; !l.v.MariaDB {
		st.received = strings.ReplaceAll(row["retrieved_gtid_set"], "\n", "")
	}
	st.held = !l.v.MariaDB && row["source_retry_count"] == link{held: true}.retries()
	if n, err := strconv.ParseInt(row["seconds_behind_source"], 10, 64); err == nil {
		st.seconds = n
	}
	have := strings.Split(row["replicate_wild_do_table"], ",")
	want := l.patterns()
	slices.Sort(have)
	slices.Sort(want)
	st.filtered = slices.Equal(have, want)
	return st
}

// others are the replica's other connections.
func (l link) others(ctx context.Context, q Queryer) ([]string, error) {
	ask, name := "SHOW ALL SLAVES STATUS", "connection_name"
	if !l.v.MariaDB {
		ask, name = "SHOW REPLICA STATUS", "channel_name"
	}
	columns, rows, err := named(ctx, q, ask)
	var all []string
	for _, r := range rows {
		for i, c := range columns {
			if strings.EqualFold(c, name) && r[i].String != l.name {
				all = append(all, strconv.Quote(r[i].String))
			}
		}
	}
	return all, err
}
