package steps

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"belay/checks"
	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/secret"
	"belay/steps/postgres"
)

// pgBox is a step's surroundings with a real server.
type pgBox struct {
	*remotetest.Postgres
	secrets map[string]string
	wire    *pgWire
}

func newPgBox(t *testing.T, o remotetest.PostgresOptions) *pgBox {
	return &pgBox{Postgres: remotetest.StartPostgres(t, o), secrets: map[string]string{}, wire: &pgWire{Dialer: remote.Local("db").Dialer}}
}

// env is a fresh memory and log; the hosts are those of the box.
func (b *pgBox) env() (Env, *safeBuffer) {
	h := remote.Local("db")
	h.Dialer = b.wire
	e, log := runEnv(h)
	e.Secret = func(_ context.Context, name string) (secret.Value, error) {
		if s, ok := b.secrets[name]; ok {
			return secret.New(s), nil
		}
		return secret.Value{}, fmt.Errorf("secret %q is not there", name)
	}
	return e, log
}

func (b *pgBox) store(database string) postgresStore {
	s := postgresStore{store: store{Addr: b.Addr, User: b.User}, Database: database}
	if b.Password != "" {
		s.Password = secret.Ref{Name: "pg"}
		b.secrets["pg"] = b.Password
	}
	return s
}

// pgWire is a way to the server that can break at a chosen word.
type pgWire struct {
	remote.Dialer
	mu    sync.Mutex
	at    string // the connection breaks when this is sent
	after bool   // once the server has it, rather than before
}

func (w *pgWire) breakAt(word string, after bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at, w.after = word, after
}

func (w *pgWire) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := w.Dialer.Dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &pgCutConn{Conn: c, w: w}, nil
}

type pgCutConn struct {
	net.Conn
	w *pgWire
}

func (c *pgCutConn) Write(b []byte) (int, error) {
	c.w.mu.Lock()
	hit := c.w.at != "" && bytes.Contains(b, []byte(c.w.at))
	after := c.w.after
	if hit {
		c.w.at = ""
	}
	c.w.mu.Unlock()
	if !hit {
		return c.Conn.Write(b)
	}
	if after {
		_, _ = c.Conn.Write(b)
		// Its first byte of an answer proves that the server has done it.
		_, _ = c.Conn.Read(make([]byte, 1))
	}
	_ = c.Conn.Close()
	return 0, net.ErrClosed
}

// TestPostgresSQLNeverTwice cuts the connection around the COMMIT and around
// the first statement, and applies again as the engine would.
func TestPostgresSQLNeverTwice(t *testing.T) {
	b := newPgBox(t, remotetest.PostgresOptions{})
	b.Exec("postgres", "create table t (a int)")
	for _, word := range []string{"commit", "insert"} {
		for _, after := range []bool{false, true} {
			b.Exec("postgres", "truncate t")
			s := &postgresSQL{postgresStore: b.store("postgres"), SQL: "insert into t values (1);\ninsert into t select generate_series(2, 5)", InTransaction: true, UndoBy: "delete from t"}
			e, log := b.env()
			b.wire.breakAt(word, after)
			err := s.Apply(t.Context(), e)
			if word == "insert" && err == nil {
				t.Fatal("the cut was not noticed")
			}
			if going, uerr := s.Underway(looking(e)); err != nil && uerr == nil && going {
				err = s.Apply(t.Context(), e)
			} else if err != nil {
				err = s.Apply(t.Context(), e) // told that nothing was changed: the operator tries again
			}
			if err != nil {
				t.Fatalf("%s %v: %v\n%s", word, after, err, log)
			}
			if got := b.Ask("postgres", "select count(*) from t"); got[0] != "5" {
				t.Errorf("%s %v: %s rows\n%s", word, after, got[0], log)
			}
			if todo, err := s.Pending(t.Context(), looking(e)); err != nil || len(todo) != 0 {
				t.Errorf("%s %v: pending %v, %v", word, after, todo, err)
			}
			for range 2 {
				if err := s.Undo(t.Context(), e); err != nil {
					t.Fatal(err)
				}
				b.Exec("postgres", "insert into t values (9)") // a second undo must not take this
			}
			if got := b.Ask("postgres", "select count(*) from t"); got[0] != "2" {
				t.Errorf("%s %v: %s rows after undo", word, after, got[0])
			}
		}
	}
}

