package steps

import (
	"context"
	"errors"
	"fmt"

	"belay/checks"
	"belay/steps/mysql"
)

// mysqlOnPath is a database at a version that the path knows, asked before
// anything has changed: a window is no time to find out that it is not.
type mysqlOnPath struct {
	step *mysqlMigrate
	on   string // the step's host
}

// CheckName is how findings call it.
func (n *mysqlOnPath) CheckName() string { return "mysql.migrate" }

// HostNames is the host that reaches the server.
func (n *mysqlOnPath) HostNames() []string {
	return storeHosts(n.on, n.step.store)
}

// Assess reads the version. A database that is not there yet, or is empty, may
// come by an earlier step.
func (n *mysqlOnPath) Assess(ctx context.Context, w checks.World) ([]checks.Finding, error) {
	m := n.step
	f := checks.Finding{Host: n.HostNames()[0], Key: "version of " + m.Database + " " + m.where(mysqlPort)}
	if err := w.Unreached[f.Host]; err != nil {
		f.Text, f.Fix = "not judged: the host was not reached", "reach the host first, then re-check"
		return []checks.Finding{f}, nil
	}
	e := Env{Host: w.Hosts[f.Host], Hosts: w.Hosts, Secret: w.Secret}
	db, err := mysqlOpen(ctx, e, m.mysqlStore)
	if f, gone := storeGone(err, f.Key, true); gone {
		return []checks.Finding{f}, nil
	}
	if err != nil {
		return nil, err
	}
	defer db.Close()
	held, options, err := mysql.Holds(ctx, db, m.Database)
	if err != nil {
		return nil, err
	}
	if options == "" || held == 0 {
		f.Level, f.Text = checks.Pass, fmt.Sprintf("database %q %s is not there yet, or empty", m.Database, m.where(mysqlPort))
		return []checks.Finding{f}, nil
	}
	version, err := m.version(ctx, e)
	var path []mysqlHop
	if err == nil {
		path, err = m.path(version)
	}
	if ctx.Err() != nil {
		return nil, errors.Join(err, ctx.Err())
	}
	if err != nil {
		f.Level, f.Text, f.Fix = checks.Block, err.Error(), "settle it before the run begins"
		return []checks.Finding{f}, nil
	}
	f.Level, f.Text = checks.Pass, fmt.Sprintf("database %q %s is at version %s; %s is %d hops away", m.Database, m.where(mysqlPort), version, m.target(), len(path))
	return []checks.Finding{f}, nil
}
