package steps

import (
	"context"
	"net"
	"strings"
	"testing"

	"belay/remote"
	"belay/remote/remotetest"
)

// TestMySQLSQL: it says which statement failed and what stands, goes on there,
// proves and undoes.
func TestMySQLSQL(t *testing.T) {
	eachMySQL(t, func(t *testing.T, start mysqlStart) {
		runsSQL(t, newMySQLBoxOf(t, start, remotetest.MySQLOptions{Password: "one"}))
	})
}

func runsSQL(t *testing.T, box *mysqlBox) {
	box.a.Exec("", "CREATE DATABASE `sh'op`")
	s := &mysqlSQL{mysqlStore: mysqlStoreOf(box.a, "a"), Database: "sh'op",
		SQL: "CREATE TABLE a (n int PRIMARY KEY);\nSET @x = 2; -- kept over the break\nINSERT INTO a VALUES (1);\nINSERT INTO a SELECT @x FROM late;\n" +
			"DELIMITER //\nCREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2; END//",
		PendingBy: "SELECT 'the procedure' FROM dual WHERE NOT EXISTS (SELECT * FROM information_schema.routines WHERE routine_schema = DATABASE())",
		VerifyBy:  "SELECT COUNT(*) = 2 FROM a", UndoBy: "DROP TABLE IF EXISTS a; DROP PROCEDURE IF EXISTS p"}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := s.Undo(t.Context(), box.e); err != nil {
		t.Fatal(err)
	}
	if todo, err := s.Pending(t.Context(), box.e); err != nil || len(todo) != 2 || todo[0].Text != "the procedure" {
		t.Fatalf("pending: %v, %v", todo, err)
	}
	err := s.Apply(t.Context(), box.e)
	if err == nil || !strings.Contains(err.Error(), "statement 4 of 5 (line 4") || !strings.Contains(err.Error(), "1 to 3 were carried out") {
		t.Fatalf("apply: %v", err)
	}
	box.a.Exec("sh'op", "CREATE TABLE late (n int); INSERT INTO late VALUES (0)")
	for range 2 {
		if err := s.Apply(t.Context(), box.e); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Verify(t.Context(), box.e); err != nil {
		t.Error(err)
	}
	if got := strings.Join(box.a.Ask("sh'op", "SELECT n FROM a"), " "); got != "1 2" {
		t.Errorf("rows %s", got)
	}
	if todo, err := s.Pending(t.Context(), box.e); err != nil || len(todo) != 0 {
		t.Errorf("pending after: %v, %v", todo, err)
	}
	box.a.Exec("sh'op", "DELETE FROM a WHERE n = 1")
	if err := s.Verify(t.Context(), box.e); err == nil {
		t.Error("verified what is not so")
	}
	for range 2 {
		if err := s.Undo(t.Context(), box.e); err != nil {
			t.Fatal(err)
		}
	}
	if got := box.a.Ask("sh'op", "SHOW TABLES"); len(got) != 1 || got[0] != "late" {
		t.Errorf("tables after undo: %s", got)
	}
}

// mysqlDeaf is a dialer whose connections break after a statement was sent,
// before its answer is heard.
type mysqlDeaf struct {
	remote.Dialer
	word string
}

type mysqlDeafConn struct {
	net.Conn
	d    *mysqlDeaf
	deaf bool
}

func (d *mysqlDeaf) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := d.Dialer.Dial(ctx, network, addr)
	return &mysqlDeafConn{Conn: c, d: d}, err
}

func (c *mysqlDeafConn) Write(p []byte) (int, error) {
	if c.d.word != "" && strings.Contains(string(p), c.d.word) {
		c.deaf, c.d.word = true, ""
	}
	return c.Conn.Write(p)
}

func (c *mysqlDeafConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.deaf {
		c.Close()
		return 0, net.ErrClosed
	}
	return n, err
}

// TestMySQLSQLUnknown: a statement whose answer was lost is not sent again
// without a word.
func TestMySQLSQLUnknown(t *testing.T) {
	eachMySQL(t, func(t *testing.T, start mysqlStart) {
		sendsOnce(t, newMySQLBoxOf(t, start, remotetest.MySQLOptions{}))
	})
}

func sendsOnce(t *testing.T, box *mysqlBox) {
	box.a.Exec("", "CREATE DATABASE shop; CREATE TABLE shop.a (n int)")
	deaf := &mysqlDeaf{remote.Local("db").Dialer, "VALUES (2)"}
	h := remote.Local("db")
	h.Dialer = deaf
	box.e.Hosts = remote.Hosts{"db": h}
	s := &mysqlSQL{mysqlStore: mysqlStoreOf(box.a, "a"), Database: "shop", SQL: "INSERT INTO a VALUES (1); INSERT INTO a VALUES (2); INSERT INTO a VALUES (3)"}
	err := s.Apply(t.Context(), box.e)
	if err == nil || !strings.Contains(err.Error(), "statement 2 of 3") || !strings.Contains(err.Error(), "may or may not") {
		t.Fatalf("apply: %v", err)
	}
	if open, err := s.Underway(box.e); err != nil || open {
		t.Errorf("it would go on by itself: %v", err)
	}
	if got := strings.Join(box.a.Ask("shop", "SELECT n FROM a"), " "); got != "1 2" {
		t.Errorf("rows %s", got)
	}
	// The person looked, and undid it.
	box.a.Exec("shop", "DELETE FROM a WHERE n = 2")
	if err := s.Apply(t.Context(), box.e); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(box.a.Ask("shop", "SELECT n FROM a"), " "); got != "1 2 3" {
		t.Errorf("rows %s", got)
	}
}

