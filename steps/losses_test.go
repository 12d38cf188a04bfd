package steps

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"belay/remote"
	"belay/remote/remotetest"
	"belay/steps/journal"
)

// lost are the words of a step's only loss.
func lost(t *testing.T, l Loser, e Env) string {
	t.Helper()
	all, err := l.Losses(t.Context(), onlyLooking(e))
	if err != nil || len(all) != 1 {
		t.Fatalf("losses: %+v, %v", all, err)
	}
	return all[0].Store + ": " + journal.Loss(all[0]).Words()
}

// onlyLooking is e as the engine gives it to whoever may not change anything.
func onlyLooking(e Env) Env {
	hosts := remote.Hosts{}
	for name, h := range e.Hosts {
		hosts[name] = remote.ReadOnly(h)
	}
	e.Hosts, e.Host = hosts, hosts[e.Host.Name]
	return e
}

func TestPostgresCopyLosses(t *testing.T) {
	t.Parallel()
	l := newPostgresLab(t)
	if all, err := l.step.Losses(t.Context(), l.looking()); err != nil || len(all) != 0 {
		t.Fatalf("before the copy: %+v, %v", all, err)
	}
	if err := l.step.Apply(t.Context(), l.e); err != nil {
		t.Fatal(err)
	}
	store := fmt.Sprintf("database %s at %s on %s: ", postgresLabName, l.to.Addr, l.e.Hosts["new"].Name)
	if got, want := lost(t, l.step, l.looking()), store+"nothing was written since it was copied"; got != want {
		t.Errorf("%q\nwant %q", got, want)
	}
	// What belay itself writes until a mark is no loss.
	l.to.Exec(postgresLabName, "insert into s.t (x) values ('p'), ('q'), ('r')")
	if err := l.step.Mark(t.Context(), l.looking(), "since the cutover began"); err != nil {
		t.Fatal(err)
	}
	if got, want := lost(t, l.step, l.looking()), store+"nothing was written since the cutover began"; got != want {
		t.Errorf("%q\nwant %q", got, want)
	}
	l.to.Exec(postgresLabName, "create table public.fresh as select generate_series(1, 5) a; insert into s.t (x) values ('a'), ('b'); update s.t set x = 'c' where id < 4; delete from s.t where id = 9")
	want := store + `11 rows written since the cutover began (s.t 2 added, 3 changed, 1 deleted; public.fresh 5 added; 14 rows since it was copied); nothing syncs it back; the database is set aside, not dropped`
	got := ""
	for end := time.Now().Add(20 * time.Second); got != want && time.Now().Before(end); time.Sleep(200 * time.Millisecond) { // the server's counts come after the fact
		got = lost(t, l.step, l.looking())
	}
	if got != want {
		t.Errorf("%q\nwant %q", got, want)
	}
	// The counts are lost: after a mark of them, and soon higher again; in a crash.
	forgets := func(what, least string) {
		t.Helper()
		if got := lost(t, l.step, l.looking()); !strings.HasPrefix(got, store+least) || !strings.Contains(got, "its counts were reset") || !strings.Contains(got, "set aside, not dropped") {
			t.Errorf("%s: %q", what, got)
		}
	}
	const rows9 = "at least 9 rows written since it was copied (public.fresh 5 added; s.t 4 added; counted since it was copied"
	l.to.Exec(postgresLabName, "select pg_stat_reset()")
	forgets("below the mark", rows9)
	if err := l.step.Mark(t.Context(), l.looking(), "since the cutover began"); err != nil {
		t.Fatal(err)
	}
	if got := lost(t, l.step, l.looking()); got != store+"nothing was written since the cutover began" && !strings.Contains(got, "at least 9 rows since it was copied)") {
		t.Errorf("marked anew: %q", got)
	}
	l.to.Exec(postgresLabName, "select pg_stat_reset()")
	l.to.Exec(postgresLabName, "update s.t set x = 'd'")
	for end := time.Now().Add(20 * time.Second); !slices.Equal(l.to.Ask(postgresLabName, "select (n_tup_upd >= 3000)::text from pg_stat_user_tables where relname = 't'"), []string{"true"}) && time.Now().Before(end); {
		time.Sleep(100 * time.Millisecond)
	}
	forgets("above the mark", "at least 3,")
	if err := l.step.Mark(t.Context(), l.looking(), "since the cutover began"); err != nil {
		t.Fatal(err)
	}
	l.to.Kill()
	l.to.Start()
	forgets("after a crash", rows9)
	l.to.Stop()
	if all, err := l.step.Losses(t.Context(), l.looking()); err == nil {
		t.Errorf("of a server that is gone: %+v", all)
	}
}

func TestMySQLCopyLosses(t *testing.T) {
	t.Parallel()
	eachMySQL(t, func(t *testing.T, start mysqlStart) {
		countsLosses(t, newMySQLBoxOf(t, start, remotetest.MySQLOptions{Password: "one"}, remotetest.MySQLOptions{Password: "two"}))
	})
}

