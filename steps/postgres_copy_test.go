package steps

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"belay/checks"
	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/secret"
	"belay/remote/ssh"
)

// postgresLab is two servers with passwords, reached through a real sshd, and a
// copy between them.
type postgresLab struct {
	from, to *remotetest.Postgres
	step     *postgresCopy
	e        Env
	log      *safeBuffer
}

const postgresLabName = `sh"op'; --\ é`

func newPostgresLab(t *testing.T) *postgresLab {
	t.Helper()
	sshd := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
	n := ssh.NewNetwork(ssh.Options{Config: sshd.Config, Home: sshd.Home, Agent: "none"})
	t.Cleanup(func() { n.Close() })
	h, err := n.Open("server", ssh.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	l := &postgresLab{
		from: remotetest.StartPostgres(t, remotetest.PostgresOptions{Password: `fr:o"m\'pw`}),
		to:   remotetest.StartPostgres(t, remotetest.PostgresOptions{Password: "to pw"}),
	}
	l.from.Exec("postgres", "create database "+pgx.Identifier{postgresLabName}.Sanitize())
	l.from.Exec(postgresLabName, `create role "own er" nologin; create role app login password 'app pw' in role "own er"; alter role app set work_mem = '7MB';
		create role nobody_needs login;
		create extension pg_trgm; create schema s authorization "own er"; create table s.t (id serial primary key, x text); alter table s.t owner to "own er";
		insert into s.t (x) select md5(g::text) from generate_series(1, 3000) g; grant select on s.t to app; grant usage on schema s to app;
		create table public.log (a int); insert into log values (1)`)
	db := pgx.Identifier{postgresLabName}.Sanitize()
	l.from.Exec("postgres", `alter database `+db+` set search_path = s, "$user", "odd ""name"; alter database `+db+` owner to "own er";
		revoke connect on database `+db+` from public; grant connect on database `+db+` to app; comment on database `+db+` is 'it''s'`)
	l.e, l.log = runEnv(h)
	l.e.Hosts = remote.Hosts{"old": h, "new": h}
	l.e.Secret = func(_ context.Context, name string) (secret.Value, error) {
		return secret.New(map[string]string{"old": l.from.Password, "new": l.to.Password, "app": "new app pw"}[name]), nil
	}
	l.step = &postgresCopy{
		From:  postgresStore{store: store{Host: "old", Addr: l.from.Addr, User: "belay", Password: secret.Ref{Name: "old"}}, Database: postgresLabName},
		To:    postgresStore{store: store{Host: "new", Addr: l.to.Addr, User: "belay", Password: secret.Ref{Name: "new"}}},
		Roles: "copy", Split: 512 << 20, Exclude: []string{"public.log"},
	}
	if err := l.step.Validate(); err != nil {
		t.Fatal(err)
	}
	return l
}

// looking is l.e as Pending and Verify get it.
func (l *postgresLab) looking() Env {
	e := l.e
	e.Host = remote.ReadOnly(e.Host)
	e.Hosts = remote.Hosts{"old": e.Host, "new": e.Host}
	return e
}

func (l *postgresLab) needs(t *testing.T) []checks.Finding {
	t.Helper()
	return checks.Judge(t.Context(), checks.World{Hosts: l.e.Hosts, Secret: l.e.Secret}, l.step.Needs("old"))
}

// TestPostgresCopy: a database goes over SSH to another server with its roles,
// their passwords, grants and settings; it is counted; and it goes away again
// without a trace.
func TestPostgresCopy(t *testing.T) {
	l := newPostgresLab(t)
	before := strings.Join(l.to.Ask("postgres", "select rolname from pg_roles union all select datname from pg_database order by 1"), ",")
	for _, f := range l.needs(t) {
		if f.Level != checks.Pass || f.Check != "postgres" {
			t.Errorf("finding: %+v", f)
		}
	}
	todo, err := l.step.Pending(t.Context(), l.looking())
	if err != nil || len(todo) < 4 {
		t.Fatalf("pending: %+v %v", todo, err)
	}
	text := fmt.Sprint(todo)
	for _, want := range []string{"create database", "create role app", "create role own er", "1 table, about"} {
		if !strings.Contains(text, want) {
			t.Errorf("pending does not say %q: %s", want, text)
		}
	}
	if strings.Contains(text, "nobody_needs") {
		t.Errorf("pending: %s", text)
	}
	if got := strings.Join(l.to.Ask("postgres", "select rolname from pg_roles union all select datname from pg_database order by 1"), ","); got != before {
		t.Fatalf("looking changed the target: %s", got)
	}
	if err := l.step.Apply(t.Context(), l.e); err != nil {
		t.Fatalf("%v\n%s", err, l.log)
	}
	if todo, err := l.step.Pending(t.Context(), l.looking()); err != nil || len(todo) != 0 {
		t.Errorf("pending after: %+v %v", todo, err)
	}
	if err := l.step.Verify(t.Context(), l.looking()); err != nil {
		t.Error(err)
	}
	if err := l.step.Apply(t.Context(), l.e); err != nil { // as after a crash
		t.Error(err)
	}
	testPostgresApp(t, l, "app pw")
	for sql, want := range map[string]string{
		"select count(*) from s.t":         "3000",
		"select nextval('s.t_id_seq')":     "3001",
		"select to_regclass('public.log')": "∅",
		"select shobj_description(oid, 'pg_database') from pg_database where datname = current_database()": "it's",
		"select pg_get_userbyid(datdba) from pg_database where datname = current_database()":               "own er",
		"select count(*) from pg_namespace where nspname = 'belay_copying'":                                "0",
		"show search_path": `s, "$user", "odd ""name"`,
	} {
		if got := l.to.Ask(postgresLabName, sql); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", sql, got, want)
		}
	}
	for _, leak := range []string{"app pw", "SCRAM-SHA", l.from.Password, l.to.Password} {
		if strings.Contains(l.log.String(), leak) {
			t.Errorf("the log holds %q:\n%s", leak, l.log)
		}
	}
	trace := func() string {
		return strings.Join(l.to.Ask("postgres", "select rolname from pg_roles union all select datname from pg_database order by 1"), ",")
	}
	for range 2 { // the second time there is nothing to undo
		if err := l.step.Undo(t.Context(), l.e); err != nil {
			t.Fatal(err)
		}
		if got := trace(); got != before {
			t.Errorf("after undo: %s, want %s", got, before)
		}
	}
	if err := l.step.Apply(t.Context(), l.e); err != nil {
		t.Fatalf("again: %v\n%s", err, l.log)
	}
	l.to.Exec(postgresLabName, "delete from s.t where id = 5")
	if err := l.step.Verify(t.Context(), l.looking()); err == nil || !strings.Contains(err.Error(), "s.t has 2999 rows, and 3000 were copied") {
		t.Errorf("verify after a row was deleted: %v", err)
	}
	// What was written to is kept.
	if err := l.step.Undo(t.Context(), l.e); err != nil {
		t.Fatal(err)
	}
	kept := l.to.Ask("postgres", "select datname from pg_database where datname ~ '_rolled_back_' and datconnlimit = 0")
	if len(kept) != 1 || !strings.Contains(l.log.String(), kept[0]) || !strings.HasPrefix(kept[0], postgresLabName[:10]) {
		t.Fatalf("kept %q; the log:\n%s", kept, l.log)
	}
	if got := l.to.Ask(kept[0], "select count(*) from s.t"); got[0] != "2999" {
		t.Errorf("kept: %q rows", got)
	}
	if got := l.to.Ask("postgres", "select 1 from pg_database where datname = '"+strings.ReplaceAll(postgresLabName, "'", "''")+"'"); len(got) != 0 {
		t.Error("the old name is still there")
	}
}

