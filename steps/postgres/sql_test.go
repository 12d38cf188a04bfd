package postgres_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/secret"
	"belay/steps/postgres"
)

func sqlServer(p *remotetest.Postgres) postgres.Server {
	return postgres.Server{Host: remote.Local("db"), Addr: p.Addr, User: p.User, Password: secret.New(p.Password), Database: "postgres", Plain: true}
}

func TestSplit(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"plain":     {"select 1; select 2", []string{"1 select 1", "1 select 2"}},
		"comments":  {"-- a; b\n/* c; /* d; */ e; */\nselect 1 -- ; x\n;\n;;", []string{"3 select 1 -- ; x"}},
		"strings":   {`select 'a;''b', E'c\';d', "e;""f"; select 'x\'; select 2`, []string{`1 select 'a;''b', E'c\';d', "e;""f"`, `1 select 'x\'`, "1 select 2"}},
		"dollars":   {"do $$ begin; $x$ ; $$; select $1, $a$;$$;$a$", []string{"1 do $$ begin; $x$ ; $$", "1 select $1, $a$;$$;$a$"}},
		"rule":      {"create rule r as on insert to t do (notify a; notify b); select 1", []string{"1 create rule r as on insert to t do (notify a; notify b)", "1 select 1"}},
		"atomic":    {"create or replace function f() returns int begin atomic select case when true then 1 end; select 2; end;\nselect 3", []string{"1 create or replace function f() returns int begin atomic select case when true then 1 end; select 2; end", "2 select 3"}},
		"umlaut":    {"select 'ä;ö' as größe;select 2", []string{"1 select 'ä;ö' as größe", "1 select 2"}},
		"name with": {"select a$b; select 1", []string{"1 select a$b", "1 select 1"}},
		"none":      {" \n-- nothing\n", nil},
	} {
		all, err := postgres.Split(c.text)
		var got []string
		for _, s := range all {
			got = append(got, string(rune('0'+s.Line))+" "+s.Text)
		}
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
	for text, want := range map[string]string{
		"select 1;\n\\c other":     `line 2: "\\c other"`,
		"select 'a":                "line 1: the quote '",
		"select 1;\n/* a /* b */":  "line 2: the comment",
		"select 1;\n\nselect $a$b": "line 3: the text that begins here with $a$",
	} {
		if _, err := postgres.Split(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestStatementsOfTransactions(t *testing.T) {
	for text, want := range map[string]bool{
		"begin": true, "BEGIN work": true, "start transaction": true, "commit": true, "end": true, "rollback": true, "rollback work": true,
		"rollback to a": false, "rollback work to savepoint a": false, "savepoint a": false, "prepare x as select 1": false,
		"prepare transaction 'x'": true, "abort": true, "create table \"begin\" ()": false, "select 1": false,
	} {
		s, err := postgres.Split(text)
		if err != nil || s[0].Controls() != want {
			t.Errorf("%q: %v, %v", text, s[0].Controls(), err)
		}
	}
	for text, want := range map[string]bool{"copy t from stdin": true, "copy t (a, b) from stdin csv": true, "copy t from '/stdin'": false, "copy t to stdout": false} {
		if s, err := postgres.Split(text); err != nil || s[0].FromStdin() != want {
			t.Errorf("%q: %v, %v", text, s[0].FromStdin(), err)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add("select 'a;b'; do $x$ ; $x$; /* ; */ create function f() begin atomic; end")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := postgres.Split(text)
		if err != nil {
			return
		}
		at := 0
		for _, s := range all {
			i := strings.Index(text[at:], s.Text)
			if i < 0 || s.Text == "" {
				t.Fatalf("statement %q is not in order in %q", s.Text, text)
			}
			at += i + len(s.Text)
		}
	})
}

// TestSplitAgreesWithTheServer counts: the server parts a text by itself.
func TestSplitAgreesWithTheServer(t *testing.T) {
	p := remotetest.StartPostgres(t, remotetest.PostgresOptions{})
	c, err := sqlServer(p).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	for _, text := range []string{
		"create temp table t (a int); create rule r as on insert to t do also (select 1; select 2); drop table t",
		"create or replace function pg_temp.f(b int) returns int language sql begin atomic select case b when 1 then 2 end; select 2; end; select pg_temp.f(1)",
		"do $$ begin perform 1; end $$; select $q$;$$;$q$; select E'\\';' ; select U&'d\\0061t;'",
		"select 1 as \"a;b\"/* ; /* ; */ ; */; -- ;\nselect 'it''s;'",
	} {
		want := 0
		if err := postgres.Run(t.Context(), c, text, func(string) { want++ }); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if got, err := postgres.Split(text); err != nil || len(got) != want {
			t.Errorf("%s: %d statements, the server counts %d (%v)", text, len(got), want, err)
		}
	}
}

func TestAtomic(t *testing.T) {
	p := remotetest.StartPostgres(t, remotetest.PostgresOptions{})
	s := sqlServer(p)
	p.Exec("postgres", "create table t (a int primary key deferrable initially deferred)")
	var mark postgres.Mark
	remember := func(m postgres.Mark) error { mark = m; return nil }
	insert := func(sql string) func(context.Context, *pgx.Conn) error {
		return func(ctx context.Context, c *pgx.Conn) error { return postgres.Run(ctx, c, sql, nil) }
	}
	fate := func() postgres.Fate {
		t.Helper()
		f, err := postgres.Outcome(t.Context(), s, mark)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	if err := postgres.Atomic(t.Context(), s, remember, insert("insert into t values (1)")); err != nil || fate() != postgres.Committed {
		t.Fatalf("%v, %s", err, fate())
	}
	for what, sql := range map[string]string{
		"at once": "insert into t values (2); select 1/0", "at the commit": "insert into t values (1)", "of its own": "insert into t values (2); rollback",
	} {
		err := postgres.Atomic(t.Context(), s, remember, insert(sql))
		if err == nil || fate() != postgres.Aborted {
			t.Errorf("refused %s: %v, %s", what, err, fate())
		}
	}
	other := mark
	other.System = "1"
	if f, err := postgres.Outcome(t.Context(), s, other); err != nil || f != postgres.Forgotten {
		t.Errorf("another server: %s, %v", f, err)
	}
	other = mark
	other.XID += 1 << 40
	if f, err := postgres.Outcome(t.Context(), s, other); err != nil || f != postgres.Forgotten {
		t.Errorf("in the future: %s, %v", f, err)
	}
	if got := p.Ask("postgres", "select count(*) from t"); got[0] != "1" {
		t.Errorf("%s rows", got[0])
	}
}

// TestAtomicSurvivesACrashOfTheServer: with synchronous_commit off the numbers
// would be given out again, were they not pinned.
func TestAtomicSurvivesACrashOfTheServer(t *testing.T) {
	p := remotetest.StartPostgres(t, remotetest.PostgresOptions{Settings: []string{"synchronous_commit = off", "wal_writer_delay = 10s", "checkpoint_timeout = 1h"}})
	s := sqlServer(p)
	p.Exec("postgres", "create table t (a int)")
	var mark postgres.Mark
	err := postgres.Atomic(t.Context(), s, func(m postgres.Mark) error { mark = m; return nil }, func(ctx context.Context, c *pgx.Conn) error {
		p.Kill()
		return postgres.Run(ctx, c, "insert into t values (1)", nil)
	})
	if err == nil {
		t.Fatal("committed on a dead server")
	}
	p.Start()
	for range 5 { // whoever comes next gets the next numbers
		p.Exec("postgres", "insert into t values (2)")
	}
	if f, err := postgres.Outcome(t.Context(), s, mark); err != nil || f != postgres.Aborted {
		t.Errorf("%s, %v", f, err)
	}
}

func TestOutcomeEndsWhatIsStillOpen(t *testing.T) {
	p := remotetest.StartPostgres(t, remotetest.PostgresOptions{})
	s := sqlServer(p)
	p.Exec("postgres", "create table t (a int)")
	opened := make(chan postgres.Mark)
	held := make(chan struct{})
	done := make(chan error)
	go func() {
		var mark postgres.Mark
		done <- postgres.Atomic(context.Background(), s, func(m postgres.Mark) error { mark = m; return nil }, func(ctx context.Context, c *pgx.Conn) error {
			err := postgres.Run(ctx, c, "insert into t values (1)", nil)
			opened <- mark
			<-held
			return err
		})
	}()
	f, err := postgres.Outcome(t.Context(), s, <-opened)
	if err != nil || f != postgres.Aborted {
		t.Errorf("%s, %v", f, err)
	}
	close(held)
	if err := <-done; err == nil {
		t.Error("committed although it was ended")
	}
	if got := p.Ask("postgres", "select count(*) from t"); got[0] != "0" {
		t.Errorf("%s rows", got[0])
	}
}

func TestLook(t *testing.T) {
	p := remotetest.StartPostgres(t, remotetest.PostgresOptions{})
	c, err := sqlServer(p).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	got, err := postgres.Look(t.Context(), c, "select i > 1, null, i from generate_series(1, 3) i;", 2)
	if diff := cmp.Diff(postgres.Answer{Rows: [][]string{{"f", "", "1"}, {"t", "", "2"}}, More: true, Bools: true}, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	for sql, code := range map[string]string{"create table x ()": "25006", "select 1; commit": "42601", "select\n1/0": "22012"} {
		if _, err := postgres.Look(t.Context(), c, sql, 1); postgres.Code(err) != code {
			t.Errorf("%s: %v", sql, err)
		}
	}
	_, err = postgres.Look(t.Context(), c, "select 1,\n  nosuch", 1)
	if err == nil || !strings.HasPrefix(err.Error(), `line 2: column "nosuch" does not exist`) {
		t.Errorf("%v", err)
	}
}

func TestVerifier(t *testing.T) {
	// Made by PostgreSQL 15 for the password "pencil" with this salt.
	p := remotetest.StartPostgres(t, remotetest.PostgresOptions{Password: "pencil"})
	stored := p.Ask("postgres", "select rolpassword from pg_authid where rolname = 'belay'")[0]
	for word, want := range map[string]bool{"pencil": true, "pencils": false} {
		if same, known := postgres.Verifies(stored, secret.New(word)); same != want || !known {
			t.Errorf("%s: %v %v", word, same, known)
		}
	}
	hard := secret.New(`a'b\c"d $x`)
	v, err := postgres.Verifier(hard)
	if err != nil {
		t.Fatal(err)
	}
	p.Exec("postgres", "create role app login password "+postgres.QuoteLiteral(v))
	s := sqlServer(p)
	s.User, s.Password = "app", hard
	c, err := s.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close(t.Context())
	for _, no := range []string{"", "grün", "a\nb"} {
		if _, err := postgres.Verifier(secret.New(no)); err == nil {
			t.Errorf("%q was taken", no)
		}
	}
	if _, known := postgres.Verifies("md5abc", hard); known {
		t.Error("md5 taken for SCRAM")
	}
}
