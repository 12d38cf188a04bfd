package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// sequence is a counter and where it stands.
type sequence struct {
	schema, name string
	last, step   int64
	called       bool
	kind         string // how it counts, in words
}

// next is what it gives out next; negated where it counts down.
func (s sequence) next() *int64 {
	n := s.last
	if s.called {
		n += s.step
	}
	if s.step < 0 {
		n = -n
	}
	return &n
}

// readSequences tells where the sequences stand now: they are of no snapshot.
func readSequences(ctx context.Context, h *Snapshot, o Scope) ([]sequence, error) {
	var all []sequence
	err := h.Query(ctx, func(rows pgx.Rows) error {
		var s sequence
		err := rows.Scan(&s.schema, &s.name, &s.step, &s.kind)
		if err == nil && o.table(s.schema, s.name) {
			all = append(all, s)
		}
		return err
	}, `select n.nspname, c.relname, q.seqincrement, format('%s, begins at %s, steps of %s, from %s to %s, cache %s, %s', pg_catalog.format_type(q.seqtypid, null),
				q.seqstart, q.seqincrement, q.seqmin, q.seqmax, q.seqcache, case when q.seqcycle then 'begins again at the end' else 'ends there' end)
			from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
			join pg_catalog.pg_sequence q on q.seqrelid = c.oid
		where c.relkind = 'S' and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and n.nspname <> '`+claimSchema+`'
			and not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
		order by 1, 2`)
	if err != nil {
		return nil, err
	}
	for from := 0; from < len(all); from += 200 {
		some := all[from:min(from+200, len(all))]
		asks := make([]string, len(some))
		for i, s := range some {
			asks[i] = fmt.Sprintf("select %d, last_value, is_called from %s", i, ident(s.schema, s.name))
		}
		err := h.Query(ctx, func(rows pgx.Rows) error {
			var i int
			var last int64
			var called bool
			err := rows.Scan(&i, &last, &called)
			if err == nil {
				some[i].last, some[i].called = last, called
			}
			return err
		}, strings.Join(asks, " union all "))
		if err != nil {
			return nil, fmt.Errorf("read the sequences of %s: %w", h.s, err)
		}
	}
	return all, nil
}

// sequences sets those of the target as those of the source stand now, after
// the rows: never behind them.
func (c *copying) sequences(ctx context.Context, w *worker) error {
	all, err := readSequences(ctx, c.snap, c.Scope)
	if err != nil {
		return err
	}
	return w.do(ctx, &job{what: "sequences", run: func(ctx context.Context, w *worker) error {
		to, err := w.target(ctx)
		if err != nil {
			return err
		}
		var b pgx.Batch
		for _, s := range all {
			b.Queue("select setval($1::text::regclass, $2, $3)", ident(s.schema, s.name), s.last, s.called)
		}
		if err := to.SendBatch(ctx, &b).Close(); err != nil {
			return fmt.Errorf("set the sequences of %s: %w", c.To, err)
		}
		c.log("%d sequences", len(all))
		return nil
	}})
}

// parents are partitioned tables and materialized views: they have statistics
// too.
func (c *copying) parents(ctx context.Context) ([]string, error) {
	var all []string
	err := c.snap.Query(ctx, func(rows pgx.Rows) error {
		var schema, name string
		err := rows.Scan(&schema, &name)
		if err == nil && c.Scope.table(schema, name) {
			all = append(all, ident(schema, name))
		}
		return err
	}, `select n.nspname, c.relname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
		where c.relkind in ('p', 'm') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
			and not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
		order by 1, 2`)
	return all, err
}
