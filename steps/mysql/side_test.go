package mysql

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/secret"
	"belay/steps/compare"
)

// serverOf is the server of a test, as this machine sees it.
func serverOf(m *remotetest.MariaDB) Server {
	return Server{Host: remote.Local("here"), Addr: m.Addr, User: m.User, Password: secret.New(m.Password)}
}

// nasty fills a server with what its flavour has to make copies fail.
func nasty(t *testing.T, m *remotetest.MySQL) {
	t.Helper()
	file := "testdata/nasty.sql"
	if m.Programs != "" {
		file = "testdata/nasty_mysql.sql"
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m.Exec("", string(b))
}

func sideOf(t *testing.T, m *remotetest.MySQL) *Side {
	t.Helper()
	s, err := NewSide(t.Context(), serverOf(m), "shop")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestSide: one server looked at twice is equal to itself, stays as it was
// when the side was made, and every kind of change shows.
func TestSide(t *testing.T) {
	t.Run("MariaDB", func(t *testing.T) {
		tellsAll(t, remotetest.StartMariaDB(t, remotetest.MySQLOptions{}), map[string]int{"table": 11, "index": 9, "foreign key": 1, "next number": 3, "database": 1, "view": 2,
			"function": 1, "procedure": 1, "trigger": 2, "event": 1, "sequence": 1, "account": 1})
	})
	t.Run("MySQL", func(t *testing.T) {
		tellsAll(t, remotetest.StartMySQL(t, remotetest.MySQLOptions{}), map[string]int{"table": 13, "index": 13, "foreign key": 1, "next number": 4, "database": 1, "view": 2,
			"function": 1, "procedure": 1, "trigger": 2, "event": 1, "account": 1})
	})
}

func tellsAll(t *testing.T, m *remotetest.MySQL, want map[string]int) {
	nasty(t, m)
	m.Exec("", "CREATE USER app@'10.%' IDENTIFIED BY 'pw'; GRANT SELECT ON shop.* TO app@'10.%'; CREATE USER other@'%'")
	before := sideOf(t, m)
	objects, err := before.Objects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]int{}
	for _, o := range objects {
		names[o.Kind]++
	}
	if d := cmp.Diff(want, names); d != "" {
		t.Errorf("objects (-want +got):\n%s", d)
	}
	for _, o := range objects {
		if o.Name == "shop.kinds" && o.Kind == "table" && strings.Contains(o.Note, "JSON") != !before.db.Version.MariaDB {
			t.Errorf("%s: note %q", o.Name, o.Note)
		}
	}
	first := prints(t, before, objects, 1)
	m.Exec("shop", "UPDATE kinds SET fl = fl + 2 WHERE id = 0")
	m.Exec("shop", "UPDATE `no ``key` SET b = 'a#' WHERE b = 'a#b'")
	m.Exec("shop", "UPDATE many SET word = 'word 7 changed' WHERE word = 'word 7'; DELETE FROM many WHERE id = 30; INSERT INTO parts VALUES (9999, 1, NULL)")
	m.Exec("shop", "UPDATE wide SET c299 = '' WHERE id = 2; UPDATE kinds SET js='{}' WHERE id = 3")
	if d := cmp.Diff(first, prints(t, before, objects, 1)); d != "" {
		t.Errorf("the snapshot moved:\n%s", d)
	}
	after := sideOf(t, m)
	second := prints(t, after, objects, 1)
	var differ []string
	for name := range first {
		if !cmp.Equal(first[name], second[name]) {
			differ = append(differ, name)
		}
	}
	slices.Sort(differ)
	if d := cmp.Diff([]string{"shop.kinds", "shop.many", "shop.no `key", "shop.parts", "shop.wide"}, differ); d != "" {
		t.Errorf("tables that differ:\n%s", d)
	}
	if d := cmp.Diff([]string{"-id=21", "+id=21", "-id=30"}, changed(t, before, after, "shop.many"), cmp.Transformer("sorted", sorted)); d != "" {
		t.Errorf("rows that differ:\n%s", d)
	}
}

// secretOf is a password.
func secretOf(s string) secret.Value { return secret.New(s) }

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }

func prints(t *testing.T, s *Side, objects []compare.Object, buckets int) map[string][]compare.Print {
	t.Helper()
	all := map[string][]compare.Print{}
	for _, o := range objects {
		if !o.Data {
			continue
		}
		p, err := s.Prints(t.Context(), o.Name, buckets)
		if err != nil {
			t.Fatal(err)
		}
		all[o.Name] = p
	}
	return all
}

// changed finds the rows that differ as steps/compare would: by buckets.
func changed(t *testing.T, a, b *Side, table string) []string {
	t.Helper()
	const buckets = 64
	pa, err := a.Prints(t.Context(), table, buckets)
	if err != nil {
		t.Fatal(err)
	}
	pb, err := b.Prints(t.Context(), table, buckets)
	if err != nil {
		t.Fatal(err)
	}
	var of []int
	var rows int64
	for i := range pa {
		rows += pa[i].Rows
		if pa[i] != pb[i] {
			of = append(of, i)
		}
	}
	if len(of) == 0 || len(of) > 3 || rows != 20000 {
		t.Fatalf("%d buckets differ, %d rows", len(of), rows)
	}
	seen := map[compare.Row]int{}
	for sign, s := range map[int]*Side{-1: a, 1: b} {
		if err := s.Rows(t.Context(), table, buckets, of, func(r compare.Row) error { seen[r] += sign; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	var out []string
	for r, n := range seen {
		if n != 0 {
			out = append(out, strings.Trim("-0+"[n+1:n+2], "0")+r.Key)
		}
	}
	return out
}
