package steps

import (
	"cmp"
	"context"
	"fmt"

	"belay/checks"
)

// mysqlLogin is a server that lets belay in, asked before anything has changed.
type mysqlLogin struct {
	of   mysqlStore
	on   string // the step's host
	what string // what it is needed for
}

func (n *mysqlLogin) CheckName() string { return "mysql" }

func (n *mysqlLogin) host() string { return n.of.on(n.on) }

// HostNames is the host that reaches the server.
func (n *mysqlLogin) HostNames() []string { return storeHosts(n.on, n.of.store) }

// Assess logs in. A server that does not let belay in blocks.
func (n *mysqlLogin) Assess(ctx context.Context, w checks.World) ([]checks.Finding, error) {
	f := checks.Finding{Host: n.host(), Key: n.what + " " + n.of.where(mysqlPort)}
	if err := w.Unreached[n.host()]; err != nil {
		f.Text, f.Fix = "not judged: the host was not reached", "reach the host first, then re-check"
		return []checks.Finding{f}, nil
	}
	db, err := mysqlOpen(ctx, Env{Host: w.Hosts[n.host()], Hosts: w.Hosts, Secret: w.Secret}, n.of)
	if f, gone := storeGone(err, f.Key, true); gone {
		return []checks.Finding{f}, nil
	}
	if err != nil {
		f.Level, f.Text, f.Fix = checks.Block, err.Error(), "see that the server runs, and that address, user and password fit"
		return []checks.Finding{f}, nil
	}
	defer db.Close()
	f.Level, f.Text = checks.Pass, fmt.Sprintf("%s %s lets %s in", db.Version, n.of.where(mysqlPort), cmp.Or(n.of.User, "root"))
	return []checks.Finding{f}, nil
}
