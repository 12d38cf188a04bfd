package mysql

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseCreate(t *testing.T) {
	const text = "CREATE TABLE `a,(b` (\n  `id` int(11) NOT NULL AUTO_INCREMENT,\n  `x``,)` varchar(9) DEFAULT 'it''s, \\') KEY' COMMENT 'PRIMARY KEY (',\n" +
		"  `e` enum('a','b,)'),\n  PRIMARY KEY (`p`),\n  UNIQUE KEY `u` (`x``,)`),\n  KEY `i` (`id`),\n  KEY `line\n2` (`e`(3)),\n  FULLTEXT KEY `ft` (`e`),\n" +
		"  CONSTRAINT `f` FOREIGN KEY (`e`) REFERENCES `o` (`e`),\n  CONSTRAINT `FOREIGN KEY` CHECK (`id` > 0)\n) ENGINE=InnoDB AUTO_INCREMENT=12 COMMENT='(,)'\n PARTITION BY HASH (`id`)"
	c, ok := ParseCreate(text)
	if !ok {
		t.Fatal("not read")
	}
	made, later, foreign := c.Split()
	want := "CREATE TABLE `a,(b` (\n  `id` int(11) NOT NULL AUTO_INCREMENT,\n  `x``,)` varchar(9) DEFAULT 'it''s, \\') KEY' COMMENT 'PRIMARY KEY (',\n" +
		"  `e` enum('a','b,)'),\n  PRIMARY KEY (`p`),\n  KEY `i` (`id`),\n  CONSTRAINT `FOREIGN KEY` CHECK (`id` > 0)\n) ENGINE=InnoDB AUTO_INCREMENT=12 COMMENT='(,)'\n PARTITION BY HASH (`id`)"
	if d := cmp.Diff(want, made); d != "" {
		t.Errorf("made first (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"UNIQUE KEY `u` (`x``,)`)", "KEY `line\n2` (`e`(3))", "FULLTEXT KEY `ft` (`e`)"}, later); d != "" {
		t.Errorf("added later:\n%s", d)
	}
	if d := cmp.Diff([]string{"CONSTRAINT `f` FOREIGN KEY (`e`) REFERENCES `o` (`e`)"}, foreign); d != "" {
		t.Errorf("foreign keys:\n%s", d)
	}
	for _, no := range []string{"", "CREATE VIEW `v` AS SELECT 1", "CREATE TABLE `a` (`b` int", "(`'"} {
		if c, ok := ParseCreate(no); ok {
			t.Errorf("%q was read as %v", no, c)
		}
	}
}

func FuzzParseCreate(f *testing.F) {
	f.Add("CREATE TABLE `t` (\n `a` int,\n KEY `k` (`a`)\n) ENGINE=InnoDB")
	f.Fuzz(func(t *testing.T, s string) {
		if c, ok := ParseCreate(s); ok {
			c.Split()
			Same(s)
		}
		ParseGrant(s)
		Stored{Text: s}.WithDefiner("a", "b")
	})
}

func TestSame(t *testing.T) {
	for a, b := range map[string]string{
		"`a` int(11) DEFAULT current_timestamp()": "`a` int DEFAULT CURRENT_TIMESTAMP",
		"`a` bigint(20) unsigned":                 "`a` bigint unsigned",
		") CHARSET=utf8mb3 COLLATE=utf8mb3_bin":   ") CHARSET=utf8 COLLATE=utf8_bin",
		"ENGINE=InnoDB AUTO_INCREMENT=12":         "ENGINE=InnoDB",
	} {
		if Same(a) != Same(b) {
			t.Errorf("%q and %q", Same(a), Same(b))
		}
	}
	for a, b := range map[string]string{"tinyint(1)": "tinyint(4)", "int(8) zerofill": "int", "utf8mb4": "utf8mb3"} {
		if Same(a) == Same(b) {
			t.Errorf("%q is %q", a, b)
		}
	}
}

func TestParseGrant(t *testing.T) {
	for line, want := range map[string]Grant{
		"GRANT SELECT, INSERT ON `shop\\_1`.* TO `a`@`%` WITH GRANT OPTION":               {Database: `shop\_1`},
		"GRANT SELECT (`x ON y`) ON `my_shop`.`t` TO `a`@`%`":                             {Database: `my\_shop`},
		"GRANT EXECUTE ON PROCEDURE `shop`.`p` TO `a`@`%`":                                {Database: "shop"},
		"GRANT `boss`@`%` TO `a`@`%`":                                                     {Role: "boss@%"},
		"GRANT `boss` TO `a`@`%`":                                                         {Role: "boss"},
		"GRANT PROXY ON ''@'%' TO 'root'@'localhost'":                                     {},
		"SET DEFAULT ROLE `boss` FOR `a`@`%`":                                             {},
		"GRANT ALL PRIVILEGES ON *.* TO `a`@`%` IDENTIFIED BY PASSWORD '*AB' REQUIRE SSL": {Database: "*", Text: "GRANT ALL PRIVILEGES ON *.* TO `a`@`%` REQUIRE SSL"},
		"GRANT USAGE ON *.* TO `a`@`%` IDENTIFIED BY PASSWORD '*AB'":                      {Database: "*", Text: "GRANT USAGE ON *.* TO `a`@`%`"},
	} {
		if want.Text == "" {
			want.Text = line
		}
		if d := cmp.Diff(want, ParseGrant(line)); d != "" {
			t.Errorf("%s:\n%s", line, d)
		}
	}
}

// TestAccountElsewhere: how accounts are made on the other flavour.
func TestAccountElsewhere(t *testing.T) {
	maria, mysql8 := Version{MariaDB: true, Major: 10, Minor: 11}, Version{Major: 8, Minor: 4}
	native := Account{User: "a", Host: "%", Plugin: "mysql_native_password",
		Create: "CREATE USER `a`@`%` IDENTIFIED WITH 'mysql_native_password' AS '*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19' REQUIRE NONE PASSWORD HISTORY DEFAULT"}
	for _, c := range []struct {
		from, to Version
		a        Account
		want     string
	}{
		{mysql8, maria, native, "CREATE USER `a`@`%` IDENTIFIED VIA mysql_native_password USING '*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19'"},
		{maria, mysql8, native, "CREATE USER `a`@`%` IDENTIFIED WITH 'mysql_native_password' AS '*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19'"},
		{mysql8, mysql8, native, native.Create},
		{mysql8, maria, Account{User: "a", Host: "%", Plugin: "caching_sha2_password", Create: "CREATE USER …"}, ""},
	} {
		got, err := c.a.For(c.from, c.to)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s from %s to %s: %q, %v", c.a, c.from, c.to, got, err)
		}
	}
}

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]string{
		"10.11.19-MariaDB-0+deb12u1": "MariaDB 10.11.19", "5.5.5-10.6.1-MariaDB-log": "MariaDB 10.6.1", "8.0.36-28": "MySQL 8.0.36", "9.1.0": "MySQL 9.1.0", "x": "",
	} {
		v, err := ParseVersion(text)
		if (err == nil) != (want != "") || err == nil && v.String() != want {
			t.Errorf("%s: %s, %v", text, v, err)
		}
	}
}
