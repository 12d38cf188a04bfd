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
