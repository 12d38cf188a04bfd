package steps

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/secret"
	"belay/steps/mysql"
)

// TestMySQLFreeze: nobody writes to a frozen server, an open transaction is
// not lost silently but ended, and undo lets them again.
func TestMySQLFreeze(t *testing.T) {
	eachMySQL(t, func(t *testing.T, start mysqlStart) {
		freezes(t, newMySQLBoxOf(t, start, remotetest.MySQLOptions{Settings: []string{"--log-bin=bin", "--server-id=1"}}))
	})
}

func freezes(t *testing.T, box *mysqlBox) {
	box.a.Exec("", "CREATE DATABASE shop; CREATE TABLE shop.a (n int); CREATE USER app@'%' IDENTIFIED BY 'pw'; GRANT ALL ON shop.* TO app@'%'; CREATE USER boss@'%' IDENTIFIED BY 'pw'; GRANT ALL ON *.* TO boss@'%'")
	as := func(user string) *mysql.DB {
		db, err := mysql.Server{Host: remote.Local("x"), Addr: box.a.Addr, User: user, Password: secret.New("pw")}.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	}
	app := as("app")
	tx, err := app.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), "INSERT INTO shop.a VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	f := &mysqlFreeze{mysqlStore: mysqlStoreOf(box.a, "a"), Grace: remote.Duration(time.Second), Lock: []string{"boss@%"}}
	if todo, err := f.Pending(t.Context(), box.e); err != nil || len(todo) != 2 {
		t.Fatalf("pending: %v, %v", todo, err)
	}
	for range 2 {
		if err := f.Apply(t.Context(), box.e); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Verify(t.Context(), box.e); err != nil {
		t.Error(err)
	}
	if err := tx.Commit(); err == nil {
		t.Error("the open transaction was committed")
	}
	if _, err := as("app").ExecContext(t.Context(), "INSERT INTO shop.a VALUES (2)"); mysql.Number(err) != 1290 {
		t.Errorf("app writes: %v", err)
	}
	if _, err := (mysql.Server{Host: remote.Local("x"), Addr: box.a.Addr, User: "boss", Password: secret.New("pw")}).Open(context.Background()); err == nil {
		t.Error("boss may log in")
	}
	if todo, err := f.Pending(t.Context(), box.e); err != nil || len(todo) != 0 {
		t.Errorf("pending after: %v, %v", todo, err)
	}
	for range 2 {
		if err := f.Undo(t.Context(), box.e); err != nil {
			t.Fatal(err)
		}
	}
	for _, who := range []string{"app", "boss"} {
		if _, err := as(who).ExecContext(t.Context(), "INSERT INTO shop.a VALUES (3)"); err != nil {
			t.Errorf("%s after undo: %v", who, err)
		}
	}
	if d := cmp.Diff([]string{"3", "3"}, box.a.Ask("shop", "SELECT n FROM a")); d != "" {
		t.Errorf("rows:\n%s", d)
	}
	if s := box.log.String(); !strings.Contains(s, "frozen since") || !strings.Contains(s, "that was for") {
		t.Errorf("log:\n%s", s)
	}
}

func TestMySQLThaw(t *testing.T) {
	eachMySQL(t, func(t *testing.T, start mysqlStart) {
		thaws(t, newMySQLBoxOf(t, start, remotetest.MySQLOptions{Settings: []string{"--read-only"}}))
	})
}

func thaws(t *testing.T, box *mysqlBox) {
	f := &mysqlThaw{mysqlStore: mysqlStoreOf(box.a, "a"), Grace: remote.Duration(time.Second)}
	if todo, err := f.Pending(t.Context(), box.e); err != nil || len(todo) != 1 {
		t.Fatalf("pending: %v, %v", todo, err)
	}
	if err := f.Verify(t.Context(), box.e); err == nil {
		t.Error("verified before")
	}
	for _, want := range []string{"0", "1"} {
		do := f.Apply
		if want == "1" {
			do = f.Undo
		}
		for range 2 {
			if err := do(t.Context(), box.e); err != nil {
				t.Fatal(err)
			}
		}
		if got := box.a.Ask("", "SELECT @@global.read_only + 0"); got[0] != want {
			t.Errorf("read_only is %s", got[0])
		}
	}
}