// testPostgresApp logs in to the copy as the application does.
func testPostgresApp(t *testing.T, l *postgresLab, password string) {
	t.Helper()
	c, err := pgx.ParseConfig("sslmode=disable host=127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	c.Port, c.User, c.Password, c.Database = uint16(l.to.Port), "app", password, postgresLabName
	conn, err := pgx.ConnectConfig(t.Context(), c)
	if err != nil {
		t.Errorf("the application is not let in: %v", err)
		return
	}
	defer conn.Close(context.Background())
	var n int
	var mem string
	if err := conn.QueryRow(t.Context(), "select count(*), current_setting('work_mem') from t").Scan(&n, &mem); err != nil || n != 3000 || mem != "7MB" {
		t.Errorf("%d rows, work_mem %s, %v", n, mem, err)
	}
}

// TestPostgresCopyThere: a database that was there, empty, is there again after
// undo; one that is not empty is refused before anything is changed; what
// others made since is not dropped.
func TestPostgresCopyThere(t *testing.T) {
	l := newPostgresLab(t)
	l.step.Roles, l.step.Passwords = "new", map[string]secret.Ref{"app": {Name: "app"}}
	l.to.Exec("postgres", "create database "+pgx.Identifier{postgresLabName}.Sanitize())
	l.to.Exec(postgresLabName, "create schema empty; create extension hstore; create table public.theirs (a int)")
	err := l.step.Apply(t.Context(), l.e)
	if err == nil || !strings.Contains(err.Error(), "table public.theirs") || !strings.Contains(err.Error(), "Nothing was changed") {
		t.Errorf("a full target: %v", err)
	}
	if got := l.to.Ask("postgres", "select rolname from pg_roles where rolname in ('app', 'own er')"); len(got) != 0 {
		t.Errorf("roles were made: %q", got)
	}
	blocked := false
	for _, f := range l.needs(t) {
		blocked = blocked || f.Level == checks.Block && strings.Contains(f.Text, "table public.theirs")
	}
	if !blocked {
		t.Error("the assessment does not block")
	}
	if err := l.step.Undo(t.Context(), l.e); err != nil {
		t.Error(err)
	}
	l.to.Exec(postgresLabName, "drop table public.theirs")

	if err := l.step.Apply(t.Context(), l.e); err != nil {
		t.Fatalf("%v\n%s", err, l.log)
	}
	testPostgresApp(t, l, "new app pw")
	if strings.Contains(l.to.Log(), "new app pw") {
		t.Error("the password is in the server's log")
	}
	l.to.Exec(postgresLabName, "create table public.theirs (a int)")
	if err := l.step.Undo(t.Context(), l.e); err == nil || !strings.Contains(err.Error(), "table public.theirs") {
		t.Errorf("undo over somebody's table: %v", err)
	}
	if got := l.to.Ask(postgresLabName, "select count(*) from s.t"); got[0] != "3000" {
		t.Errorf("undo dropped: %q", got)
	}
	l.to.Exec(postgresLabName, "drop table public.theirs")
	l.to.Exec(postgresLabName, "begin; create table keep as select * from s.t where id = 5; delete from s.t where id = 5; commit")
	if err := l.step.Undo(t.Context(), l.e); err == nil {
		t.Error("undo over rows that were written since")
	}
	l.to.Exec(postgresLabName, "insert into s.t overriding system value select * from keep; drop table keep; select pg_stat_reset()")
	if err := l.step.Undo(t.Context(), l.e); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(l.to.Ask(postgresLabName, "select nspname from pg_namespace where oid >= 16384 union all select extname from pg_extension union all select relname from pg_class where oid >= 16384 and relkind = 'r' order by 1"), ",")
	if got != "empty,hstore,plpgsql" {
		t.Errorf("after undo there is %s", got)
	}
}

// TestPostgresCopyNeeds: what would fail later blocks in the assessment.
func TestPostgresCopyNeeds(t *testing.T) {
	l := newPostgresLab(t)
	l.from.Exec("postgres", "create role weak login password 'w'; grant all on database "+pgx.Identifier{postgresLabName}.Sanitize()+" to weak")
	l.to.Exec("postgres", "create role weak login password 'w'")
	l.e.Secret = func(_ context.Context, name string) (secret.Value, error) { return secret.New("w"), nil }
	l.step.From.User, l.step.To.User = "weak", "weak"
	texts := ""
	for _, f := range l.needs(t) {
		if f.Level == checks.Block {
			texts += f.ID() + ": " + f.Text + "\n"
		}
	}
	for _, want := range []string{"user weak may not read s.t", "may not create database"} {
		if !strings.Contains(texts, want) {
			t.Errorf("no block says %q:\n%s", want, texts)
		}
	}
	l.e.Secret = func(_ context.Context, name string) (secret.Value, error) { return secret.New("wrong"), nil }
	found := l.needs(t)
	if len(found) != 1 || found[0].Level != checks.Block || !strings.Contains(found[0].Text, "password authentication failed") {
		t.Errorf("a wrong password: %+v", found)
	}
}

func TestPostgresCopyValidate(t *testing.T) {
	for _, c := range []struct {
		step postgresCopy
		says string
	}{
		{postgresCopy{From: postgresStore{Database: "a"}, To: postgresStore{}}, "same database"},
		{postgresCopy{From: postgresStore{}, To: postgresStore{Database: "a"}}, "from.database"},
		{postgresCopy{From: postgresStore{Database: "a"}, To: postgresStore{Database: "b"}, Jobs: 99}, "jobs"},
		{postgresCopy{From: postgresStore{Database: "a"}, To: postgresStore{Database: "b"}, Roles: "new"}, "passwords"},
		{postgresCopy{From: postgresStore{Database: "a"}, To: postgresStore{Database: strings.Repeat("é", 32)}}, "63 bytes"},
	} {
		if err := c.step.Validate(); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, want %q", err, c.says)
		}
	}
}
