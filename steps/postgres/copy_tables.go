package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Table is one table with rows of its own: a plain one, or a partition.
type Table struct {
	Schema, Name string
	Bytes        int64 // on the source's disk, without its indexes
	Rows         int64 // as the source estimates; -1 when it never looked

	oid     uint32
	pages   int64
	columns []string // that hold values of their own: none that is generated
	padded  []string // of columns, those that may be filled up with many blanks
	trim    []string // of padded, those that are
	where   string   // of an extension's own table: which of its rows are the user's
	heap    bool
	binary  bool // its columns have the same binary form on every server of one major version
	special bool // the row's place in the target may hold rows already
}

func (t Table) String() string { return t.Schema + "." + t.Name }

func (t Table) ident() string { return ident(t.Schema, t.Name) }

// Scope is the part of a database that is meant.
type Scope struct {
	Schemas           []string // only these; all when empty
	ExcludeSchemas    []string
	ExcludeTables     []string // "schema.table", or a table of any schema
	ExcludeExtensions []string
}

func (o Scope) schema(name string) bool {
	return (len(o.Schemas) == 0 || slices.Contains(o.Schemas, name)) && !slices.Contains(o.ExcludeSchemas, name)
}

func (o Scope) table(schema, name string) bool {
	return o.schema(schema) && !slices.Contains(o.ExcludeTables, name) && !slices.Contains(o.ExcludeTables, schema+"."+name)
}

// tablesQuery: temporary tables are of one session; rows of an extension's
// table belong to the extension, save what it says with
// pg_extension_config_dump (PostgreSQL manual, 38.17.3).
const tablesQuery = `
with config as (
	select unnest(extconfig) as oid, unnest(extcondition) as cond, extname from pg_catalog.pg_extension
), own as (
	select objid from pg_catalog.pg_depend where classid = 'pg_catalog.pg_class'::regclass and deptype = 'e'
)
select c.oid, n.nspname, c.relname, c.relpages::bigint, c.reltuples::bigint, pg_catalog.pg_table_size(c.oid),
	coalesce(am.amname = 'heap', false),
	coalesce((select array_agg(a.attname::text order by a.attnum) from pg_catalog.pg_attribute a
		where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''), '{}'),
	coalesce((select array_agg(a.attname::text order by a.attnum) from pg_catalog.pg_attribute a
		where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' and a.atttypid = 'pg_catalog.bpchar'::regtype and a.atttypmod >= 36), '{}'),
	coalesce((select bool_and(t.typtype = 'e' or u.oid < 10000 and u.typtype in ('b', 'r', 'm') and u.typname not like '%reg%'
			and u.typname not in ('xml', '_xml', 'aclitem', '_aclitem', 'pg_snapshot', '_pg_snapshot', 'txid_snapshot', '_txid_snapshot'))
		from pg_catalog.pg_attribute a join pg_catalog.pg_type t on t.oid = a.atttypid
			join pg_catalog.pg_type u on u.oid = case t.typtype when 'd' then t.typbasetype else t.oid end
		where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''), true),
	coalesce(x.cond, ''), x.oid is not null
from pg_catalog.pg_class c
	join pg_catalog.pg_namespace n on n.oid = c.relnamespace
	left join pg_catalog.pg_am am on am.oid = c.relam
	left join config x on x.oid = c.oid
where c.relkind = 'r' and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
	and (x.oid is not null or c.oid not in (select objid from own))`

// tables lists what has rows to copy, biggest first.
func tables(ctx context.Context, h *Snapshot, o Scope) ([]Table, error) {
	var all []Table
	err := h.Query(ctx, func(rows pgx.Rows) error {
		var t Table
		err := rows.Scan(&t.oid, &t.Schema, &t.Name, &t.pages, &t.Rows, &t.Bytes, &t.heap, &t.columns, &t.padded, &t.binary, &t.where, &t.special)
		if err == nil && o.table(t.Schema, t.Name) {
			all = append(all, t)
		}
		return err
	}, tablesQuery)
	if err != nil {
		return nil, fmt.Errorf("list the tables of %s: %w", h.s, err)
	}
	slices.SortFunc(all, func(a, b Table) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Schema, b.Schema), cmp.Compare(a.Name, b.Name))
	})
	return all, nil
}

// part is a table, or a range of its pages.
type part struct {
	Table
	n        int   // of parts; 1: the whole table
	i        int   // from 0
	from, to int64 // pages; the last part goes to the end, whatever it is by then
}

// key names the part among the marks of what is done.
func (p part) key() string {
	if p.n == 1 {
		return "table " + p.ident()
	}
	return fmt.Sprintf("table %s pages %d to %d", p.ident(), p.from, p.to)
}

// lastPage is the last that there can be.
const lastPage = 1<<32 - 2

func (p part) bytes() int64 { return p.Bytes / int64(p.n) }

// split cuts tables that are larger than most into ranges of pages, as many as
// keep all jobs busy until the table is whole: what comes after its rows is as
// long as the table is large. One job alone would gain nothing by it, and lose
// that a whole table is written as if vacuumed. Before version 14 a range of
// pages was found by reading the whole table.
func split(all []Table, most int64, jobs, version int) []part {
	var parts []part
	for _, t := range all {
		n := int64(1)
		if jobs > 1 && most > 0 && t.Bytes > most && t.heap && t.where == "" && version >= 140000 {
			n = (t.Bytes + most - 1) / most
			n = min((n+int64(jobs)-1)/int64(jobs)*int64(jobs), 1024, max(t.pages, 1))
		}
		for i := range n {
			p := part{Table: t, n: int(n), i: int(i), from: t.pages * i / n, to: t.pages * (i + 1) / n}
			if i == n-1 {
				p.to = lastPage
			}
			parts = append(parts, p)
		}
	}
	return parts
}

// quoted is the list of columns, with its brackets; empty for a table without
// columns, where there may be none.
func (t Table) quoted() string {
	if len(t.columns) == 0 {
		return ""
	}
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = ident(c)
	}
	return " (" + strings.Join(names, ", ") + ")"
}

// copyOut reads the part.
func (p part) copyOut(binary bool) string {
	form := ""
	if binary {
		form = " with (format binary)"
	}
	if p.n == 1 && p.where == "" && (!binary || len(p.trim) == 0) {
		return "copy " + p.ident() + p.quoted() + " to stdout" + form
	}
	where := p.where
	if p.n > 1 {
		where = fmt.Sprintf("where ctid >= '(%d,0)' and ctid < '(%d,0)'", p.from, p.to)
	}
	return "copy (select " + p.selected(binary) + " from only " + p.ident() + " " + where + ") to stdout" + form
}

// copyIn writes the part. Where the table was emptied in the same transaction,
// rows are written as if vacuumed already.
func (p part) copyIn(binary, frozen bool) string {
	var opts []string
	if binary {
		opts = append(opts, "format binary")
	}
	if frozen {
		opts = append(opts, "freeze")
	}
	with := ""
	if len(opts) > 0 {
		with = " with (" + strings.Join(opts, ", ") + ")"
	}
	return "copy " + p.ident() + p.quoted() + " from stdin" + with
}
