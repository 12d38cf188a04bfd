package steps

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"belay/checks"
	"belay/remote"
	"belay/remote/secret"
	"belay/steps/postgres"
)

func init() {
	registerCheck(checks.Kind{
		Name: "postgres.query", Summary: "a query of a PostgreSQL database gives an answer as it should be",
		Example: `- postgres.query: {on: db, database: shop, password: {secret: pg_password}, query: "SELECT count(*) FROM users", at_least: 72}`,
		New:     func() checks.Check { return new(postgresQuery) },
	})
	registerCheck(checks.Kind{
		Name: "mysql.query", Summary: "a query of a MySQL or MariaDB database gives an answer as it should be",
		Example: `- mysql.query: {on: db, database: shop, password: {secret: db_password}, query: "SELECT COUNT(*) FROM orders", not_falling: true}`,
		New:     func() checks.Check { return new(mysqlQuery) },
	})
}

// answerWanted is what the answer of a query is compared with: its first column
// of its only row.
type answerWanted struct {
	On         string          `yaml:"on" required:"" doc:"host from which the server is asked"`
	Query      string          `yaml:"query" scalar:"" required:"" doc:"one query that returns one row; its first column is the answer; it is run in a read-only transaction"`
	Equal      string          `yaml:"equal" doc:"text that the answer must be"`
	AtLeast    string          `yaml:"at_least" doc:"number that the answer must not be below"`
	AtMost     string          `yaml:"at_most" doc:"number that the answer must not be above"`
	NotFalling bool            `yaml:"not_falling" doc:"in a soak, the answer must not be below any that was seen before"`
	Timeout    remote.Duration `yaml:"timeout" default:"10s" doc:"how long login and answer may take"`
}

func (a *answerWanted) HostNames() []string { return []string{a.On} }
func (a *answerWanted) NeedsFacts() bool    { return false }

func (a *answerWanted) check() error {
	var errs []error
	for field, text := range map[string]string{"at_least": a.AtLeast, "at_most": a.AtMost} {
		if _, ok := number(text); text != "" && !ok {
			errs = append(errs, Field(field, "%q is not a number", checks.OneLine(text, 40)))
		}
	}
	if a.Equal == "" && a.AtLeast == "" && a.AtMost == "" && !a.NotFalling {
		errs = append(errs, Field("equal", "say what the answer must be, here or under `at_least`, `at_most` or `not_falling`"))
	}
	return errors.Join(errs...)
}

// number reads a decimal number exactly; counts and sums may be large.
func number(text string) (*big.Rat, bool) {
	text = strings.TrimSpace(text)
	if len(text) > 60 || strings.ContainsAny(text, "/eEpPxX_") {
		return nil, false
	}
	return new(big.Rat).SetString(text)
}

// assess asks once, and judges the answer.
func (a *answerWanted) assess(ctx context.Context, w checks.World, name, store string, ask func(context.Context, Env) ([]string, error)) ([]checks.Finding, error) {
	f := checks.Finding{Check: name, Key: checks.OneLine(a.Query, 100), Host: a.On, Level: checks.Unknown}
	h, known := w.Hosts[a.On]
	if !known || w.Unreached[a.On] != nil {
		f.Text, f.Fix = "not judged: host "+a.On+" was not reached", "reach the host first, then re-check"
		return []checks.Finding{f}, nil
	}
	limit := time.Duration(a.Timeout)
	late := fmt.Errorf("no answer within %v", limit)
	asking, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	began := time.Now()
	clock := time.AfterFunc(limit, func() { stop(late) })
	defer clock.Stop()
	var unsaid error
	got, err := ask(asking, Env{ID: "look", Host: h, Hosts: w.Hosts, Secret: func(_ context.Context, name string) (secret.Value, error) {
		// A person who has yet to type a password says nothing about the server.
		clock.Stop()
		if w.Secret == nil {
			unsaid = fmt.Errorf("secret %q is not at hand here", name)
			return secret.Value{}, unsaid
		}
		v, err := w.Secret(ctx, name)
		unsaid, began = err, time.Now()
		clock.Reset(limit)
		return v, err
	}})
	took := time.Since(began)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if unsaid != nil {
		f.Text, f.Fix = "not judged: "+checks.OneLine(unsaid.Error(), 250), "give belay the secret"
		return []checks.Finding{f}, nil
	}
	if err != nil {
		f.Text, f.Fix = store+": "+checks.OneLine(cause(asking, err).Error(), 250), "see whether it runs, and what its log says"
		if !unseen(err) {
			f.Level = checks.Block
		}
		return []checks.Finding{f}, nil
	}
	f.Level, f.Text = a.judge(got, w.Memory)
	if f.Level == checks.Pass {
		f.Took = float64(took.Microseconds()) / 1000
	} else {
		f.Fix = "look at the data; what is wrong there may become worse with every minute"
	}
	return []checks.Finding{f}, nil
}

