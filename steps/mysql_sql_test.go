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
