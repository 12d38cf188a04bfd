package steps

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"belay/checks"
)

// pgNeed is a condition that a kind for PostgreSQL relies on, asked of the
// server itself before anything has changed.
type pgNeed struct {
	Of    postgresStore
	On    string // the step's host
	What  string // what is judged, of this step: "wal_level"
	Judge func(ctx context.Context, c *pgx.Conn) ([]checks.Finding, error)
}

// CheckName is what the findings are called by.
func (n *pgNeed) CheckName() string { return "postgres" }

// HostNames are the host that reaches the server.
func (n *pgNeed) HostNames() []string { return storeHosts(n.On, n.Of.store) }

func (n *pgNeed) host() string { return n.Of.on(n.On) }

// Assess logs in and lets Judge look. A server that does not let belay in
// blocks: nothing of the step could be done.
func (n *pgNeed) Assess(ctx context.Context, w checks.World) ([]checks.Finding, error) {
	mine := func(f checks.Finding) checks.Finding {
		f.Host = n.host()
		f.Key = fmt.Sprintf("%s %s %s %s", n.Of.Database, n.Of.where(postgresPort), n.What, f.Key)
		return n.Of.tell(f, "database "+n.Of.Database, postgresPort)
	}
	if err := w.Unreached[n.host()]; err != nil {
		return []checks.Finding{mine(checks.Finding{Level: checks.Unknown, Text: "not judged: the host was not reached", Fix: "reach the host first, then re-check"})}, nil
	}
	e := Env{Host: w.Hosts[n.host()], Hosts: w.Hosts, Secret: w.Secret}
	srv, err := n.Of.server(ctx, e)
	if f, gone := storeGone(err, "", true); gone {
		return []checks.Finding{mine(f)}, nil
	}
	if err != nil {
		return nil, err
	}
	c, err := srv.Connect(ctx)
	if no, ok := errors.AsType[*pgconn.PgError](err); ok && no.Code == "3D000" { // invalid_catalog_name, after the login was good
		return []checks.Finding{mine(checks.Finding{Level: checks.Warn, Text: fmt.Sprintf("PostgreSQL %s lets %s in, but has no database %s yet", n.Of.where(postgresPort), srv.User, n.Of.Database),
			Fix: "go on only if an earlier step makes it", Awaits: broughtDatabase(n.host(), n.Of)})}, nil
	}
	if err != nil && (n.What == "log in" || n.What == "restore") { // what an earlier step may start
		if f, absent := storeAbsent(ctx, w, n.On, n.Of.store, postgresPort, ""); absent {
			return []checks.Finding{mine(f)}, nil
		}
	}
	if err != nil {
		return []checks.Finding{mine(checks.Finding{Level: checks.Block, Text: err.Error(),
			Fix: "see that the server runs, and that address, user, password and pg_hba.conf fit"})}, nil
	}
	defer pgLogout(c)
	all, err := n.Judge(ctx, c)
	for i := range all {
		all[i] = mine(all[i])
	}
	return all, err
}

// pgJudgeLogin is content with having logged in.
func pgJudgeLogin(ctx context.Context, c *pgx.Conn) ([]checks.Finding, error) {
	var version, user string
	if err := c.QueryRow(ctx, "select current_setting('server_version'), current_user").Scan(&version, &user); err != nil {
		return nil, err
	}
	return []checks.Finding{{Level: checks.Pass, Text: fmt.Sprintf("PostgreSQL %s lets %s in", version, user)}}, nil
}