func countsLosses(t *testing.T, box *mysqlBox) {
	box.a.Exec("", "CREATE DATABASE shop; CREATE TABLE shop.a (id INT PRIMARY KEY); INSERT INTO shop.a VALUES (1), (2), (3); CREATE TABLE shop.b (id INT PRIMARY KEY); INSERT INTO shop.b VALUES (1)")
	c := &mysqlCopy{From: mysqlStoreOf(box.a, "a"), To: mysqlStoreOf(box.b, "b"), Databases: []string{"shop"}, Accounts: "none",
		Events: "disabled", LockWait: 10e9, Lanes: 1, PartSize: 1 << 20, Proof: "fingerprint"}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := c.Apply(t.Context(), box.e); err != nil {
		t.Fatalf("%v\n%s", err, box.log)
	}
	if got := lost(t, c, box.e); !strings.Contains(got, "databases shop at ") || !strings.Contains(got, "nothing was seen to be written since they were copied (rows that were changed are not seen)") {
		t.Error(got)
	}
	box.b.Exec("shop", "INSERT INTO a VALUES (6), (7), (8)") // belay's own, until the mark
	if err := c.Mark(t.Context(), onlyLooking(box.e), "since the cutover began"); err != nil {
		t.Fatal(err)
	}
	box.b.Exec("shop", "INSERT INTO a VALUES (4), (5); DELETE FROM b; CREATE TABLE c (id INT); INSERT INTO c VALUES (1)")
	if got := lost(t, c, box.e); !strings.Contains(got, "about 4 rows written since the cutover began (shop.a 2 more; shop.c 1 more; shop.b 1 fewer; 7 rows since they were copied; rows that were changed are not seen); nothing syncs it back; ") {
		t.Error(got)
	}
}

func TestRedisCopyLosses(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"replication", "scan"} {
		l := newRedisLab(t, nil, nil)
		redisFill(t, l.old, 50)
		c, s := l.copy(), l.change()
		c.By, s.By = by, by
		redisDone(t, l.e, c)
		still := map[string]string{"replication": "nothing was written there: it still follows the source", "scan": "nothing was written since it was filled"}[by]
		if got := lost(t, c, l.e); !strings.HasSuffix(got, still) {
			t.Error(got)
		}
		if by == "replication" {
			redisDone(t, l.with(MapMemory{}), s)
			if got := lost(t, c, l.e); !strings.HasSuffix(got, "nothing was written since it stopped to follow the source") {
				t.Error(got)
			}
		}
		l.now.Do("SET", "belays", "own")
		if err := c.Mark(t.Context(), onlyLooking(l.e), "since the cutover began"); err != nil {
			t.Fatal(err)
		}
		l.now.Do("SET", "new", "1")
		l.now.Do("DEL", "key:1")
		got := lost(t, c, l.e)
		want := map[string]string{"replication": "B written since it stopped to follow the source (commands, as replicas are sent them; it has ",
			"scan": "2 write commands written since the cutover began (it has "}[by]
		if !strings.Contains(got, want) || !strings.Contains(got, "its data stay where they are") {
			t.Errorf("%q\nwant %q", got, want)
		}
	}
}

func TestFilesSyncLosses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"/a/one", "/a/two", "/a/sub/three"} {
		fileWrite(t, dir+name, "as it was", 0o644)
	}
	s := filesSyncStep(dir+"/a", dir+"/b")
	e := filesSyncEnv(fileShells(t)["dash"], fileShells(t)["dash"])
	if all, err := s.Losses(t.Context(), onlyLooking(e.Env)); err != nil || len(all) != 0 {
		t.Fatalf("before the copy: %+v, %v", all, err)
	}
	time.Sleep(1100 * time.Millisecond) // times are told in seconds: what is copied is older than the copying
	e.apply(t, s)
	if got := lost(t, s, e.Env); !strings.HasSuffix(got, "nothing was written since it was copied") {
		t.Error(got)
	}
	fileWrite(t, dir+"/b/sub/new", "by a user", 0o644)
	fileWrite(t, dir+"/b/one", "changed by a user", 0o644)
	later := MapMemory{}
	for k, v := range e.Memory.(MapMemory) {
		later[k] = v
	}
	at := e.Env
	at.Memory = later
	time.Sleep(1100 * time.Millisecond)
	if err := s.Mark(t.Context(), onlyLooking(at), "since the cutover began"); err != nil {
		t.Fatal(err)
	}
	if got := lost(t, s, at); !strings.Contains(got, "nothing was seen to be written since the cutover began (counted by their times") {
		t.Error(got)
	}
	fileWrite(t, dir+"/b/two", "changed by a user, later", 0o644)
	if got := lost(t, s, at); !strings.Contains(got, dir+"/b: about 1 file written since the cutover began (counted by their times, from ") {
		t.Error(got)
	}
	if got := lost(t, s, e.Env); !strings.Contains(got, dir+"/b: about 3 files written since it was copied (counted by their times, from ") || !strings.HasSuffix(got, "; what is there is kept beside it") {
		t.Error(got)
	}
}
