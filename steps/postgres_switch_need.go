package steps

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"belay/checks"
	"belay/remote/secret"
	"belay/steps/postgres"
)

// Needs a login on both sides; the databases may not be there yet. With
// reverse, all that a replication in the other direction relies on as well.
func (s *postgresSwitch) Needs(on string) []checks.Check {
	all := []checks.Check{
		&pgNeed{Of: pgBeside(s.From), On: on, What: "switch from", Judge: pgJudgeLogin},
		&pgNeed{Of: pgBeside(s.To), On: on, What: "switch to", Judge: pgJudgeLogin},
	}
	if r := s.Reverse; r != nil {
		all = append(all,
			&pgNeed{Of: pgBeside(s.To), On: on, What: "send back", Judge: pgJudgeBackPublisher},
			&pgNeed{Of: pgBeside(s.From), On: on, What: "take back", Judge: pgJudgeBackSubscriber},
			&pgNeed{Of: s.From, On: on, What: "tables back", Judge: s.judgeBackTables},
			&pgReach{On: on, Of: s.To, By: s.From, Addr: r.Addr, User: r.User, Password: r.Password, What: "reach back"})
	}
	return all
}

// pgJudgeBackPublisher holds the new server against what sending back takes.
func pgJudgeBackPublisher(ctx context.Context, c *pgx.Conn) ([]checks.Finding, error) {
	var level, user, keep string
	var slots, used, senders, sending int
	var super, replicates bool
	const q = `select current_setting('wal_level'), current_user, coalesce(current_setting('max_slot_wal_keep_size', true), '-1'),
		current_setting('max_replication_slots')::int, (select count(*) from pg_catalog.pg_replication_slots)::int,
		current_setting('max_wal_senders')::int, (select count(*) from pg_catalog.pg_stat_replication)::int, rolsuper, rolreplication
		from pg_catalog.pg_roles where rolname = current_user`
	if err := c.QueryRow(ctx, q).Scan(&level, &user, &keep, &slots, &used, &senders, &sending, &super, &replicates); err != nil {
		return nil, err
	}
	var all []checks.Finding
	say := func(key string, ok bool, bad checks.Level, text, fix string) {
		f := checks.Finding{Key: key, Level: checks.Pass, Text: text}
		if !ok {
			f.Level, f.Fix = bad, fix
		}
		all = append(all, f)
	}
	say("wal_level", level == "logical", checks.Block, "wal_level of the target is "+level,
		"ALTER SYSTEM SET wal_level = 'logical', and restart that server; or leave reverse out")
	say("slots", slots > used, checks.Block, fmt.Sprintf("%d of %d replication slots of the target are free, 1 needed to send back", slots-used, slots),
		"raise max_replication_slots (restart), or drop slots that nobody uses")
	say("senders", senders > sending, checks.Block, fmt.Sprintf("%d of %d WAL senders of the target are free, 1 needed to send back", senders-sending, senders),
		"raise max_wal_senders (restart)")
	say("rights", super || replicates, checks.Block, fmt.Sprintf("user %s, on the target: superuser %t, replication %t", user, super, replicates),
		"log in to the target as a superuser, or as the owner of the tables with REPLICATION")
	if !super && replicates {
		say("frozen", false, checks.Warn, fmt.Sprintf("user %s is no superuser of the target: once a rollback has frozen that, a session that breaks does not come back in", user),
			"log in to the target as a superuser")
	}
	text, fix := "max_slot_wal_keep_size of the target is "+keep+": a source that is away for longer than the target takes to write that much cannot be brought level again",
		""
	if keep == "-1" {
		text = "max_slot_wal_keep_size of the target is -1: while the source is away, the target keeps all of its log for it, until its disk is full"
		fix = "set it to what the disk can spare (ALTER SYSTEM SET max_slot_wal_keep_size = '20GB', and reload), or watch the disk during soak"
	}
	say("kept log", keep != "-1", checks.Warn, text, fix)
	return all, nil
}

// pgJudgeBackSubscriber holds the old server against what taking back takes.
func pgJudgeBackSubscriber(ctx context.Context, c *pgx.Conn) ([]checks.Finding, error) {
	s, err := pgAskSubscriber(ctx, c)
	if err != nil {
		return nil, err
	}
	f := checks.Finding{Key: "rights", Level: checks.Pass, Text: fmt.Sprintf("the source takes a subscription from user %s", s.user)}
	switch {
	case !s.super && !s.member:
		f.Level, f.Text = checks.Block, fmt.Sprintf("user %s may not make a subscription on the source", s.user)
		f.Fix = "log in to the source as a superuser or, from PostgreSQL 16 on, as a member of pg_create_subscription; or leave reverse out"
	case !s.super:
		f.Level, f.Text = checks.Warn, fmt.Sprintf("user %s is no superuser of the source: its subscription may be kept out of the frozen database by the limit", s.user)
		f.Fix = "log in to the source as a superuser"
	}
	all := []checks.Finding{f}
	if s.workers < 1 || s.origins < 1 {
		all = append(all, checks.Finding{Key: "workers", Level: checks.Block, Text: fmt.Sprintf("the source has max_logical_replication_workers = %d and %s = %d, 1 needed of each", s.workers, s.setting, s.origins),
			Fix: "raise them, and restart that server"})
	}
	return all, nil
}