// TestMySQLSQLRefused: what the server refuses is told in its words, with what
// stands.
func TestMySQLSQLRefused(t *testing.T) { eachMySQL(t, refusesSQL) }

func refusesSQL(t *testing.T, start mysqlStart) {
	box := newMySQLBoxOf(t, start, remotetest.MySQLOptions{Password: "one"})
	box.a.Exec("", "CREATE DATABASE shop; CREATE TABLE shop.a (n int PRIMARY KEY); CREATE USER app@'%' IDENTIFIED BY 'one'; GRANT ALL ON shop.* TO app@'%'")
	at := mysqlStoreOf(box.a, "a")
	at.User = "app"
	for _, c := range []struct {
		set, sql string
		only     bool // MySQL's
		says     []string
	}{
		{"", "INSERT INTO a VALUES (1);\nSELEC 2", false, []string{"statement 2 of 2 (line 2: SELEC 2)", "1064", "statements 1 to 1 were carried out"}},
		{"", "INSERT INTO shop.b VALUES (1)", false, []string{"1146", "shop.b", "nothing was changed"}},
		{"", "SET GLOBAL max_connections = 9", false, []string{"1227", "nothing was changed"}},
		{"SET GLOBAL sql_require_primary_key = ON", "CREATE TABLE keyless (n int)", true, []string{"3750", "without a primary key", "sql_require_primary_key", "nothing was changed"}},
		{"SET GLOBAL read_only = ON", "INSERT INTO a VALUES (2)", false, []string{"1290", "read-only", "nothing was changed"}},
		{"SET GLOBAL super_read_only = ON", "DROP TABLE a", true, []string{"1290", "read-only", "nothing was changed"}},
	} {
		if c.only && box.a.Programs == "" {
			continue
		}
		if c.set != "" {
			box.a.Exec("", c.set)
		}
		s := &mysqlSQL{mysqlStore: at, Database: "shop", SQL: c.sql}
		err := s.Apply(t.Context(), box.mine("refused"))
		for _, word := range c.says {
			if err == nil || !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %v; wanted %q", c.sql, err, word)
			}
		}
	}
	if got := strings.Join(box.a.Ask("shop", "SELECT n FROM a"), " "); got != "1" {
		t.Errorf("rows %s", got)
	}
}

// TestMySQLSQLTransaction: of a transaction that was cut, nothing is there, and
// all of it is run again; what a definition committed is not.
func TestMySQLSQLTransaction(t *testing.T) { eachMySQL(t, runsTransactions) }

func runsTransactions(t *testing.T, start mysqlStart) {
	box := newMySQLBoxOf(t, start, remotetest.MySQLOptions{})
	box.a.Exec("", "CREATE DATABASE shop; CREATE TABLE shop.a (n int)")
	s := &mysqlSQL{mysqlStore: mysqlStoreOf(box.a, "a"), Database: "shop",
		SQL: "INSERT INTO a VALUES (1); START TRANSACTION; INSERT INTO a VALUES (2); INSERT INTO a VALUES (3); INSERT INTO late VALUES (4); COMMIT; INSERT INTO a VALUES (5)"}
	rows := func(want string) {
		t.Helper()
		if got := strings.Join(box.a.Ask("shop", "SELECT n FROM a ORDER BY n"), " "); got != want {
			t.Errorf("rows %s, want %s", got, want)
		}
	}
	deaf := &mysqlDeaf{remote.Local("db").Dialer, "VALUES (3)"}
	h := remote.Local("db")
	h.Dialer = deaf
	e := box.mine("cut")
	e.Hosts = remote.Hosts{"db": h}
	if err := s.Apply(t.Context(), e); err == nil || !strings.Contains(err.Error(), "statements 1 to 1 were carried out, the transaction that begins with statement 2 was rolled back") {
		t.Errorf("cut: %v", err)
	}
	if open, err := s.Underway(e); err != nil || !open {
		t.Errorf("it asks, though nothing is unknown: %v", err)
	}
	if err := s.Apply(t.Context(), e); err == nil || !strings.Contains(err.Error(), "statement 5 of 7") || !strings.Contains(err.Error(), "begins with statement 2 was rolled back") {
		t.Errorf("refused: %v", err)
	}
	rows("1")
	if todo, err := s.Pending(t.Context(), e); err != nil || len(todo) != 1 || todo[0].Text != "go on with statement 2 of 7" {
		t.Errorf("pending: %v, %v", todo, err)
	}
	box.a.Exec("shop", "CREATE TABLE late (n int)")
	if err := s.Apply(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	rows("1 2 3 5")
	// A definition commits what was open, also when it is refused.
	s.SQL = "BEGIN; INSERT INTO a VALUES (6); CREATE TABLE late (n int); INSERT INTO a VALUES (7)"
	e = box.mine("defined")
	if err := s.Apply(t.Context(), e); err == nil || !strings.Contains(err.Error(), "statements 1 to 2 were carried out") {
		t.Errorf("defined: %v", err)
	}
	box.a.Exec("shop", "DROP TABLE late")
	if err := s.Apply(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	rows("1 2 3 5 6 7")
	s.SQL = "INSERT INTO a VALUES (8);\nBEGIN; INSERT INTO a VALUES (9)"
	if err := s.Validate(); err == nil || !strings.Contains(err.Error(), "line 2: BEGIN begins a transaction that nothing ends") {
		t.Errorf("without COMMIT: %v", err)
	}
}