func TestPostgresSQLCrashPoints(t *testing.T) {
	b := newPgBox(t, remotetest.PostgresOptions{})
	b.Exec("postgres", "create table t (a int)")
	for at := 1; ; at++ {
		for _, after := range []bool{false, true} {
			b.Exec("postgres", "truncate t")
			s := &postgresSQL{postgresStore: b.store("postgres"), SQL: "insert into t values (1)", InTransaction: true}
			e, log := b.env()
			ctx, cancel := context.WithCancelCause(t.Context())
			c := &crash{Memory: e.Memory, Runner: e.Host.Runner, at: at, after: after, cancel: cancel}
			dying := e
			dying.Memory = c
			err := s.Apply(ctx, dying)
			if err == nil && c.acts < at {
				if at < 3 {
					t.Fatalf("only %d acts", c.acts)
				}
				return
			}
			going, uerr := s.Underway(looking(e))
			if uerr != nil {
				t.Fatal(uerr)
			}
			if todo, err := s.Pending(t.Context(), looking(e)); going || err != nil || len(todo) > 0 {
				if err := s.Apply(t.Context(), e); err != nil {
					t.Fatalf("%d %v: %v\n%s", at, after, err, log)
				}
			}
			if got := b.Ask("postgres", "select count(*) from t"); got[0] != "1" {
				t.Errorf("%d %v: %s rows\n%s", at, after, got[0], log)
			}
		}
	}
}

func TestPostgresSQLSaysWhatIsWrong(t *testing.T) {
	b := newPgBox(t, remotetest.PostgresOptions{Password: "top secret", HBA: []string{"host all weak 127.0.0.1/32 trust"}})
	b.Exec("postgres", "create table t (a int primary key); create role weak login")
	e, log := b.env()
	s := &postgresSQL{postgresStore: b.store("postgres"), SQL: "insert into t values (1);\ndo $$ begin raise notice 'hello'; end $$;\n\ninsert into nosuch values (2)", InTransaction: true}
	err := s.Apply(t.Context(), e)
	if err == nil || !strings.HasPrefix(err.Error(), `line 4: relation "nosuch" does not exist (SQLSTATE 42P01)`) || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("%v", err)
	}
	if got, want := log.String(), "INSERT 0 1\nnotice: hello\nDO\n"; got != want {
		t.Errorf("log %q, want %q", got, want)
	}
	s.SQL, s.User = "insert into t values (3)", "weak"
	if err := s.Apply(t.Context(), e); err == nil || !strings.Contains(err.Error(), "permission denied for table t") {
		t.Errorf("%v", err)
	}
	b.secrets["pg"], s.User = "wrong", b.User
	err = s.Apply(t.Context(), e)
	if err == nil || !strings.Contains(err.Error(), "password authentication failed") || strings.Contains(err.Error(), "wrong") {
		t.Errorf("%v", err)
	}
	need := s.Needs("db")[0].(*pgNeed)
	for word, want := range map[string]checks.Level{"wrong": checks.Block, "top secret": checks.Pass} {
		b.secrets["pg"] = word
		found, err := need.Assess(t.Context(), checks.World{Hosts: remote.Hosts{"db": e.Host}, Secret: e.Secret})
		if err != nil || len(found) != 1 || found[0].Level != want {
			t.Errorf("%s: %v, %v", word, found, err)
		}
	}
	if got := b.Ask("postgres", "select count(*) from t"); got[0] != "0" {
		t.Errorf("%s rows", got[0])
	}
}

func TestPostgresSQLQueries(t *testing.T) {
	b := newPgBox(t, remotetest.PostgresOptions{})
	e, _ := b.env()
	file := t.TempDir() + "/x.sql"
	if err := os.WriteFile(file, []byte("\uFEFFcreate table v (a int);\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &postgresSQL{postgresStore: b.store("postgres"), File: file, InTransaction: true,
		PendingBy: "select 'table v', 1 where to_regclass('v') is null", VerifyBy: "select to_regclass('v') is not null"}
	todo, err := s.Pending(t.Context(), looking(e))
	want := []Change{{Text: "table v · 1"}, {Text: "run 1 statements in postgres, in one transaction", Cmd: "create table v (a int)"}}
	if diff := cmp.Diff(want, todo); diff != "" || err != nil {
		t.Fatalf("%v\n%s", err, diff)
	}
	if err := s.Verify(t.Context(), looking(e)); !errors.Is(err, errNotProved) {
		t.Errorf("%v", err)
	}
	if err := s.Apply(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), looking(e)); err != nil {
		t.Error(err)
	}
	if todo, err := s.Pending(t.Context(), looking(e)); err != nil || len(todo) > 0 {
		t.Errorf("%v, %v", todo, err)
	}
	s.VerifyBy = "select 1 where false"
	if err := s.Verify(t.Context(), looking(e)); !errors.Is(err, errNotProved) {
		t.Errorf("%v", err)
	}
	s.VerifyBy = "create table w ()"
	if err := s.Verify(t.Context(), looking(e)); postgres.Code(err) != "25006" {
		t.Errorf("%v", err)
	}
}

