package steps

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"belay/checks"
	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/secret"
)

// TestPostgresQuery asks a real server, and compares what it answers.
func TestPostgresQuery(t *testing.T) {
	b := newPgBox(t, remotetest.PostgresOptions{})
	b.Exec("postgres", "CREATE TABLE users AS SELECT generate_series(1, 72) AS id")
	e, _ := b.env()
	memory := map[string]string{}
	w := checks.World{Hosts: remote.Hosts{"db": remote.ReadOnly(e.Host)}, Memory: memory,
		Secret: func(ctx context.Context, name string) (secret.Value, error) { return e.Secret(ctx, name) }}
	ask := func(a answerWanted) checks.Finding {
		t.Helper()
		a.On, a.Timeout = "db", remote.Duration(60e9)
		if a.Query == "" {
			a.Query = "SELECT count(*) FROM users"
		}
		c := &postgresQuery{postgresStore: b.store("postgres"), answerWanted: a}
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		found, err := c.Assess(t.Context(), w)
		if err != nil || len(found) != 1 {
			t.Fatalf("%+v, %v", found, err)
		}
		return found[0]
	}
	for _, c := range []struct {
		ask  answerWanted
		want checks.Level
	}{
		{answerWanted{Equal: "72"}, checks.Pass}, {answerWanted{Equal: "71"}, checks.Block},
		{answerWanted{AtLeast: "72"}, checks.Pass}, {answerWanted{AtLeast: "72.5"}, checks.Block},
		{answerWanted{AtMost: "72"}, checks.Pass}, {answerWanted{AtMost: "-1"}, checks.Block},
		{answerWanted{NotFalling: true}, checks.Pass},
		{answerWanted{AtMost: "1", Query: "SELECT 'many'"}, checks.Unknown},
		{answerWanted{AtMost: "1", Query: "SELECT id FROM users"}, checks.Unknown},
		{answerWanted{Equal: "1", Query: "SELECT no FROM users"}, checks.Block},
		{answerWanted{Equal: "1", Query: "DELETE FROM users RETURNING 1"}, checks.Block}, // read-only
	} {
		f := ask(c.ask)
		if f.Level != c.want || (f.Level == checks.Pass) != (f.Took > 0) {
			t.Errorf("%+v: %+v", c.ask, f)
		}
	}
	b.Exec("postgres", "DELETE FROM users WHERE id < 3")
	if f := ask(answerWanted{NotFalling: true}); f.Level != checks.Block || memory["highest"] != "72" {
		t.Errorf("fewer users than before: %+v, remembered %q", f, memory)
	}
	b.Stop()
	if f := ask(answerWanted{Equal: "70"}); f.Level != checks.Block {
		t.Errorf("of a server that is down: %+v", f)
	}
	w.Unreached = map[string]error{"db": context.DeadlineExceeded}
	if f := ask(answerWanted{Equal: "70"}); f.Level != checks.Unknown {
		t.Errorf("of a host that was not reached: %+v", f)
	}
}

// TestMySQLQuery asks a real server as a probe does, and compares what it
// answers.
func TestMySQLQuery(t *testing.T) {
	eachMySQL(t, func(t *testing.T, start mysqlStart) {
		m := start(t, remotetest.MySQLOptions{Password: "it's"})
		probeMySQL(t, remote.Local("db"), mysqlStoreOf(m, "a"), mysqlSecrets(map[string]string{"a": "it's"}), m.Exec, m.Kill)
	})
}

