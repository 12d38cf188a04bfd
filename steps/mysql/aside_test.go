package mysql

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"belay/remote/remotetest"
)

var testTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func schemata(m *remotetest.MariaDB) []string {
	return sorted(m.Ask("", "SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE 'shop%'"))
}

// TestUndoSetsAside: a copy that nobody touched is dropped; what anybody did
// to one, whatever it was, is still there after the undo.
func TestUndoSetsAside(t *testing.T) {
	a, b := remotetest.StartMariaDB(t, remotetest.MariaDBOptions{}), remotetest.StartMariaDB(t, remotetest.MariaDBOptions{})
	a.Exec("", "CREATE DATABASE shop; USE shop; CREATE TABLE many (id int AUTO_INCREMENT PRIMARY KEY, word varchar(20)); INSERT INTO many (word) VALUES ('a'), ('b');"+
		"CREATE TABLE log (n int AUTO_INCREMENT PRIMARY KEY, id int REFERENCES many (id)); CREATE SEQUENCE tickets START WITH 5 CACHE 2; CREATE VIEW later AS SELECT * FROM many;"+
		"CREATE TRIGGER tr AFTER INSERT ON many FOR EACH ROW INSERT INTO log (id) VALUES (NEW.id); CREATE PROCEDURE p() SELECT 1; CREATE EVENT tidy ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1")
	var kept []byte
	whole := func(counts bool) *Copy {
		t.Helper()
		c := copying(t, serverOf(a), serverOf(b), &kept, func(c *Copy) { c.Accounts, c.CountsOnly = false, counts })
		if err := c.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		return copying(t, serverOf(a), serverOf(b), &kept, func(c *Copy) { c.Accounts, c.CountsOnly = false, counts })
	}
	undo := func(c *Copy) []string {
		t.Helper()
		for range 2 {
			if err := c.Undo(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		return schemata(b)
	}
	for name, c := range map[string]struct {
		sql, ask, want string
		counts         bool
	}{
		"nothing":            {},
		"nothing, counted":   {counts: true},
		"a row":              {"INSERT INTO many (word) VALUES ('next')", "SELECT COUNT(*) FROM many WHERE word = 'next'", "1", false},
		"a changed row":      {"UPDATE many SET word = 'other' WHERE id = 2", "SELECT word FROM many WHERE id = 2", "other", true},
		"a table":            {"CREATE TABLE new (n int); INSERT INTO new VALUES (7)", "SELECT n FROM new", "7", false},
		"a row, rolled back": {"BEGIN; INSERT INTO log (id) VALUES (1); DELETE FROM log; COMMIT", "SELECT COUNT(*) FROM log", "0", false},
		"a view":             {"CREATE OR REPLACE VIEW later AS SELECT 42 AS n", "SELECT text LIKE '%42%' FROM " + asideCode + " WHERE name = 'later'", "1", false},
		"a sequence":         {"DO NEXTVAL(tickets)", "SELECT NEXTVAL(tickets)", "7", false},
	} {
		cp := whole(c.counts)
		if c.sql != "" {
			b.Exec("shop", c.sql)
		}
		left := undo(cp)
		if c.sql == "" {
			if len(left) > 0 {
				t.Errorf("%s: left: %q", name, left)
			}
			continue
		}
		if len(left) != 1 || !strings.HasPrefix(left[0], "shop_belay_aside_2") {
			t.Fatalf("%s: left: %q", name, left)
		}
		if d := cmp.Diff([]string{c.want}, b.Ask(left[0], c.ask)); d != "" {
			t.Errorf("%s:\n%s", name, d)
		}
		if got := b.Ask(left[0], "SELECT COUNT(*) FROM "+asideCode); got[0] != "4" {
			t.Errorf("%s: %s views, routines, triggers and events were kept", name, got[0])
		}
		b.Exec("", "DROP DATABASE "+Ident(left[0]))
	}
}

// TestUndoSetsAsideOurs: of a database that was there before, only what the
// copy put there is moved; killed half way, the undo goes on.
func TestUndoSetsAsideOurs(t *testing.T) {
	a, b := remotetest.StartMariaDB(t, remotetest.MariaDBOptions{}), remotetest.StartMariaDB(t, remotetest.MariaDBOptions{})
	a.Exec("", "CREATE DATABASE shop; USE shop; CREATE TABLE a (id int PRIMARY KEY, n int); CREATE TABLE b (id int REFERENCES a (id)); INSERT INTO a VALUES (1, 1); INSERT INTO b VALUES (1); CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW SET NEW.n = 5")
	b.Exec("", "CREATE DATABASE shop")
	var kept []byte
	again := func() *Copy { return copying(t, serverOf(a), serverOf(b), &kept, func(c *Copy) { c.Accounts = false }) }
	if err := again().Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.Exec("shop", "CREATE TABLE theirs (n int); INSERT INTO a (id) VALUES (2)")
	c := again()
	// As if it had been killed when it had made the other database and dropped the trigger.
	if err := c.save(func(s *State) { s.Aside = map[string]string{"shop": "shop_there"} }); err != nil {
		t.Fatal(err)
	}
	b.Exec("", "CREATE DATABASE shop_there; DROP TRIGGER shop.t")
	if err := again().Undo(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"shop", "shop_there"}, schemata(b)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"theirs"}, b.Ask("", "SELECT table_name FROM information_schema.tables WHERE table_schema = 'shop'")); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"1", "2"}, sorted(b.Ask("shop_there", "SELECT id FROM a"))); d != "" {
		t.Error(d)
	}
}

func TestAsideName(t *testing.T) {
	long := asideName(strings.Repeat("ä", 64), testTime)
	if n := len([]rune(long)); n != 64 || !strings.HasSuffix(long, "ä_belay_aside_20260102_030405") {
		t.Errorf("%q has %d characters", long, n)
	}
}
