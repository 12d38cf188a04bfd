package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// relate learns to which tables the objects after the rows belong.
func (c *copying) relate(ctx context.Context) error {
	c.owner, c.foreign, c.extended = map[string]string{}, map[string][2]string{}, map[string]bool{}
	err := c.snap.Query(ctx, func(rows pgx.Rows) error {
		var schema, index, tschema, table string
		err := rows.Scan(&schema, &index, &tschema, &table)
		c.owner[schema+"."+index] = ident(tschema, table)
		return err
	}, `select n.nspname, i.relname, tn.nspname, t.relname from pg_catalog.pg_index x
		join pg_catalog.pg_class i on i.oid = x.indexrelid join pg_catalog.pg_namespace n on n.oid = i.relnamespace
		join pg_catalog.pg_class t on t.oid = x.indrelid join pg_catalog.pg_namespace tn on tn.oid = t.relnamespace
		where n.nspname !~ '^pg_'
		union all select n.nspname, t.relname || ' ' || k.conname, n.nspname, t.relname from pg_catalog.pg_constraint k
		join pg_catalog.pg_class t on t.oid = k.conrelid join pg_catalog.pg_namespace n on n.oid = t.relnamespace
		where k.contype in ('p', 'u', 'x')`)
	if err != nil {
		return err
	}
	// Foreign keys of and to partitioned tables wait for their indexes to be
	// put together.
	err = c.snap.Query(ctx, func(rows pgx.Rows) error {
		var schema, name, table, toSchema, to string
		err := rows.Scan(&schema, &name, &table, &toSchema, &to)
		c.foreign[schema+"."+table+" "+name] = [2]string{ident(schema, table), ident(toSchema, to)}
		return err
	}, `select n.nspname, k.conname, t.relname, fn.nspname, f.relname from pg_catalog.pg_constraint k
		join pg_catalog.pg_class t on t.oid = k.conrelid join pg_catalog.pg_namespace n on n.oid = t.relnamespace
		join pg_catalog.pg_class f on f.oid = k.confrelid join pg_catalog.pg_namespace fn on fn.oid = f.relnamespace
		where k.contype = 'f' and t.relkind = 'r' and f.relkind = 'r' and not t.relispartition and not f.relispartition`)
	if err != nil {
		return err
	}
	return c.snap.Query(ctx, func(rows pgx.Rows) error {
		var schema, table string
		err := rows.Scan(&schema, &table)
		c.extended[ident(schema, table)] = true
		return err
	}, `select n.nspname, t.relname from pg_catalog.pg_statistic_ext s
		join pg_catalog.pg_class t on t.oid = s.stxrelid join pg_catalog.pg_namespace n on n.oid = t.relnamespace`)
}
