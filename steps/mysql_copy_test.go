package steps

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"belay/checks"
	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/secret"
)

// mysqlBox is two servers, and a step's surroundings that reach them.
type mysqlBox struct {
	a, b *remotetest.MySQL
	e    Env
	log  *safeBuffer
}

// mysqlStart starts a server of a flavour.
type mysqlStart func(testing.TB, remotetest.MySQLOptions) *remotetest.MySQL

// mysqlFlavours are both that the kinds are for.
var mysqlFlavours = map[string]mysqlStart{"MySQL": remotetest.StartMySQL, "MariaDB": remotetest.StartMariaDB}

// eachMySQL runs a test on servers of each flavour.
func eachMySQL(t *testing.T, test func(*testing.T, mysqlStart)) {
	t.Helper()
	for name, start := range mysqlFlavours {
		t.Run(name, func(t *testing.T) { test(t, start) })
	}
}

func newMySQLBox(t *testing.T, a, b remotetest.MySQLOptions) *mysqlBox {
	t.Helper()
	return newMySQLBoxOf(t, remotetest.StartMariaDB, a, b)
}

// newMySQLBoxOf is one of a flavour; without b, of one server.
func newMySQLBoxOf(t *testing.T, start mysqlStart, a remotetest.MySQLOptions, b ...remotetest.MySQLOptions) *mysqlBox {
	t.Helper()
	box := &mysqlBox{a: start(t, a)}
	passwords := map[string]string{"a": a.Password}
	for _, o := range b {
		box.b, passwords["b"] = start(t, o), o.Password
	}
	h := remote.Local("db")
	box.e, box.log = runEnv(h)
	box.e.Hosts = remote.Hosts{"db": h}
	box.e.Secret = mysqlSecrets(passwords)
	return box
}

// mysqlStoreOf is a test's server as a plan would write it.
func mysqlStoreOf(m *remotetest.MySQL, password string) mysqlStore {
	return mysqlStore{store: store{Host: "db", Addr: m.Addr, User: m.User, Password: secret.Ref{Name: password}}}
}

// TestMySQLCopy takes the kind through its whole life.
func TestMySQLCopy(t *testing.T) {
	box := newMySQLBox(t, remotetest.MariaDBOptions{Password: "one'"}, remotetest.MariaDBOptions{Password: "two"})
	sql, err := os.ReadFile("mysql/testdata/nasty.sql")
	if err != nil {
		t.Fatal(err)
	}
	box.a.Exec("", string(sql))
	box.a.Exec("", "CREATE USER app@'10.%' IDENTIFIED BY 'pw'; GRANT SELECT ON shop.* TO app@'10.%'")
	c := &mysqlCopy{From: mysqlStoreOf(box.a, "a"), To: mysqlStoreOf(box.b, "b"), Databases: []string{"shop"}, Accounts: "copy",
		Events: "disabled", LockWait: 10e9, Lanes: 2, PartSize: 1 << 20, Proof: "fingerprint"}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	mysqlCopyFindings(t, box, c)
	todo, err := c.Pending(t.Context(), box.e)
	if err != nil || len(todo) != 2 || !strings.Contains(todo[0].Text, "11 tables") || todo[1].Text != "make account app@10.%" {
		t.Fatalf("pending: %v, %v", todo, err)
	}
	if err := c.Verify(t.Context(), box.e); err == nil {
		t.Error("verified before")
	}
	if err := c.Undo(t.Context(), box.e); err != nil {
		t.Errorf("undo of nothing: %v", err)
	}
	for range 2 {
		if err := c.Apply(t.Context(), box.e); err != nil {
			t.Fatalf("%v\n%s", err, box.log)
		}
		if err := c.Verify(t.Context(), box.e); err != nil {
			t.Error(err)
		}
	}
	if todo, err := c.Pending(t.Context(), box.e); err != nil || len(todo) != 0 {
		t.Errorf("pending after: %v, %v", todo, err)
	}
	if got := box.b.Ask("", "SELECT status FROM information_schema.events"); got[0] != "DISABLED" {
		t.Errorf("the event is %s", got[0])
	}
	box.b.Exec("shop", "UPDATE many SET word = 'x' WHERE id = 3")
	if err := c.Verify(t.Context(), box.e); err == nil || !strings.Contains(err.Error(), "shop.many") {
		t.Errorf("a changed row: %v", err)
	}
	for range 2 {
		if err := c.Undo(t.Context(), box.e); err != nil {
			t.Fatal(err)
		}
	}
	if got := box.b.Ask("", "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = 'shop'"); got[0] != "0" {
		t.Error("the database is still there")
	}
	aside := box.b.Ask("", "SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE 'shop%'")
	if len(aside) != 1 || box.b.Ask(aside[0], "SELECT word FROM many WHERE id = 3")[0] != "x" || !strings.Contains(box.log.String(), aside[0]) {
		t.Errorf("the changed row is not in %q", aside)
	}
	if s := box.log.String(); strings.Contains(s, "one'") || strings.Contains(s, "PASSWORD '*") {
		t.Errorf("a secret is in the log:\n%s", s)
	}
}

// mysqlCopyFindings judges what the assessment says of TestMySQLCopy.
func mysqlCopyFindings(t *testing.T, box *mysqlBox, c *mysqlCopy) {
	t.Helper()
	levels := map[string]checks.Level{}
	for _, need := range c.Needs("db") {
		found, err := need.Assess(t.Context(), checks.World{Hosts: box.e.Hosts, Secret: box.e.Secret})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			levels[strings.Fields(f.Key)[len(strings.Fields(f.Key))-1]] = f.Level
		}
	}
	want := map[string]checks.Level{"shop": checks.Pass, "engine": checks.Warn, "hosts": checks.Warn}
	for k := range levels {
		if strings.HasPrefix(k, "/") {
			want[k] = checks.Pass // the room
		}
	}
	if d := cmp.Diff(want, levels); d != "" || len(levels) != 4 {
		t.Errorf("findings (-want +got):\n%s", d)
	}
}

func TestMySQLCopyValidate(t *testing.T) {
	ok := mysqlCopy{From: mysqlStore{store: store{Host: "a"}}, To: mysqlStore{store: store{Host: "b"}}, Lanes: 1, PartSize: 1 << 20}
	if err := ok.Validate(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*mysqlCopy){
		"to: ":           func(c *mysqlCopy) { c.To = c.From },
		"from.addr: ":    func(c *mysqlCopy) { c.From.Addr = "nowhere" },
		"databases: ":    func(c *mysqlCopy) { c.Databases = []string{"mysql"} },
		"lanes: ":        func(c *mysqlCopy) { c.Lanes = 99 },
		"part: ":         func(c *mysqlCopy) { c.PartSize = 1 },
		"definers.root:": func(c *mysqlCopy) { c.Definers = map[string]string{"root": "a@b"} },
	} {
		c := ok
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