// probeMySQL is TestMySQLQuery on any server of that kind, which it ends by stop.
func probeMySQL(t *testing.T, h remote.Host, at mysqlStore, secrets func(context.Context, string) (secret.Value, error), exec func(database, query string, args ...any), stop func()) {
	t.Helper()
	exec("", "CREATE DATABASE `sh'op`; CREATE TABLE `sh'op`.orders (id int PRIMARY KEY, total decimal(30,2)); INSERT INTO `sh'op`.orders VALUES (1, 12345678901234567890.25), (2, 1), (3, NULL)")
	memory := map[string]string{}
	w := checks.World{Hosts: remote.Hosts{"db": remote.ReadOnly(h)}, Memory: memory, Secret: secrets}
	ask := func(a answerWanted) checks.Finding {
		t.Helper()
		a.On, a.Timeout = "db", remote.Duration(60e9)
		if a.Query == "" {
			a.Query = "SELECT COUNT(*) FROM orders;"
		}
		c := &mysqlQuery{mysqlStore: at, answerWanted: a, Database: "sh'op"}
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		found, err := c.Assess(t.Context(), w)
		if err != nil || len(found) != 1 {
			t.Fatalf("%+v, %v", found, err)
		}
		return found[0]
	}
	for _, c := range []struct {
		ask  answerWanted
		want checks.Level
		says string
	}{
		{answerWanted{Equal: "3"}, checks.Pass, "the answer is 3"}, {answerWanted{Equal: "4"}, checks.Block, "the answer is 3, not 4"},
		{answerWanted{AtLeast: "3"}, checks.Pass, ""}, {answerWanted{AtLeast: "3.5"}, checks.Block, "below 3.5"},
		{answerWanted{AtMost: "3"}, checks.Pass, ""}, {answerWanted{AtMost: "-1"}, checks.Block, "above -1"},
		{answerWanted{AtMost: "12345678901234567890.25", Query: "SELECT MAX(total) FROM orders"}, checks.Pass, ""},
		{answerWanted{AtMost: "12345678901234567890.24", Query: "SELECT MAX(total) FROM orders"}, checks.Block, "above"},
		{answerWanted{NotFalling: true}, checks.Pass, ""},
		{answerWanted{AtMost: "1", Query: "SELECT 'many'"}, checks.Unknown, "not a number"},
		{answerWanted{AtMost: "1", Query: "SELECT total FROM orders WHERE id = 3"}, checks.Unknown, "not a number"}, // NULL is no 0
		{answerWanted{AtMost: "1", Query: "SELECT id FROM orders"}, checks.Unknown, "rows"},
		{answerWanted{AtMost: "1", Query: "SELECT id FROM orders WHERE id > 3"}, checks.Unknown, "0 rows"},
		{answerWanted{Equal: "1", Query: "SELECT nothing FROM orders"}, checks.Block, "nothing"},
		{answerWanted{Equal: "1", Query: "DELETE FROM orders"}, checks.Block, ""},           // read-only
		{answerWanted{Equal: "1", Query: "SELECT 1; DELETE FROM orders"}, checks.Block, ""}, // one statement
	} {
		f := ask(c.ask)
		if f.Level != c.want || (f.Level == checks.Pass) != (f.Took > 0) || !strings.Contains(f.Text, c.says) || strings.Contains(f.Text, "it's") {
			t.Errorf("%+v: %+v", c.ask, f)
		}
	}
	if memory["highest"] != "3" {
		t.Errorf("remembered %q: an order is gone, or nothing was kept", memory)
	}
	exec("sh'op", "DELETE FROM orders WHERE id = 1")
	if f := ask(answerWanted{NotFalling: true}); f.Level != checks.Block || !strings.Contains(f.Text, "was 3 before") {
		t.Errorf("fewer orders than before: %+v", f)
	}
	right := w.Secret
	w.Secret = mysqlSecrets(map[string]string{"a": "wrong"})
	if f := ask(answerWanted{Equal: "2"}); f.Level != checks.Block || strings.Contains(f.Text, "wrong") {
		t.Errorf("with another password: %+v", f)
	}
	w.Secret = right
	stop()
	if f := ask(answerWanted{Equal: "2"}); f.Level != checks.Block {
		t.Errorf("of a server that is down: %+v", f)
	}
	w.Unreached = map[string]error{"db": context.DeadlineExceeded}
	if f := ask(answerWanted{Equal: "2"}); f.Level != checks.Unknown {
		t.Errorf("of a host that was not reached: %+v", f)
	}
}

// TestQueryWithoutItsPassword: that nobody has typed the password yet, or
// refuses to, is no bad look; nor does the time of typing count.
func TestQueryWithoutItsPassword(t *testing.T) {
	t.Parallel()
	refused := errors.New("secret \"pg\": nobody gave it")
	asked := func(answer secret.Value, err error, pause time.Duration) []checks.Finding {
		a := answerWanted{On: "db", Query: "SELECT 1", Equal: "1", Timeout: remote.Duration(2 * time.Second)}
		w := checks.World{Hosts: remote.Hosts{"db": {Name: "db"}}, Secret: func(context.Context, string) (secret.Value, error) {
			time.Sleep(pause)
			return answer, err
		}}
		found, err := a.assess(t.Context(), w, "postgres.query", "shop", func(ctx context.Context, e Env) ([]string, error) {
			if _, err := e.Secret(ctx, "pg"); err != nil {
				return nil, err
			}
			return []string{"1"}, ctx.Err()
		})
		if err != nil || len(found) != 1 {
			t.Fatalf("%+v, %v", found, err)
		}
		return found
	}
	if f := asked(secret.Value{}, refused, 0)[0]; f.Level != checks.Unknown || !strings.Contains(f.Text, "nobody gave it") {
		t.Errorf("refused: %+v", f)
	}
	if f := asked(secret.New("x"), nil, 2500*time.Millisecond)[0]; f.Level != checks.Pass {
		t.Errorf("typed slowly: %+v", f)
	}
}
