package steps

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"belay/checks"
	"belay/remote"
	"belay/remote/remotetest"
)

// TestPostgresLikeNewer dumps, restores and replicates where both servers are
// newer than the system's, and its programs are not.
func TestPostgresLikeNewer(t *testing.T) {
	t.Parallel()
	programs := remotetest.Newer(t, "BELAY_POSTGRES17")
	m := newPgMoveOf(t, programs, programs)
	home := t.TempDir()
	t.Cleanup(func() { endJobs(t, home) })
	env := func(id string) Env {
		e, _ := m.old.env()
		e.ID = "run." + id
		e.Host.Runner = &runBox{home: home, env: []string{"PATH=" + m.old.Bin + ":" + os.Getenv("PATH")}, over: remote.Local("db")}
		e.Hosts = remote.Hosts{e.Host.Name: e.Host}
		return e
	}
	well := func(e Env, need []checks.Check) {
		t.Helper()
		for _, f := range checks.Judge(t.Context(), checks.World{Hosts: e.Hosts, Secret: e.Secret}, need) {
			if f.Level == checks.Block || f.Level == checks.Unknown {
				t.Errorf("%+v", f)
			}
		}
	}
	do := func(e Env, s Step) {
		t.Helper()
		if n, ok := s.(interface {
			Needs(on string) []checks.Check
		}); ok {
			well(e, n.Needs("db"))
		}
		mustApply(t, s, e)
		if err := s.Verify(t.Context(), looking(e)); err != nil {
			t.Errorf("%T: %v", s, err)
		}
	}
	from := m.old.store(m.database)
	from.Host = "db"
	d := &postgresDump{postgresStore: from, To: t.TempDir() + "/dump", Jobs: 2, Compress: "1"}
	do(env("dump"), d)
	to := m.new.store("restored")
	to.Host = "db"
	do(env("restore"), &postgresRestore{postgresStore: to, From: d.To, Jobs: 2})
	if got, want := m.new.Ask("restored", "select count(*) || ' ' || sum(id) from orders"), m.old.Ask(m.database, "select count(*) || ' ' || sum(id) from orders"); !slices.Equal(got, want) {
		t.Errorf("restored %q, want %q", got, want)
	}
	do(env("replicate"), m.replicate())
	m.old.Exec(m.database, "insert into orders (writer, note) values (9, 'late')")
	mustApply(t, &postgresFreeze{postgresStore: m.old.store(m.database)}, env("freeze"))
	do(env("switch"), &postgresSwitch{pgPair: m.pair(), Wait: remote.Duration(time.Minute), Margin: 1000})
	m.same(t)
}

// TestPostgres18 asks for what is new with 18: how many subscriptions a server
// follows is a setting of its own, and passwords kept as MD5 sums are outdated.
func TestPostgres18(t *testing.T) {
	t.Parallel()
	old := newPgBox(t, remotetest.PostgresOptions{Password: "one"})
	now := newPgBox(t, remotetest.PostgresOptions{Password: "two", Settings: []string{"max_active_replication_origins = 2"}, Programs: remotetest.Newer(t, "BELAY_POSTGRES18")})
	e, _ := old.env()
	old.secrets["one"], old.secrets["two"] = "one", "two"
	at := func(b *pgBox, database string) postgresStore {
		s := b.store(database)
		s.Host, s.Password.Name = "db", b.Password
		return s
	}
	e.Hosts = remote.Hosts{"db": e.Host}
	w := checks.World{Hosts: e.Hosts, Secret: e.Secret}
	says := func(want string, level checks.Level, need ...checks.Check) {
		t.Helper()
		var all []string
		for _, f := range checks.Judge(t.Context(), w, need) {
			if all = append(all, f.Text); f.Level == level && strings.Contains(f.Text, want) {
				return
			}
		}
		t.Errorf("no %q in %q", want, all)
	}
	says("max_active_replication_origins = 2, 3 needed", checks.Block, &pgNeed{Of: at(now, "postgres"), On: "db", What: "subscribe", Judge: pgJudgeSubscriber})
	says("takes subscriptions", checks.Pass, &pgNeed{Of: at(old, "postgres"), On: "db", What: "subscribe", Judge: pgJudgeSubscriber})
	old.Exec("postgres", `create database shop; `)
	old.Exec("shop", `create role plain login password 'x'; set password_encryption = 'md5'; create role aged login password 'y';
		create table t (a int); grant select on t to plain, aged`)
	c := &postgresCopy{From: at(old, "shop"), To: at(now, "shop"), Roles: "copy", Split: 512 << 20, Jobs: 2}
	says("these roles will be made, with their passwords: aged, plain; the passwords of these are MD5 sums", checks.Pass, c.Needs("db")...)
	says("(password_encryption = 'scram-sha-256'): aged", checks.Pass, c.Needs("db")...)
}
