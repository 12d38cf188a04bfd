package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Replica is a logical replication of belay's own from one database to
// another. Its publication, slot and subscription bear its name, and so does a
// schema on both sides with a table for a canary row.
type Replica struct {
	Source, Target Server
	Name           string // [a-z0-9_]+
	From           string // host:port, or the path of a socket, at which the target's server reaches the source's
	User           Server // User and Password by which it does; the zero value: Source's
}

// canary is the table that shows that the last change came through.
const canary = "canary"

// ReplicaTable is one table to be replicated. Partitions go by their root.
type ReplicaTable struct {
	Schema, Name string
	Bytes        int64
	Unlogged     bool
	Keyless      bool // no primary key and no other replica identity
}

func (t ReplicaTable) String() string { return t.Schema + "." + t.Name }
func (t ReplicaTable) quoted() string { return QuoteName(t.Schema, t.Name) }

// ReplicaTables lists a database's tables that are neither the server's nor an
// extension's. only and except hold names such as public.users.
func ReplicaTables(ctx context.Context, c *pgx.Conn, only, except []string) ([]ReplicaTable, error) {
	const q = `select n.nspname, k.relname, k.relpersistence = 'u',
			k.relreplident = 'n' or k.relreplident = 'd' and not exists (select from pg_catalog.pg_index i where i.indrelid = k.oid and i.indisprimary),
			(select coalesce(sum(pg_catalog.pg_table_size(t.relid)), 0)::bigint from pg_catalog.pg_partition_tree(k.oid) t)
				+ case when k.relkind = 'r' then pg_catalog.pg_table_size(k.oid) else 0 end
		from pg_catalog.pg_class k join pg_catalog.pg_namespace n on n.oid = k.relnamespace
		where k.relkind in ('r', 'p') and not k.relispartition and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
			and k.relpersistence <> 't' and n.nspname !~ '^belay_[0-9a-f]{12}$'
			and not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = k.oid and d.deptype = 'e')
			and (cardinality($1::text[]) = 0 or n.nspname || '.' || k.relname = any($1))
			and not n.nspname || '.' || k.relname = any($2::text[])
		order by 1, 2`
	if only == nil {
		only = []string{}
	}
	if except == nil {
		except = []string{}
	}
	rows, err := c.Query(ctx, q, only, except)
	if err != nil {
		return nil, err
	}
	all, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (t ReplicaTable, err error) {
		return t, r.Scan(&t.Schema, &t.Name, &t.Unlogged, &t.Keyless, &t.Bytes)
	})
	for _, name := range only {
		if err == nil && !slices.ContainsFunc(all, func(t ReplicaTable) bool { return t.String() == name }) {
			err = fmt.Errorf("there is no table %s (names are written schema.table, as the server has them)", name)
		}
	}
	return all, err
}

// conninfo is how the target's server logs in to the source's. It is stored in
// the target's pg_subscription, which only superusers can read.
func (r Replica) conninfo() (string, error) {
	host, port := path.Dir(r.From), ""
	if path.IsAbs(r.From) {
		_, port, _ = strings.Cut(path.Base(r.From), ".s.PGSQL.")
	} else {
		var err error
		if host, port, err = net.SplitHostPort(r.From); err != nil {
			return "", fmt.Errorf("address %q: %w", r.From, err)
		}
	}
	who := r.User
	if who.User == "" {
		who.User, who.Password = r.Source.User, r.Source.Password
	}
	tls := r.Source.TLS
	if tls == "" {
		tls = "disable"
	}
	info := ""
	for _, kv := range [][2]string{{"host", host}, {"port", port}, {"user", who.User}, {"password", who.Password.Reveal()},
		{"dbname", r.Source.Database}, {"sslmode", tls}, {"sslrootcert", r.Source.CAFile}, {"application_name", r.Name}} {
		if kv[1] != "" {
			info += kv[0] + "=" + quoteParam(kv[1]) + " "
		}
	}
	return info, nil
}

// There is what of a replica exists.
type There struct{ Publication, Slot, Subscription, SourceCanary, TargetCanary bool }

// Any tells whether anything does.
func (t There) Any() bool { return t != There{} }

// Look tells what of the replica exists on both sides.
func (r Replica) Look(ctx context.Context, source, target *pgx.Conn) (t There, err error) {
	const s = `select exists (select from pg_catalog.pg_publication where pubname = $1), exists (select from pg_catalog.pg_replication_slots where slot_name = $1),
		exists (select from pg_catalog.pg_namespace where nspname = $1)`
	if err := source.QueryRow(ctx, s, r.Name).Scan(&t.Publication, &t.Slot, &t.SourceCanary); err != nil {
		return t, err
	}
	const q = `select exists (select from pg_catalog.pg_subscription s join pg_catalog.pg_database d on d.oid = s.subdbid
			where s.subname = $1 and d.datname = current_database()), exists (select from pg_catalog.pg_namespace where nspname = $1)`
	return t, target.QueryRow(ctx, q, r.Name).Scan(&t.Subscription, &t.TargetCanary)
}

