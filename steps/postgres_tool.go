package steps

import (
	"context"
	"errors"
	"fmt"

	"belay/checks"
	"belay/steps/postgres"
)

// pgTool is a client program that a step will run, of a version that fits the
// server: pg_dump refuses a server that is newer than itself.
type pgTool struct {
	Of   postgresStore
	On   string // the step's host
	Name string // pg_dump, pg_restore
	Dump string // what pg_restore shall read; it may not be there yet
}

// CheckName is what the findings are called by.
func (n *pgTool) CheckName() string { return "postgres" }

// HostNames are the host that it is to run on.
func (n *pgTool) HostNames() []string { return (&pgNeed{Of: n.Of, On: n.On}).HostNames() }

// Assess asks the host which programs it has.
func (n *pgTool) Assess(ctx context.Context, w checks.World) ([]checks.Finding, error) {
	host := (&pgNeed{Of: n.Of, On: n.On}).host()
	say := func(l checks.Level, text, fix string) ([]checks.Finding, error) {
		return []checks.Finding{{Host: host, Key: n.Of.Database + " " + n.Name, Level: l, Text: text, Fix: fix}}, nil
	}
	if w.Unreached[host] != nil {
		return say(checks.Unknown, "not judged: the host was not reached", "reach the host first, then re-check")
	}
	e := Env{Host: w.Hosts[host], Hosts: w.Hosts, Secret: w.Secret}
	srv, err := n.Of.server(ctx, e)
	if err != nil {
		return nil, err
	}
	server, _ := srv.Major(ctx) // 0 for one that does not answer (yet), of which another finding tells
	least := server
	if n.Dump != "" {
		if about, err := postgres.ReadAbout(ctx, srv.Host, n.Dump, false); err == nil {
			least = max(least, about.Client)
		}
	}
	major, path, err := srv.Which(ctx, n.Name, least)
	switch {
	case errors.Is(err, postgres.ErrNoTool):
		return say(checks.Block, err.Error(), fmt.Sprintf("install the client programs of PostgreSQL %d (Debian: postgresql-client-%[1]d)", least))
	case err != nil:
		return nil, err
	case n.Name == "pg_restore" && pgTooNew(major, server):
		return say(checks.Block, pgTooNewText(major, server), pgTooNewFix(server))
	case pgTooNew(major, server):
		return say(checks.Warn, fmt.Sprintf("%s is of PostgreSQL %d: what it writes can be restored into PostgreSQL 17 and newer, not into the %d that it comes from", path, major, server),
			fmt.Sprintf("install the client programs of PostgreSQL %d, if the dump is to go back into such a server", server))
	}
	return say(checks.Pass, fmt.Sprintf("%s, of PostgreSQL %d, fits the server", path, major), "")
}

// pgTooNew tells of client programs whose dumps begin with a setting that a
// server does not know: transaction_timeout, since 17.
func pgTooNew(client, server int) bool { return client >= 17 && server > 0 && server < 17 }

func pgTooNewText(client, server int) string {
	return fmt.Sprintf("only pg_restore of PostgreSQL %d can read the dump, and it asks for settings that this server, PostgreSQL %d, does not know", client, server)
}

func pgTooNewFix(server int) string {
	return fmt.Sprintf("restore into PostgreSQL 17 or newer or, of a server that is not newer than %d, dump again with its pg_dump", server)
}

// pgRestorable refuses a dump that a server cannot take in.
func pgRestorable(ctx context.Context, srv postgres.Server, about postgres.About) error {
	server, err := srv.Major(ctx)
	if err != nil {
		return err
	}
	major, _, err := srv.Which(ctx, "pg_restore", max(server, about.Client))
	if err != nil {
		return fmt.Errorf("%w; nothing was changed", err)
	}
	if pgTooNew(major, server) {
		return fmt.Errorf("%s: %s; nothing was changed", pgTooNewText(major, server), pgTooNewFix(server))
	}
	return nil
}
