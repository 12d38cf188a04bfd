package mysql

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"belay/remote/remotetest"
	"belay/steps/compare"
)

// copying is a copy of shop whose state outlives it, as in a journal.
func copying(t *testing.T, from, to Server, kept *[]byte, change func(*Copy)) *Copy {
	t.Helper()
	var log bytes.Buffer
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s", log.Bytes())
		}
	})
	c := &Copy{From: from, To: to, Databases: []string{"shop"}, Lanes: 3, Chunk: 100 << 10, Accounts: true, Log: &log, Say: func(int64, int64, string) {}}
	if *kept != nil {
		if err := json.Unmarshal(*kept, &c.State); err != nil {
			t.Fatal(err)
		}
	}
	c.Save = func(s State) (err error) { *kept, err = json.Marshal(s); return err }
	if change != nil {
		change(c)
	}
	return c
}

// everything is all that a server has, with the fingerprints of rows.
func everything(t *testing.T, m *remotetest.MySQL) map[string]string {
	t.Helper()
	return told(t, sideOf(t, m))
}

// told is all that a side tells.
func told(t *testing.T, s *Side) map[string]string {
	t.Helper()
	objects, err := s.Objects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, o := range objects {
		all[o.Kind+" "+o.Name] = o.Print
		if o.Data {
			p, err := s.Prints(t.Context(), o.Name, 1)
			if err != nil {
				t.Fatal(err)
			}
			all["rows of "+o.Name] = fmt.Sprint(p)
		}
	}
	s.Close()
	return all
}