// judgeBackTables names what a rollback would not bring back.
func (s *postgresSwitch) judgeBackTables(ctx context.Context, c *pgx.Conn) ([]checks.Finding, error) {
	tables, err := postgres.ReplicaTables(ctx, c, nil, nil)
	if err != nil {
		return nil, err
	}
	bad := pgUnfollowed(tables)
	var objects int
	if err := c.QueryRow(ctx, "select count(*)::int from pg_catalog.pg_largeobject_metadata").Scan(&objects); err != nil {
		return nil, err
	}
	f := checks.Finding{Key: "tables", Level: checks.Pass, Text: fmt.Sprintf("%d tables have what it takes to be replicated back; changes of the schema never are: leave it alone until postgres.detach", len(tables))}
	if len(bad) > 0 {
		f = checks.Finding{Key: "tables", Level: checks.Warn, Text: fmt.Sprintf("%d tables have no key or are unlogged: what is written to them after the switch does not come back at a rollback", len(bad)),
			Fix: "give them a primary key before the copy, or accept it: " + strings.Join(bad, ", ")}
	}
	all := []checks.Finding{f}
	if objects > 0 {
		all = append(all, checks.Finding{Key: "large objects", Level: checks.Warn, Text: fmt.Sprintf("the source has %d large objects: what happens to any of them after the switch does not come back at a rollback", objects),
			Fix: "accept it, or keep large objects from being written during soak"})
	}
	return all, nil
}

// pgReach is whether one database server can log in to another, tried from the
// host that it runs on.
type pgReach struct {
	On       string        // the step's host
	Of, By   postgresStore // By logs in to Of
	Addr     string        // of Of, as By sees it
	User     string        // empty: that of Of
	Password secret.Ref
	What     string
}

// CheckName is what the findings are called by.
func (n *pgReach) CheckName() string { return "postgres" }

// HostNames are the host that logs in.
func (n *pgReach) HostNames() []string { return (&pgNeed{Of: n.By, On: n.On}).HostNames() }

// Assess logs in, and out again.
func (n *pgReach) Assess(ctx context.Context, w checks.World) ([]checks.Finding, error) {
	host := (&pgNeed{Of: n.By, On: n.On}).host()
	say := func(l checks.Level, text, fix string) ([]checks.Finding, error) {
		return []checks.Finding{{Host: host, Key: n.Of.Database + " " + n.What, Level: l, Text: text, Fix: fix}}, nil
	}
	switch {
	case w.Unreached[host] != nil:
		return say(checks.Unknown, "not judged: the host was not reached", "reach the host first, then re-check")
	case n.By.Container != "":
		return say(checks.Warn, fmt.Sprintf("whether container %s reaches %s cannot be tried from outside of it", n.By.Container, n.Addr), "try it: psql, in that container")
	}
	e := Env{Host: w.Hosts[n.On], Hosts: w.Hosts, Secret: w.Secret}
	s := postgres.Server{Host: w.Hosts[host], Addr: n.Addr, User: n.User, Database: n.Of.Database, TLS: n.Of.TLS}
	password := n.Password
	if s.User == "" {
		password = n.Of.Password
		if s.User = n.Of.User; s.User == "" {
			s.User = "postgres"
		}
	}
	var err error
	if s.Trust, err = storeTrust(ctx, s.Host, n.Of.store); err != nil {
		return say(checks.Block, err.Error(), "the server that replicates reads the authority's certificates at that path of its own host: put them there, too")
	}
	if s.Password, err = storePassword(ctx, store{Password: password}, e.Secret); err != nil {
		return nil, err
	}
	c, err := s.Connect(ctx)
	if no, ok := errors.AsType[*pgconn.PgError](err); ok && no.Code == "3D000" { // invalid_catalog_name: the login was good
		err = nil
	} else if err == nil {
		pgLogout(c)
	}
	if err != nil {
		return say(checks.Block, err.Error(), "see that the server listens there, and that firewall, password and pg_hba.conf let it in from this host")
	}
	return say(checks.Pass, fmt.Sprintf("this host reaches PostgreSQL at %s, which lets %s in", n.Addr, s.User), "")
}