func TestPostgresSQLEachByItself(t *testing.T) {
	b := newPgBox(t, remotetest.PostgresOptions{})
	b.Exec("postgres", "create table t (a int)")
	s := &postgresSQL{postgresStore: b.store("postgres"), SQL: "insert into t values (1);\ncreate unique index concurrently i on t (a);\ninsert into nosuch values (2);\ninsert into t values (3)"}
	e, log := b.env()
	err := s.Apply(t.Context(), e)
	if err == nil || !strings.Contains(err.Error(), "statement 3 of 4, which begins on line 3") {
		t.Fatal(err)
	}
	b.Exec("postgres", "create table nosuch (a int)")
	if err := s.Apply(t.Context(), e); err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	if got := b.Ask("postgres", "select a from t union all select a from nosuch order by 1"); !cmp.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("%v", got)
	}
	// A cut leaves it unknown, and says so to the engine.
	s.SQL = "insert into t values (4); insert into t values (5)"
	b.wire.breakAt("values (5)", true)
	if err := s.Apply(t.Context(), e); !isLost(err) {
		t.Errorf("%v", err)
	}
	if going, err := s.Underway(looking(e)); going || err != nil {
		t.Errorf("%v, %v", going, err)
	}
}

func isLost(err error) bool { _, ok := errors.AsType[*remote.LostError](err); return ok }

func TestPostgresSQLPasswords(t *testing.T) {
	b := newPgBox(t, remotetest.PostgresOptions{Password: "top secret", Settings: []string{"log_statement = all", "log_min_duration_statement = 0"}})
	role := "we\"ird'; drop table t; --\nß"
	b.Exec("postgres", "create role "+postgres.QuoteName(role)+" login; create role weak createrole login password 'weak one'")
	b.secrets["app"] = `pass'w\ord "x" of the app`
	s := &postgresSQL{postgresStore: b.store("postgres"), Passwords: map[string]secret.Ref{role: {Name: "app"}}, InTransaction: true}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	e, log := b.env()
	if err := s.Verify(t.Context(), looking(e)); err == nil {
		t.Error("verified before")
	}
	if err := s.Apply(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), looking(e)); err != nil {
		t.Error(err)
	}
	// Without the right to look, by a login.
	b.secrets["pg"] = "weak one"
	s.User = "weak"
	if err := s.Verify(t.Context(), looking(e)); err != nil {
		t.Error(err)
	}
	b.secrets["app"] = "another one"
	if err := s.Verify(t.Context(), looking(e)); err == nil || !strings.Contains(err.Error(), "the login fails") {
		t.Errorf("%v", err)
	}
	for what, text := range map[string]string{"belay's log": log.String(), "the server's log": b.Log()} {
		if strings.Contains(text, `ord "x" of the app`) {
			t.Errorf("%s holds the password", what)
		}
	}
	if !strings.Contains(b.Log(), "SCRAM-SHA-256$4096") {
		t.Error("the server did not log the statement, so this test proves nothing")
	}
}

func TestPostgresSQLRefuses(t *testing.T) {
	of := postgresStore{Database: "shop"}
	for want, s := range map[string]*postgresSQL{
		"sql: nothing is to be done":    {postgresStore: of, InTransaction: true},
		"database: which one?":          {SQL: "select 1", InTransaction: true},
		"sql: line 2: COMMIT would end": {postgresStore: of, SQL: "select 1;\nCOMMIT", InTransaction: true},
		"sql: line 1: COPY FROM STDIN":  {postgresStore: of, SQL: "copy t from stdin"},
		"file: sql and file exclude":    {postgresStore: of, SQL: "select 1", File: "x", InTransaction: true},
		"passwords: they are set in":    {postgresStore: of, Passwords: map[string]secret.Ref{"a": {Name: "b"}}},
		"verify: it holds 2 statements": {postgresStore: of, SQL: "select 1", VerifyBy: "select 1; select 2", InTransaction: true},
		"undo: line 1: \"\\\\q\" is a":  {postgresStore: of, SQL: "select 1", UndoBy: `\q`, InTransaction: true},
	} {
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if err := (&postgresSQL{postgresStore: of, SQL: "begin; select 1; commit"}).Validate(); err != nil {
		t.Error(err)
	}
}