// Start makes what is not there yet, in the order in which nothing is lost:
// canary tables, publication, slot, subscription. Each is whole or absent, so
// that Start can be called again after a crash. tables must be there on the
// target, too, and be empty.
func (r Replica) Start(ctx context.Context, source, target *pgx.Conn, tables []ReplicaTable) error {
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
	if err := r.makeSlot(ctx, source); err != nil {
		return err
	}
	if there.Subscription {
		return nil
	}
	return r.subscribe(ctx, target, info, "copy_data = true, enabled = true")
}

// subscribe makes the subscription. The statement holds the password, so the
// server is told to log none of it, where belay may tell it so.
func (r Replica) subscribe(ctx context.Context, target *pgx.Conn, info, with string) error {
	return pgx.BeginFunc(ctx, target, func(tx pgx.Tx) error {
		var super bool
		if err := tx.QueryRow(ctx, "select rolsuper from pg_catalog.pg_roles where rolname = current_user").Scan(&super); err != nil {
			return err
		}
		if super {
			for _, q := range []string{"log_statement = 'none'", "log_min_duration_statement = -1", "log_min_error_statement = 'panic'"} {
				if _, err := tx.Exec(ctx, "set local "+q); err != nil {
					return err
				}
			}
		}
		name := QuoteName(r.Name)
		_, err := tx.Exec(ctx, "create subscription "+name+" connection "+QuoteLiteral(info)+" publication "+name+
			" with (create_slot = false, slot_name = "+QuoteLiteral(r.Name)+", "+with+")")
		if err != nil {
			return fmt.Errorf("subscription %s, whose server logs in at %s: %w", r.Name, r.From, Explain("", 1, err))
		}
		return nil
	})
}

func (r Replica) makeCanary() string {
	return "begin; create schema " + QuoteName(r.Name) + "; create table " + QuoteName(r.Name, canary) + " (id text primary key); commit"
}

// Unready tells which of the tables the target has not got, or has with rows.
func Unready(ctx context.Context, target *pgx.Conn, tables []ReplicaTable) error {
	var errs []error
	for _, t := range tables {
		var full bool
		err := target.QueryRow(ctx, "select exists (select from "+t.quoted()+")").Scan(&full)
		switch {
		case Code(err) == "42P01" || Code(err) == "3F000": // undefined_table, invalid_schema_name
			errs = append(errs, fmt.Errorf("table %s is not on the target: copy the schema first (postgres.copy with schema_only)", t))
		case err != nil:
			errs = append(errs, fmt.Errorf("table %s on the target: %w", t, Explain("", 1, err)))
		case full:
			errs = append(errs, fmt.Errorf("table %s has rows on the target already", t))
		}
		if len(errs) == 10 {
			break
		}
	}
	return errors.Join(errs...)
}

// Lag is how far a replica is.
type Lag struct {
	Ready, Tables int     // tables whose first copy is done, of how many
	Copied        int64   // bytes of the first copies under way
	Bytes         int64   // of the source's log that the target has not confirmed
	Seconds       float64 // since the newest confirmed change was made; 0 when not known
	Retained      int64   // bytes of log that the source keeps for the slot
	Active        bool    // the target is connected
	Status        string  // wal_status: reserved, extended, unreserved, lost
	Errors        int64   // of the target's workers so far (PostgreSQL 15 and later)
}

// Lag asks both sides.
func (r Replica) Lag(ctx context.Context, source, target *pgx.Conn) (l Lag, err error) {
	const s = `select coalesce(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), s.confirmed_flush_lsn), 0)::bigint,
			coalesce(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), s.restart_lsn), 0)::bigint, s.active, coalesce(s.wal_status, ''),
			coalesce((select extract(epoch from w.replay_lag) from pg_catalog.pg_stat_replication w where w.pid = s.active_pid), 0)::float8
		from pg_catalog.pg_replication_slots s where s.slot_name = $1`
	if err := source.QueryRow(ctx, s, r.Name).Scan(&l.Bytes, &l.Retained, &l.Active, &l.Status, &l.Seconds); err != nil {
		return l, fmt.Errorf("replication slot %s on the source: %w", r.Name, err)
	}
	const q = `select count(*) filter (where r.srsubstate = 'r'), count(*),
			(select coalesce(sum(bytes_processed), 0)::bigint from pg_catalog.pg_stat_progress_copy p where p.datname = current_database() and p.type = 'CALLBACK')
		from pg_catalog.pg_subscription s join pg_catalog.pg_subscription_rel r on r.srsubid = s.oid
			where s.subname = $1`
	if err := target.QueryRow(ctx, q, r.Name).Scan(&l.Ready, &l.Tables, &l.Copied); err != nil {
		return l, err
	}
	if v := target.PgConn().ParameterStatus("server_version"); majorOf(v) >= 15 {
		err = target.QueryRow(ctx, "select coalesce(sum(apply_error_count + sync_error_count), 0)::bigint from pg_catalog.pg_stat_subscription_stats where subname = $1", r.Name).Scan(&l.Errors)
	}
	return l, err
}
