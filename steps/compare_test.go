package steps

import (
	"context"
	"os"
	"strings"
	"testing"

	"belay/checks"
	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/secret"
	"belay/remote/ssh"
	"belay/steps/compare"
)

// compareHosts are "old" and "new", both on this machine, reached by a real sshd.
func compareHosts(t *testing.T) remote.Hosts {
	t.Helper()
	d := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
	n := ssh.NewNetwork(ssh.Options{Config: d.Config, Home: d.Home, Agent: "none"})
	t.Cleanup(func() { n.Close() })
	host, err := n.Open(d.Name, ssh.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	h := remote.Hosts{}
	for _, name := range []string{"old", "new"} {
		host.Name = name
		h[name] = host
	}
	return h
}

func compareEnv(hosts remote.Hosts) *fileEnv {
	e := newFileEnv(nil)
	e.Host, e.Hosts = remote.Host{}, hosts
	e.Secret = func(_ context.Context, name string) (secret.Value, error) { return secret.New(name), nil }
	return e
}

// compareLatest is the result that the step remembers.
func compareLatest(t *testing.T, e *fileEnv) compare.Result {
	t.Helper()
	var r compare.Result
	if found, err := e.Memory.Get(compareKey, &r); !found || err != nil {
		t.Fatalf("%v %v", found, err)
	}
	return r
}

// TestCompareFiles: equal directories pass; a truncated file is named, with
// what it was and is; the proof is made again, and is gone; then it holds again.
func TestCompareFiles(t *testing.T) {
	dir := t.TempDir()
	for _, side := range []string{"/a", "/b"} {
		fileWrite(t, dir+side+"/d/one", "content", 0o644)
		fileWrite(t, dir+side+"/d/line\nbreak", "2", 0o600)
		fileWrite(t, dir+side+"/tmp/x", side, 0o600)
	}
	c := &compareStep{Jobs: 4, Keys: 10, Pairs: []comparePair{{
		Name:  "uploads",
		Files: &compareFiles{Old: filesEnd{"old", dir + "/a"}, New: filesEnd{"new", dir + "/b"}, Exclude: []string{"tmp"}},
	}}}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	e := compareEnv(compareHosts(t))
	if found, err := c.Needs("")[0].Assess(t.Context(), checks.World{Hosts: e.Hosts}); err != nil || found[0].Level != checks.Pass {
		t.Errorf("%+v %v", found, err)
	}
	if ch := e.pending(t, c); len(ch) != 1 || ch[0].Text != "compare 1 pair: uploads (files)" {
		t.Errorf("%+v", ch)
	}
	e.apply(t, c)
	e.verify(t, c)
	if !strings.Contains(e.log.String(), "uploads  4 entries  4 entries  ✓ MATCH") {
		t.Errorf("log:\n%s", e.log.String())
	}
	if err := os.Truncate(dir+"/b/d/one", 3); err != nil {
		t.Fatal(err)
	}
	fileWrite(t, dir+"/b/d/new\x1b[2J", "", 0o600)
	if err := c.Verify(t.Context(), e.Env); err == nil {
		t.Error("verify saw nothing of a truncated file")
	}
	_, err := c.Prove(t.Context(), e.Env)
	if _, no := err.(*Disproof); !no || !strings.Contains(err.Error(), "✗ MISMATCH") || !strings.Contains(err.Error(), "different  directory "+dir+"/a  d/one") {
		t.Errorf("%v", err)
	}
	r := compareLatest(t, e)
	if len(r.Pairs[0].Differs) != 2 || r.Pairs[0].Differs[0].Key != `"d/new\x1b[2J"` || !strings.Contains(r.Pairs[0].Differs[1].New, "3 bytes") {
		t.Errorf("%+v", r.Pairs[0].Differs)
	}
	if text, ok, _, found, err := c.Proof(e.Env); ok || !found || err != nil || !strings.Contains(text, "uploads MISMATCH") {
		t.Errorf("%q %v %v %v", text, ok, found, err)
	}
	if err := c.Apply(t.Context(), e.Env); err == nil {
		t.Error("a mismatch passed")
	}
	fileWrite(t, dir+"/b/d/one", "content", 0o644)
	if err := os.Remove(dir + "/b/d/new\x1b[2J"); err != nil {
		t.Fatal(err)
	}
	if text, err := c.Prove(t.Context(), e.Env); err != nil || text != "1 of 1 MATCH, 4 entries" {
		t.Errorf("%q %v", text, err)
	}
	c.Pairs[0].Files.New.Path = dir + "/nowhere"
	if _, err := c.Prove(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "NOT COMPARED") {
		t.Errorf("a directory that is not there: %v", err)
	} else if _, no := err.(*Disproof); no {
		t.Error("what is not known was taken for a mismatch")
	}
	if found, err := c.Needs("")[0].Assess(t.Context(), checks.World{Hosts: e.Hosts}); err != nil || found[0].Level != checks.Pass || !strings.Contains(found[0].Text, "not there yet") {
		t.Errorf("%+v %v", found, err)
	}
	c.Pairs[0].Files.Old.Path = dir + "/nowhere"
	if found, err := c.Needs("")[0].Assess(t.Context(), checks.World{Hosts: e.Hosts}); err != nil || found[0].Level != checks.Block {
		t.Errorf("%+v %v", found, err)
	}
}

// TestCompareStores puts real servers side by side, over SSH: a row changed, a
// row that is there twice and a key that is lost are found exactly.
func TestCompareStores(t *testing.T) {
	pg := remotetest.StartPostgres(t, remotetest.PostgresOptions{})
	a, b := remotetest.StartRedis(t, remotetest.RedisOptions{}), remotetest.StartRedis(t, remotetest.RedisOptions{})
	for _, db := range []string{"olddb", "newdb"} {
		pg.Exec("postgres", "CREATE DATABASE "+db)
		pg.Exec(db, `CREATE TABLE "Users" (id int PRIMARY KEY, name text); INSERT INTO "Users" SELECT i, 'name ' || i FROM generate_series(1, 5000) i;
			CREATE TABLE log (line text); INSERT INTO log SELECT 'line ' || i % 100 FROM generate_series(1, 3000) i`)
	}
	for _, r := range []*remotetest.Redis{a, b} {
		r.Do("SET", "session:1", "x")
		r.Do("HSET", "user:1", "name", "Ann")
	}
	hosts := compareHosts(t)
	c := &compareStep{Jobs: 4, Keys: 10, Pairs: []comparePair{
		{Name: "shop", Tell: []string{"Users"}, Postgres: &comparePostgres{
			Old: postgresStore{store: store{Host: "old", Addr: pg.Addr, User: pg.User}, Database: "olddb"},
			New: postgresStore{store: store{Host: "new", Addr: pg.Addr, User: pg.User}, Database: "newdb"},
		}},
		{Name: "cache", Redis: &compareRedis{Old: redisStore{store: store{Host: "old", Addr: a.Addr}}, New: redisStore{store: store{Host: "new", Addr: b.Addr}}}},
	}}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	e := compareEnv(hosts)
	e.apply(t, c)
	e.verify(t, c)
	pg.Exec("newdb", `UPDATE "Users" SET name = 'Name 4711' WHERE id = 4711; INSERT INTO log VALUES ('line 7')`)
	b.Do("DEL", "session:1")
	err := c.Apply(t.Context(), e.Env)
	if err == nil {
		t.Fatal("mismatches passed")
	}
	t.Log(err)
	r := compareLatest(t, e)
	if d := r.Pairs[0].Differs; len(d) != 2 || r.Pairs[0].More != 0 {
		t.Errorf("%+v", d)
	} else {
		for _, x := range d {
			switch {
			case x.How == compare.Different && strings.Contains(x.Object, "Users") && strings.Contains(x.Key, "4711"):
			case x.How == compare.Extra && strings.Contains(x.Object, "log") && strings.Contains(x.Key, "line 7"):
			default:
				t.Errorf("%+v", x)
			}
		}
	}
	if d := r.Pairs[1].Differs; len(d) != 1 || d[0].How != compare.Missing || !strings.Contains(d[0].Key, "session:1") {
		t.Errorf("%+v", d)
	}
}

// TestCompareMySQL: two servers, of MariaDB or of both flavours, with one row changed.
func TestCompareMySQL(t *testing.T) {
	for name, start := range mysqlFlavours {
		t.Run("MariaDB and "+name, func(t *testing.T) {
			oneChanged(t, remotetest.StartMariaDB(t, remotetest.MySQLOptions{}), start(t, remotetest.MySQLOptions{}))
		})
	}
}

func oneChanged(t *testing.T, a, b *remotetest.MySQL) {
	for _, m := range []*remotetest.MySQL{a, b} {
		m.Exec("", "CREATE DATABASE shop CHARACTER SET utf8mb4")
		m.Exec("shop", "CREATE TABLE users (id int PRIMARY KEY, name varchar(50))")
		m.Exec("shop", "INSERT INTO users WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 900) SELECT n, CONCAT('name ', n) FROM s")
		m.Exec("shop", "INSERT INTO users SELECT id + 3100, name FROM users")
	}
	at := func(host string, m *remotetest.MariaDB) mysqlStore {
		return mysqlStore{store: store{Host: host, Addr: m.Addr, User: m.User, Password: secret.Ref{Name: m.Password}}, TLS: "disable"}
	}
	c := &compareStep{Jobs: 4, Keys: 10, Pairs: []comparePair{{Name: "shop", MySQL: &compareMySQL{Old: at("old", a), New: at("new", b), Databases: []string{"shop"}}}}}
	e := compareEnv(compareHosts(t))
	e.apply(t, c)
	b.Exec("shop", "UPDATE users SET name = 'x' WHERE id = 3999")
	if err := c.Apply(t.Context(), e.Env); err == nil {
		t.Fatal("a mismatch passed")
	}
	if d := compareLatest(t, e).Pairs[0].Differs; len(d) != 1 || d[0].How != compare.Different || !strings.Contains(d[0].Key, "3999") {
		t.Errorf("%+v", d)
	}

	// A new server with nothing on it lacks everything.
	b.Exec("", "DROP DATABASE shop")
	c.Pairs[0].MySQL.Databases = nil
	if err := c.Apply(t.Context(), e.Env); err == nil {
		t.Fatal("an empty server passed")
	}
	if d := compareLatest(t, e).Pairs[0].Differs; len(d) == 0 || d[0].How != compare.Missing {
		t.Errorf("%+v", d)
	}
}

// TestCompareRefuses a plan that compares nothing, or too much, at once.
func TestCompareRefuses(t *testing.T) {
	files := &compareFiles{Old: filesEnd{"old", "/a"}, New: filesEnd{"new", "/a"}}
	for want, c := range map[string]*compareStep{
		"nothing is compared":   {},
		"exactly one is needed": {Pairs: []comparePair{{Name: "x", Files: files, Redis: &compareRedis{}}}},
		"two pairs are called":  {Pairs: []comparePair{{Name: "x", Files: files}, {Name: "x", Files: files}}},
		"everything would be":   {Pairs: []comparePair{{Name: "x", Files: files, Ignore: []compareIgnore{{Why: "y"}}}}},
		"host is missing":       {Pairs: []comparePair{{Name: "x", Redis: &compareRedis{}}}},
	} {
		c.Jobs, c.Keys = 1, 1
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
