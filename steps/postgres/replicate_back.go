package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Prepare makes all of a replica whose target is level with the source already
// but the slot: canary tables, the publication, and a subscription that is not
// at work yet. The target's server logs in to the source's for it, so a way
// that does not exist shows here. It can be called again after a crash.
func (r Replica) Prepare(ctx context.Context, source, target *pgx.Conn, tables []ReplicaTable) error {
	there, err := r.Look(ctx, source, target)
	if err != nil {
		return err
	}
	info, err := r.conninfo()
	if err != nil {
		return err
	}
	if err := r.publish(ctx, source, target, there, tables); err != nil {
		return err
	}
	if there.Subscription {
		return nil
	}
	with := "copy_data = false, enabled = false"
	if majorOf(source.PgConn().ParameterStatus("server_version")) >= 16 && majorOf(target.PgConn().ParameterStatus("server_version")) >= 16 {
		with += ", origin = none" // what came from elsewhere is never sent on
	}
	return r.subscribe(ctx, target, info, with)
}

// Activate makes the slot of a prepared replica and sets the subscription to
// work: what is written on the source from then on reaches the target. Both
// must be equal, with nobody writing, and no replication may go the other way:
// before PostgreSQL 16 its changes would come back. It can be called again
// after a crash.
func (r Replica) Activate(ctx context.Context, source, target *pgx.Conn) error {
	if err := r.makeSlot(ctx, source); err != nil {
		return err
	}
	if err := Run(ctx, target, "alter subscription "+QuoteName(r.Name)+" enable", nil); err != nil {
		return fmt.Errorf("set subscription %s to work: %w", r.Name, err)
	}
	return nil
}

func (r Replica) makeSlot(ctx context.Context, source *pgx.Conn) error {
	const q = `select pg_catalog.pg_create_logical_replication_slot($1, 'pgoutput')
		where not exists (select from pg_catalog.pg_replication_slots where slot_name = $1)`
	if _, err := source.Exec(ctx, q, r.Name); err != nil {
		return fmt.Errorf("replication slot %s: %w", r.Name, Explain("", 1, err))
	}
	return nil
}

// publish makes the canaries and the publication.
func (r Replica) publish(ctx context.Context, source, target *pgx.Conn, there There, tables []ReplicaTable) error {
	if !there.SourceCanary {
		if err := Run(ctx, source, r.makeCanary(), nil); err != nil {
			return fmt.Errorf("canary table on %s: %w", r.Source, err)
		}
	}
	if !there.TargetCanary {
		if err := Run(ctx, target, r.makeCanary(), nil); err != nil {
			return fmt.Errorf("canary table on %s: %w", r.Target, err)
		}
	}
	if there.Publication {
		return nil
	}
	list := []string{QuoteName(r.Name, canary)}
	for _, t := range tables {
		list = append(list, t.quoted())
	}
	sql := "create publication " + QuoteName(r.Name) + " for table " + strings.Join(list, ", ") + " with (publish_via_partition_root = true)"
	if err := Run(ctx, source, sql, nil); err != nil {
		return fmt.Errorf("publication %s on %s: %w", r.Name, r.Source, err)
	}
	return nil
}

// Published names the tables of the replica's publication, as schema.table,
// without the canary.
func (r Replica) Published(ctx context.Context, source *pgx.Conn) ([]string, error) {
	const q = `select n.nspname || '.' || k.relname from pg_catalog.pg_publication p join pg_catalog.pg_publication_rel r on r.prpubid = p.oid
		join pg_catalog.pg_class k on k.oid = r.prrelid join pg_catalog.pg_namespace n on n.oid = k.relnamespace
		where p.pubname = $1 and n.nspname <> $1 order by 1`
	rows, err := source.Query(ctx, q, r.Name)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// WrittenBeside counts, for each table but those in tables and its partitions,
// how many rows were ever written to it, as far as the server has counted.
func WrittenBeside(ctx context.Context, c *pgx.Conn, tables []ReplicaTable) (map[string]int64, error) {
	in := []string{}
	for _, t := range tables {
		in = append(in, t.String())
	}
	const q = `select s.schemaname || '.' || s.relname, s.n_tup_ins + s.n_tup_upd + s.n_tup_del from pg_catalog.pg_stat_user_tables s
		where not s.schemaname || '.' || s.relname = any($1) and s.schemaname !~ '^belay_[0-9a-f]{12}$'
			and not exists (select from pg_catalog.pg_partition_ancestors(s.relid) a join pg_catalog.pg_class k on k.oid = a.relid
				join pg_catalog.pg_namespace n on n.oid = k.relnamespace where n.nspname || '.' || k.relname = any($1))`
	rows, err := c.Query(ctx, q, in)
	if err != nil {
		return nil, err
	}
	all := map[string]int64{}
	var name string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&name, &n}, func() error { all[name] = n; return nil })
	return all, err
}
