package steps

import (
	"context"
	"slices"
	"strings"

	"belay/checks"
)

// mysqlUnstopped is whom a freeze will not stop.
type mysqlUnstopped struct {
	step *mysqlFreeze
	on   string
}

func (n *mysqlUnstopped) CheckName() string { return "mysql" }

func (n *mysqlUnstopped) login() *mysqlLogin {
	return &mysqlLogin{of: n.step.mysqlStore, on: n.on}
}

// HostNames is the host that reaches the server.
func (n *mysqlUnstopped) HostNames() []string { return n.login().HostNames() }

// Assess names them. A server that does not let belay in is another check's.
func (n *mysqlUnstopped) Assess(ctx context.Context, w checks.World) ([]checks.Finding, error) {
	host := n.login().host()
	pass := func(text string) []checks.Finding {
		return []checks.Finding{{Host: host, Key: "freeze unstopped " + n.step.where(mysqlPort), Level: checks.Pass, Text: text}}
	}
	const later = "whom read_only does not stop is asked once the server lets belay in, of which another finding tells"
	if w.Unreached[host] != nil {
		return pass(later), nil
	}
	db, err := mysqlOpen(ctx, Env{Host: w.Hosts[host], Hosts: w.Hosts, Secret: w.Secret}, n.step.mysqlStore)
	if err != nil {
		return pass(later), nil
	}
	defer db.Close()
	all, err := db.Unstopped(ctx)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(name string) bool { return slices.Contains(n.step.Lock, name) })
	if len(all) == 0 {
		return pass("MySQL " + n.step.where(mysqlPort) + ": read_only, with lock, stops every account"), nil
	}
	return []checks.Finding{{Host: host, Key: "freeze unstopped " + n.step.where(mysqlPort), Level: checks.Warn,
		Text: "MySQL " + n.step.where(mysqlPort) + ": read_only does not stop these accounts (READ ONLY ADMIN, or SUPER): " + strings.Join(all, ", "),
		Fix:  "name them under lock, so that they cannot log in while it is frozen, or revoke that right"}}, nil
}