// TestCopy: everything arrives as it was; undone, nothing of it is left.
func TestCopy(t *testing.T) {
	a, b := remotetest.StartMariaDB(t, remotetest.MariaDBOptions{Settings: []string{"--log-bin=bin", "--server-id=1"}}), remotetest.StartMariaDB(t, remotetest.MariaDBOptions{Password: `p"'\`})
	nasty(t, a)
	a.Exec("", "CREATE USER app@'10.%' IDENTIFIED BY 'pw'; GRANT SELECT, INSERT ON shop.* TO app@'10.%'; CREATE ROLE readers; GRANT SELECT ON shop.many TO readers; GRANT readers TO app@'10.%';"+
		"CREATE USER other@'%'; CREATE USER there@'%'; GRANT DELETE ON shop.* TO there@'%'")
	b.Exec("", "CREATE DATABASE mine; CREATE TABLE mine.a (n int); CREATE USER there@'%' IDENTIFIED BY 'kept'")
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
	if err := c.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	copiedByMD5(t, b, copying(t, serverOf(a), serverOf(b), &kept, nil))
	if c.State.Position == "" {
		t.Error("no position of the binary log is known")
	}
	if got := b.Ask("shop", "SELECT COUNT(*) FROM log"); got[0] != "0" {
		t.Errorf("triggers fired: %s rows", got)
	}
	b.Exec("shop", "INSERT INTO many (word, at) VALUES ('next', NOW())")
	if got := b.Ask("shop", "SELECT CONCAT(MAX(id), ' ', NEXTVAL(tickets)) FROM many"); got[0] != "60001 55" && got[0] != "60003 55" {
		t.Errorf("next numbers: %s", got)
	}
	if err := c.Verify(t.Context()); err == nil {
		t.Error("a row more was not noticed")
	}
	c = copying(t, serverOf(a), serverOf(b), &kept, nil)
	for range 2 {
		if err := c.Undo(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	aside := b.Ask("", "SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE 'shop%'")
	if len(aside) != 1 || b.Ask(aside[0], "SELECT COUNT(*) FROM many WHERE word = 'next'")[0] != "1" {
		t.Fatalf("the row that was written since is not in %q", aside)
	}
	b.Exec("", "DROP DATABASE "+Ident(aside[0]))
	if d := cmp.Diff([]string{"information_schema", "mine", "mysql", "performance_schema", "sys"}, sorted(b.Ask("", "SHOW DATABASES"))); d != "" {
		t.Errorf("databases after undo:\n%s", d)
	}
	if d := cmp.Diff([]string{"GRANT USAGE ON *.* TO `there`@`%` IDENTIFIED BY PASSWORD '*A7B1735B53D16C0F15D0F54D9FC13C3C6F9CF2C9'"}[:1], b.Ask("", "SHOW GRANTS FOR there"), cmp.Comparer(func(a, b string) bool { return a[:30] == b[:30] })); d != "" {
		t.Errorf("grants after undo:\n%s", d)
	}
	if got := b.Ask("", "SELECT COUNT(*) FROM mysql.user WHERE user IN ('app', 'readers', 'other')"); got[0] != "0" {
		t.Errorf("%s accounts are left", got)
	}
}

// copiedByMD5: what a run remembers from before rows were fingerprinted by SHA-1
// still holds.
func copiedByMD5(t *testing.T, m *remotetest.MariaDB, c *Copy) {
	t.Helper()
	if c.State.Hash != "SHA1" {
		t.Errorf("fingerprinted by %q", c.State.Hash)
	}
	c.State.Hash = ""
	db, err := serverOf(m).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tables, err := Tables(t.Context(), db, []string{"shop"})
	if err != nil || len(tables) == 0 {
		t.Fatalf("%d tables, %v", len(tables), err)
	}
	for _, x := range tables {
		sums := strings.ReplaceAll(x.printSums(bySHA1), "SHA1(", "MD5(") // as it was
		var p compare.Print
		if err := db.QueryRowContext(t.Context(), "SELECT "+sums+" FROM "+x.sql()).Scan(&p.Rows, &p.Sum); err != nil {
			t.Fatal(err)
		}
		c.State.Prints[x.String()] = p
	}
	if err := c.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestCopyRefuses: what is not ours is not touched, and is said before.
func TestCopyRefuses(t *testing.T) {
	a, b := remotetest.StartMariaDB(t, remotetest.MariaDBOptions{}), remotetest.StartMariaDB(t, remotetest.MariaDBOptions{Settings: []string{"--local-infile=OFF"}})
	a.Exec("", "CREATE DATABASE shop; CREATE TABLE shop.a (n int); CREATE USER gone@'1.2.3.4'; CREATE DEFINER=gone@'1.2.3.4' VIEW shop.v AS SELECT 1; CREATE USER poor@'%' IDENTIFIED BY 'x'; GRANT SELECT ON shop.* TO poor@'%'")
	b.Exec("", "CREATE DATABASE shop; CREATE TABLE shop.theirs (n int); INSERT INTO shop.theirs VALUES (1)")
	var kept []byte
	s, err := copying(t, serverOf(a), serverOf(b), &kept, func(c *Copy) { c.Accounts = false }).Survey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	blocks := map[string]bool{}
	for _, i := range s.Issues {
		if i.Block {
			blocks[i.Key] = true
		}
	}
	if d := cmp.Diff(map[string]bool{"local_infile": true, "definer gone@1.2.3.4": true, "database shop": true}, blocks); d != "" {
		t.Errorf("what blocks (-want +got):\n%s", d)
	}
	if err := copying(t, serverOf(a), serverOf(b), &kept, nil).Run(t.Context()); err == nil {
		t.Error("it went on")
	}
	if kept != nil {
		t.Errorf("remembered: %s", kept)
	}
	poor := serverOf(a)
	poor.User, poor.Password = "poor", secretOf("x")
	s, err = copying(t, poor, serverOf(b), &kept, nil).Survey(t.Context())
	if err == nil {
		err = s.Blocked()
	}
	if err == nil {
		t.Error("an account without rights will do")
	}
	t.Log(err)
	if got := b.Ask("shop", "SELECT COUNT(*) FROM theirs"); got[0] != "1" {
		t.Error("it was touched")
	}
}
