package steps

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"belay/checks"
	"belay/steps/postgres"
)

// judgeSource holds the source against what logical replication needs
// (PostgreSQL manual, 31.10).
func (r *postgresReplicate) judgeSource(ctx context.Context, c *pgx.Conn) ([]checks.Finding, error) {
	var level, user, keep string
	var slots, slotsUsed, senders, sendersUsed, objects int
	var may, create bool
	const q = `select current_setting('wal_level'), current_user, coalesce(current_setting('max_slot_wal_keep_size', true), '-1'),
		current_setting('max_replication_slots')::int, (select count(*) from pg_catalog.pg_replication_slots)::int,
		current_setting('max_wal_senders')::int, (select count(*) from pg_catalog.pg_stat_replication)::int,
		(select count(*) from pg_catalog.pg_largeobject_metadata)::int,
		(select rolsuper or rolreplication from pg_catalog.pg_roles where rolname = current_user),
		has_database_privilege(current_database(), 'create')`
	err := c.QueryRow(ctx, q).Scan(&level, &user, &keep, &slots, &slotsUsed, &senders, &sendersUsed, &objects, &may, &create)
	if err != nil {
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
	say("wal_level", level == "logical", checks.Block, "wal_level of the source is "+level,
		"ALTER SYSTEM SET wal_level = 'logical', and restart that server in a maintenance window before")
	// One for the subscription, and one for each first copy under way (max_sync_workers_per_subscription, 2).
	say("slots", slots-slotsUsed >= 3, checks.Block, fmt.Sprintf("%d of %d replication slots of the source are free, 3 needed", slots-slotsUsed, slots),
		"raise max_replication_slots (restart), or drop slots that nobody uses")
	say("senders", senders-sendersUsed >= 3, checks.Block, fmt.Sprintf("%d of %d WAL senders of the source are free, 3 needed", senders-sendersUsed, senders),
		"raise max_wal_senders (restart)")
	say("rights", may && create, checks.Block, fmt.Sprintf("user %s, on the source: replication %t, create in database %s %t", user, may, r.From.Database, create),
		"log in as a superuser, or as the owner of the tables with REPLICATION")
	say("large objects", objects == 0, checks.Warn, fmt.Sprintf("the source has %d large objects", objects),
		"they are not replicated: copy them while frozen")
	say("kept log", keep == "-1", checks.Warn, "max_slot_wal_keep_size of the source is "+keep+" (-1: as much as is needed)",
		"see that this is more than the source writes during the first copy, or the replication is lost")
	tables, err := postgres.ReplicaTables(ctx, c, r.Tables, r.Exclude)
	if err != nil {
		return nil, err
	}
	bad := pgUnfollowed(tables)
	say("tables", len(bad) == 0 && len(tables) > 0, checks.Block, fmt.Sprintf("%d tables would be replicated, %d of them have no key or are unlogged", len(tables), len(bad)),
		"exclude them and copy them while frozen, or give them a key: "+strings.Join(bad, ", "))
	return all, nil
}

// judgeTarget is asked in a database that is there. What it lacks of the tables
// is for the step: others may make them before.
func (r *postgresReplicate) judgeTarget(context.Context, *pgx.Conn) ([]checks.Finding, error) {
	return []checks.Finding{{Level: checks.Pass, Text: "database " + r.To.Database + " is on the target"}}, nil
}

// pgUnfollowed names the tables that no replication follows: those without a
// key, and those that are not logged.
func pgUnfollowed(tables []postgres.ReplicaTable) (names []string) {
	for _, t := range tables {
		if t.Keyless || t.Unlogged {
			names = append(names, t.String())
		}
	}
	return names
}

// pgSubscriber is what a server says of being one.
type pgSubscriber struct {
	user             string
	super, member    bool // member: of pg_create_subscription (PostgreSQL 16)
	workers, origins int  // how many it may have
	setting          string
}

// pgAskSubscriber asks the server as whom belay logs in there. How many
// subscriptions it may follow is a setting of its own since 18; before, it is that
// of slots (https://www.postgresql.org/docs/18/runtime-config-replication.html).
func pgAskSubscriber(ctx context.Context, c *pgx.Conn) (s pgSubscriber, err error) {
	const q = `select current_user, rolsuper, current_setting('max_logical_replication_workers')::int,
		coalesce(current_setting('max_active_replication_origins', true), current_setting('max_replication_slots'))::int,
		case when current_setting('max_active_replication_origins', true) is null then 'max_replication_slots' else 'max_active_replication_origins' end,
		coalesce((select pg_has_role(oid, 'member') from pg_catalog.pg_roles where rolname = 'pg_create_subscription'), false)
		from pg_catalog.pg_roles where rolname = current_user`
	return s, c.QueryRow(ctx, q).Scan(&s.user, &s.super, &s.workers, &s.origins, &s.setting, &s.member)
}

// pgJudgeSubscriber holds the target's server against it.
func pgJudgeSubscriber(ctx context.Context, c *pgx.Conn) ([]checks.Finding, error) {
	s, err := pgAskSubscriber(ctx, c)
	if err != nil {
		return nil, err
	}
	switch {
	case !s.super && !s.member:
		return []checks.Finding{{Level: checks.Block, Text: fmt.Sprintf("user %s may not make a subscription on the target", s.user),
			Fix: "log in as a superuser or, from PostgreSQL 16 on, as a member of pg_create_subscription"}}, nil
	case s.workers < 3 || s.origins < 3:
		return []checks.Finding{{Level: checks.Block, Text: fmt.Sprintf("the target has max_logical_replication_workers = %d and %s = %d, 3 needed of each", s.workers, s.setting, s.origins),
			Fix: "raise them, and restart that server"}}, nil
	}
	return []checks.Finding{{Level: checks.Pass, Text: fmt.Sprintf("the target takes subscriptions from user %s", s.user)}}, nil
}
