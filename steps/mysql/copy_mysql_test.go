package mysql

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"belay/remote/remotetest"
)

// TestCopyMySQL: everything of a MySQL server arrives as it was, accounts with
// their roles, passwords and rules included; undone, nothing of it is left.
func TestCopyMySQL(t *testing.T) {
	a, b := remotetest.StartMySQL(t, remotetest.MySQLOptions{}), remotetest.StartMySQL(t, remotetest.MySQLOptions{Password: `p"'\`, Settings: []string{"--partial-revokes=ON"}})
	nasty(t, a)
	a.Exec("", "SET GLOBAL partial_revokes = ON; CREATE ROLE readers; GRANT SELECT ON shop.many TO readers;"+
		"CREATE USER app@'10.%' IDENTIFIED BY 'pw' DEFAULT ROLE readers REQUIRE SSL WITH MAX_USER_CONNECTIONS 5 PASSWORD EXPIRE INTERVAL 90 DAY FAILED_LOGIN_ATTEMPTS 3 PASSWORD_LOCK_TIME 2 COMMENT 'it''s';"+
		"GRANT SELECT, INSERT ON shop.* TO app@'10.%'; GRANT EXECUTE ON PROCEDURE shop.`say ``x` TO app@'10.%'; GRANT readers TO app@'10.%' WITH ADMIN OPTION;"+
		"GRANT BACKUP_ADMIN, REPLICATION_SLAVE_ADMIN ON *.* TO app@'10.%'; GRANT PROCESS, DELETE ON *.* TO app@'10.%'; REVOKE DELETE ON mysql.* FROM app@'10.%';"+
		"CREATE USER other@'%'; CREATE USER there@'%'; GRANT DELETE ON shop.* TO there@'%'; GRANT SELECT (id, word) ON shop.many TO there@'%';"+
		"GRANT INSERT ON *.* TO there@'%'; REVOKE INSERT ON shop.* FROM there@'%'")
	b.Exec("", "CREATE DATABASE mine; CREATE TABLE mine.a (n int); CREATE USER there@'%' IDENTIFIED BY 'kept'; GRANT INSERT ON shop.* TO there@'%'")
	var kept []byte
	c := copying(t, serverOf(a), serverOf(b), &kept, nil)
	if err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	want, got := everything(t, a), everything(t, b)
	delete(want, "account there@%") // it keeps its own password
	delete(got, "account there@%")
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("source and target (-source +target):\n%s", d)
	}
	for _, q := range []string{"SHOW CREATE USER app@'10.%'", "SHOW GRANTS FOR app@'10.%'", "SHOW GRANTS FOR readers", "SELECT GROUP_CONCAT(my_row_id, what) FROM shop.`own key`"} {
		if d := cmp.Diff(a.Ask("", q), b.Ask("", q)); d != "" {
			t.Errorf("%s (-source +target):\n%s", q, d)
		}
	}
	if got := strings.Join(b.Ask("", "SHOW GRANTS FOR there@'%'"), "\n"); !strings.Contains(got, "INSERT, DELETE ON `shop`.*") {
		t.Errorf("what the account had on the target was taken from it:\n%s", got)
	}
	if err := c.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	if !strings.HasPrefix(c.State.Position, "GTID ") && !strings.Contains(c.State.Position, ":") {
		t.Errorf("the position in the binary log is %q", c.State.Position)
	}
	c = copying(t, serverOf(a), serverOf(b), &kept, nil)
	for range 2 {
		if err := c.Undo(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff([]string{"information_schema", "mine", "mysql", "performance_schema", "sys"}, sorted(b.Ask("", "SHOW DATABASES"))); d != "" {
		t.Errorf("databases after undo:\n%s", d)
	}
	if got := b.Ask("", "SELECT COUNT(*) FROM mysql.user WHERE user IN ('app', 'readers', 'other')"); got[0] != "0" {
		t.Errorf("%s accounts are left", got)
	}
}

// TestCopyInvisibleKeys: tables come with the invisible keys that the source's
// have, and without those that the target would give them; where belay may not
// have that, it is said before anything is made.
func TestCopyInvisibleKeys(t *testing.T) {
	a := remotetest.StartMySQL(t, remotetest.MySQLOptions{Settings: []string{"--sql-generate-invisible-primary-key=ON", "--show-gipk-in-create-table-and-information-schema=OFF"}})
	b := remotetest.StartMySQL(t, remotetest.MySQLOptions{Settings: []string{"--sql-generate-invisible-primary-key=ON", "--sql-require-primary-key=ON"}})
	a.Exec("", "CREATE DATABASE shop; CREATE TABLE shop.hidden (n int); INSERT INTO shop.hidden VALUES (5), (5), (7); DELETE FROM shop.hidden WHERE n = 7; INSERT INTO shop.hidden VALUES (9);"+
		"SET SESSION sql_generate_invisible_primary_key = OFF; CREATE TABLE shop.keyless (n int, m int); CREATE TABLE shop.other (n int NOT NULL UNIQUE); INSERT INTO shop.keyless VALUES (1, 1), (2, 1)")
	b.Exec("", "CREATE USER poor@'%'; GRANT ALL ON shop.* TO poor@'%'; GRANT CREATE ON *.* TO poor@'%'")
	var kept []byte
	c := copying(t, serverOf(a), serverOf(b), &kept, nil)
	issues := func(c *Copy) (all []string) {
		t.Helper()
		s, err := c.Survey(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range s.Issues {
			if i.Key == "primary keys" {
				all = append(all, fmt.Sprint(i.Block, " ", i.Text))
			}
		}
		return all
	}
	if d := cmp.Diff([]string{"false the target asks for primary keys (sql_require_primary_key); these tables come as they are, without: shop.keyless"}, issues(c)); d != "" {
		t.Error(d)
	}
	poor := serverOf(b)
	poor.User = "poor"
	for _, want := range []string{"true the target refuses tables without a primary key (sql_require_primary_key), and these have none: shop.keyless",
		"true the target would give these tables an invisible primary key (sql_generate_invisible_primary_key), which the source's have not: shop.keyless"} {
		if d := cmp.Diff([]string{want}, issues(copying(t, serverOf(a), poor, new([]byte), func(c *Copy) { c.Accounts = false }))); d != "" {
			t.Error(d)
		}
		b.Exec("", "SET GLOBAL sql_require_primary_key = OFF")
	}
	if err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	got := everything(t, b)
	delete(got, "account poor@%")
	if d := cmp.Diff(everything(t, a), got); d != "" {
		t.Errorf("source and target (-source +target):\n%s", d)
	}
	for q, want := range map[string]string{"SELECT GROUP_CONCAT(my_row_id, ':', n) FROM shop.hidden": "1:5,2:5,4:9",
		"SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = 'shop' AND table_name = 'keyless'": "2"} {
		if got := b.Ask("", q)[0]; got != want {
			t.Errorf("%s: %s", q, got)
		}
	}
	// A key that the target made by itself after all is a difference.
	b.Exec("shop", "DROP TABLE keyless; CREATE TABLE keyless (n int, m int); INSERT INTO keyless VALUES (1, 1), (2, 1)")
	want, got := everything(t, a), everything(t, b)
	for _, what := range []string{"table shop.keyless", "rows of shop.keyless"} {
		if want[what] == got[what] || want[what] == "" {
			t.Errorf("%s: %q on both sides", what, want[what])
		}
	}
	if err := c.Verify(t.Context()); err == nil || !strings.Contains(err.Error(), "shop.keyless") {
		t.Errorf("with another key: %v", err)
	}
}

// TestCopyAcross: between MySQL and MariaDB, what does not fit is said before
// anything is made; the rest arrives, and its rows are proved equal.
func TestCopyAcross(t *testing.T) {
	my, ma := remotetest.StartMySQL(t, remotetest.MySQLOptions{}), remotetest.StartMariaDB(t, remotetest.MySQLOptions{})
	nasty(t, my)
	my.Exec("", "CREATE USER app@'10.%' IDENTIFIED BY 'pw'; GRANT SELECT ON shop.* TO app@'10.%'")
	set, err := os.ReadFile("testdata/nasty.sql")
	if err != nil {
		t.Fatal(err)
	}
	ma.Exec("", strings.ReplaceAll(string(set), "`shop`", "`store`"))
	ma.Exec("store", "CREATE TABLE versioned (a int) WITH SYSTEM VERSIONING; CREATE TABLE aria (a int) ENGINE=Aria; CREATE USER old@'%' IDENTIFIED BY 'pw'; GRANT SELECT ON store.* TO old@'%'")
	for _, way := range []struct {
		database string
		from, to *remotetest.MySQL
		blocks   []string
		mend     string
	}{
		{"shop", my, ma, []string{"account app@10.%", "collation utf8mb4_0900_ai_ci", "collation utf8mb4_0900_bin", "flavour key", "flavour type"},
			"SET sql_mode = ''; ALTER TABLE kinds DROP COLUMN vec, DROP KEY expression, DROP KEY members, DROP CHECK lax"},
		{"store", ma, my, []string{"account old@%", "engines", "flavour option", "flavour type", "flavour versioned", "objects"},
			"ALTER TABLE kinds DROP COLUMN ip, DROP COLUMN uu; DROP SEQUENCE tickets; DROP TABLE versioned, aria"},
	} {
		var kept []byte
		s, err := copying(t, serverOf(way.from), serverOf(way.to), &kept, func(c *Copy) { c.Databases = []string{way.database} }).Survey(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var blocks []string
		for _, i := range s.Issues {
			if i.Block {
				blocks = append(blocks, i.Key)
			}
		}
		slices.Sort(blocks)
		if d := cmp.Diff(way.blocks, blocks); d != "" {
			t.Errorf("what blocks %s (-want +got):\n%s", way.database, d)
		}
		way.from.Exec(way.database, way.mend)
		copiedAcross(t, way.from, way.to, way.database)
	}
}

func copiedAcross(t *testing.T, from, to *remotetest.MySQL, database string) {
	t.Helper()
	var kept []byte
	c := copying(t, serverOf(from), serverOf(to), &kept, func(c *Copy) {
		c.Databases, c.Accounts = []string{database}, false
		c.Collations = map[string]string{"utf8mb4_0900_ai_ci": "utf8mb4_unicode_ci", "utf8mb4_0900_bin": "utf8mb4_bin"}
	})
	if err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	var all [2]map[string]string
	var sides [2]*Side
	for i, m := range []*remotetest.MySQL{from, to} {
		s, err := NewSide(t.Context(), serverOf(m), database)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		sides[i] = s
	}
	Pair(sides[0], sides[1])
	for i, s := range sides {
		all[i] = told(t, s)
		for name := range all[i] {
			if strings.HasPrefix(name, "account ") {
				delete(all[i], name) // they stayed
			}
		}
	}
	if d := cmp.Diff(all[0], all[1]); d != "" {
		t.Errorf("source and target (-source +target):\n%s", d)
	}
}

// TestGrantTranslated: what a server of the other flavour does not know is left
// out and named, and a default role is said in its words.
func TestGrantTranslated(t *testing.T) {
	rights := map[string]bool{"SELECT": true, "CREATE USER": true}
	maria, my := Version{MariaDB: true, Major: 10}, Version{Major: 9}
	for _, x := range []struct {
		line, want string
		left       []string
		from, to   Version
	}{
		{"GRANT SELECT (`a,b`, `c`), BINLOG MONITOR, CREATE USER ON *.* TO `a`@`%` WITH GRANT OPTION", "GRANT SELECT (`a,b`, `c`), CREATE USER ON *.* TO `a`@`%` WITH GRANT OPTION", []string{"BINLOG MONITOR"}, maria, my},
		{"GRANT BACKUP_ADMIN,CLONE_ADMIN ON *.* TO `a`@`%`", "", []string{"BACKUP_ADMIN", "CLONE_ADMIN"}, my, maria},
		{"GRANT `readers` TO `a`@`%`", "GRANT `readers` TO `a`@`%`", nil, maria, my},
		{"SET DEFAULT ROLE `readers` FOR `a`@`%`", "SET DEFAULT ROLE `readers` TO `a`@`%`", nil, maria, my},
	} {
		got, left := ParseGrant(x.line).translated(x.from, x.to, rights)
		if got != x.want || !slices.Equal(left, x.left) {
			t.Errorf("%s:\n%s, without %q", x.line, got, left)
		}
	}
}