// unseen tells that nobody could ask, which says nothing about the server.
func unseen(err error) bool {
	_, gone := errors.AsType[*remote.UnreachableError](err)
	_, lost := errors.AsType[*remote.LostError](err)
	return gone || lost || errors.Is(err, remote.ErrNoForwarding) || errors.Is(err, remote.ErrReadOnly)
}

// cause is the error, or why time was up.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// judge compares the answer. memory is the probe's, nil outside of a soak.
func (a *answerWanted) judge(rows []string, memory map[string]string) (checks.Level, string) {
	if len(rows) != 1 {
		return checks.Unknown, fmt.Sprintf("the query returns %d rows; one was expected", len(rows))
	}
	said := checks.OneLine(rows[0], 100)
	text := "the answer is " + said
	if a.Equal != "" && rows[0] != a.Equal {
		return checks.Block, text + ", not " + checks.OneLine(a.Equal, 100)
	}
	if a.AtLeast == "" && a.AtMost == "" && !a.NotFalling {
		return checks.Pass, text
	}
	n, ok := number(rows[0])
	if !ok {
		return checks.Unknown, fmt.Sprintf("the answer is %q, which is not a number", said)
	}
	if low, _ := number(a.AtLeast); a.AtLeast != "" && n.Cmp(low) < 0 {
		return checks.Block, text + ", below " + a.AtLeast
	}
	if high, _ := number(a.AtMost); a.AtMost != "" && n.Cmp(high) > 0 {
		return checks.Block, text + ", above " + a.AtMost
	}
	if a.NotFalling && memory != nil {
		before, seen := memory["highest"], false
		if most, ok := number(before); ok {
			if seen = true; n.Cmp(most) < 0 {
				return checks.Block, text + ", and was " + before + " before"
			}
			seen = n.Cmp(most) == 0
		}
		if !seen {
			memory["highest"] = strings.TrimSpace(rows[0])
		}
	}
	return checks.Pass, text
}

// postgresQuery asks a PostgreSQL server.
type postgresQuery struct {
	postgresStore `yaml:",inline"`
	answerWanted  `yaml:",inline"`
}

// CheckName is how findings call it.
func (c *postgresQuery) CheckName() string { return "postgres.query" }
func (c *postgresQuery) String() string    { return c.Database + ": " + checks.OneLine(c.Query, 60) }

func (c *postgresQuery) Validate() error {
	errs := errors.Join(c.postgresStore.check(""), c.answerWanted.check())
	all, err := postgres.Split(c.Query)
	switch {
	case err != nil:
		return errors.Join(errs, Field("query", "%w", err))
	case len(all) != 1:
		return errors.Join(errs, Field("query", "it holds %d statements, and must be one query", len(all)))
	}
	return errs
}

// Assess asks once; nothing is kept open between two looks.
func (c *postgresQuery) Assess(ctx context.Context, w checks.World) ([]checks.Finding, error) {
	return c.assess(ctx, w, c.CheckName(), c.Database, func(ctx context.Context, e Env) ([]string, error) {
		srv, err := c.server(ctx, e)
		if err != nil {
			return nil, err
		}
		srv.Plain = true
		conn, err := srv.Connect(ctx)
		if err != nil {
			return nil, err
		}
		defer pgLogout(conn)
		got, err := postgres.Look(ctx, conn, c.Query, 2)
		var rows []string
		for _, r := range got.Rows {
			rows = append(rows, append(r, "")[0])
		}
		return rows, err
	})
}

// mysqlQuery asks a MySQL or MariaDB server.
type mysqlQuery struct {
	mysqlStore   `yaml:",inline"`
	answerWanted `yaml:",inline"`
	Database     string `yaml:"database" doc:"name of the database"`
}

// CheckName is how findings call it.
func (c *mysqlQuery) CheckName() string { return "mysql.query" }
func (c *mysqlQuery) String() string    { return checks.OneLine(c.Query, 60) + " on " + c.On }

func (c *mysqlQuery) Validate() error {
	return errors.Join(c.mysqlStore.check(""), c.answerWanted.check())
}

// Assess asks once; nothing is kept open between two looks.
func (c *mysqlQuery) Assess(ctx context.Context, w checks.World) ([]checks.Finding, error) {
	return c.assess(ctx, w, c.CheckName(), c.Query, func(ctx context.Context, e Env) ([]string, error) {
		return c.ask(ctx, e, c.Database, c.Query)
	})
}
