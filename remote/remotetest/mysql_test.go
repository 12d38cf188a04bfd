package remotetest

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// TestMySQL: the server of a test asks for its account's password, has the
// settings asked for, and keeps what it has over a kill and a stop.
func TestMySQL(t *testing.T) {
	for name, start := range map[string]func(testing.TB, MySQLOptions) *MySQL{"MySQL": StartMySQL, "MariaDB": StartMariaDB} {
		t.Run(name, func(t *testing.T) { serves(t, start) })
	}
}

func serves(t *testing.T, start func(testing.TB, MySQLOptions) *MySQL) {
	m := start(t, MySQLOptions{User: `o'dd"`, Password: `p'\w`, Settings: []string{"--local-infile=OFF", "--log-bin=bin", "--server-id=7"}})
	m.Exec("", "CREATE DATABASE shop")
	m.Exec("shop", "CREATE TABLE a (n int); INSERT INTO a VALUES (1), (NULL)")
	m.Kill()
	m.Start()
	m.Stop()
	m.Start()
	if got := strings.Join(m.Ask("shop", "SELECT n FROM a ORDER BY n"), ","); got != "∅,1" {
		t.Errorf("rows %q", got)
	}
	if got := m.Ask("", "SELECT CONCAT(@@local_infile + 0, @@log_bin + 0, @@server_id)"); got[0] != "017" {
		t.Errorf("settings %q", got)
	}
	for _, password := range []string{m.Password, "wrong"} {
		c := mysql.NewConfig()
		c.Net, c.Addr, c.User, c.Passwd = "tcp", m.Addr, m.User, password
		db, err := sql.Open("mysql", c.FormatDSN())
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Ping(); (err == nil) != (password == m.Password) {
			t.Errorf("log in with %q: %v", password, err)
		}
		db.Close()
	}
}
