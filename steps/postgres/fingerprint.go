package postgres

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"belay/steps/compare"
)

// SideOptions say what of a database is compared, and how hard.
type SideOptions struct {
	Scope
	Sessions int  // at the same time; default 4
	Owners   bool // owners, grants and the roles of this database too
	// OldDigits writes floating point numbers as servers before version 12 do
	// best, to 15 digits: set it on both sides when one of them is that old.
	OldDigits bool
}

// Side is a database in one frozen moment, for comparing; see compare.Side.
// All its sessions see the same snapshot.
type Side struct {
	o    SideOptions
	snap *Snapshot
	free chan *pgx.Conn // nil: not opened yet
	rel  map[string]relation
	once sync.Once

	beside int // version of the server on the other side; 0: not known
}

var _ compare.Side = (*Side)(nil)

// relation is something with rows.
type relation struct {
	from string   // what stands behind FROM
	name string   // the row's name there
	key  []string // columns; empty: the whole row
	size int64
}

// NewSide takes a snapshot of s.Database; Close ends it. Whoever wants two
// sides of the same moment freezes the writers first.
func NewSide(ctx context.Context, s Server, o SideOptions) (*Side, error) {
	if o.Sessions < 1 {
		o.Sessions = 4
	}
	snap, err := Hold(ctx, s)
	if err != nil {
		return nil, err
	}
	side := &Side{o: o, snap: snap, free: make(chan *pgx.Conn, o.Sessions)}
	for range o.Sessions {
		side.free <- nil
	}
	if side.rel, err = relations(ctx, snap, o.Scope); err != nil {
		side.Close()
		return nil, err
	}
	return side, nil
}

// Pair lets two sides leave out what only their servers' versions make
// different. It is for sides that are compared with each other.
func Pair(old, now *Side) { old.beside, now.beside = now.snap.Version, old.snap.Version }

// older is the version of the older of both servers.
func (s *Side) older() int {
	if s.beside == 0 {
		return s.snap.Version
	}
	return min(s.snap.Version, s.beside)
}

// Close ends all sessions, when those at work are done. Twice does no harm.
func (s *Side) Close() error {
	s.once.Do(func() {
		for range s.o.Sessions {
			if c := <-s.free; c != nil {
				c.Close(context.Background())
			}
		}
		s.snap.Close()
	})
	return nil
}

// with lends a session that sees the snapshot.
func (s *Side) with(ctx context.Context, do func(*pgx.Conn) error) error {
	var c *pgx.Conn
	select {
	case c = <-s.free:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() {
		if c != nil && (c.IsClosed() || c.PgConn().TxStatus() != 'T') { // an error ended its sight of the snapshot
			c.Close(context.WithoutCancel(ctx))
			c = nil
		}
		s.free <- c
	}()
	if c == nil {
		var err error
		if c, err = s.snap.Join(ctx); err != nil {
			return err
		}
		if s.o.OldDigits {
			if _, err := c.Exec(ctx, "set extra_float_digits = 0"); err != nil {
				return err
			}
		}
	}
	return do(c)
}

var plainName = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// Named is a name as people write it: in quotes only where it must be. Both
// sides write it alike, whatever words their versions reserve.
func Named(schema, name string) string {
	for _, n := range []*string{&schema, &name} {
		if !plainName.MatchString(*n) {
			*n = ident(*n)
		}
	}
	return schema + "." + name
}

// largeObjects is the name under which large objects are compared.
const largeObjects = "large objects"

// relations finds tables and materialized views, each with its key: the
// primary key, else a unique index without NULL.
func relations(ctx context.Context, h *Snapshot, o Scope) (map[string]relation, error) {
	all := map[string]relation{}
	if len(o.Schemas) == 0 {
		all[largeObjects] = relation{
			from: `(select m.oid, pg_catalog.md5(pg_catalog.lo_get(m.oid)) as content from pg_catalog.pg_largeobject_metadata m) as "large object"`,
			name: `"large object"`, key: []string{"oid"},
		}
	}
	err := h.Query(ctx, func(rows pgx.Rows) error {
		var schema, name string
		var columns []string
		var r relation
		err := rows.Scan(&schema, &name, &r.size, &columns, &r.key)
		if err != nil || !o.table(schema, name) {
			return err
		}
		alias := "row of belay" // a column of that name would be taken for the row
		for slices.Contains(columns, alias) {
			alias += "'"
		}
		r.name = ident(alias)
		r.from = "only " + ident(schema, name) + " as " + r.name
		all[Named(schema, name)] = r
		return nil
	}, `select n.nspname, c.relname, pg_catalog.pg_table_size(c.oid),
			coalesce((select array_agg(a.attname::text) from pg_catalog.pg_attribute a where a.attrelid = c.oid), '{}'),
			coalesce((select array_agg(a.attname::text order by k.i)
				from (select x.indrelid, x.indkey from pg_catalog.pg_index x join pg_catalog.pg_class ic on ic.oid = x.indexrelid
					where x.indrelid = c.oid and x.indisunique and x.indisvalid and x.indpred is null and x.indexprs is null
						and not exists (select from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attnum = any (x.indkey) and not a.attnotnull)
					order by x.indisprimary desc, ic.relname collate "C" limit 1) x,
				lateral unnest(x.indkey) with ordinality as k(n, i)
				join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k.n), '{}')
		from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
		where c.relkind in ('r', 'm') and c.relispopulated and c.relpersistence <> 't'
			and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and n.nspname <> '`+claimSchema+`'
			and not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')`)
	if err != nil {
		return nil, fmt.Errorf("list the tables of %s: %w", h.s, err)
	}
	return all, nil
}

// keyText is SQL for the text by which a row falls into its bucket.
func (r relation) keyText() string {
	if len(r.key) == 0 {
		return r.name + "::text"
	}
	return "row(" + r.keyColumns("") + ")::text"
}

func (r relation) keyColumns(cast string) string {
	cols := make([]string, len(r.key))
	for i, k := range r.key {
		cols[i] = r.name + "." + ident(k) + cast
	}
	return strings.Join(cols, ", ")
}

func (r relation) bucket(buckets int) string {
	// The sign bit is taken off: % keeps it.
	return fmt.Sprintf("(pg_catalog.hashtextextended(%s, 0) & 9223372036854775807) %% %d", r.keyText(), buckets)
}

func (s *Side) relation(name string) (relation, error) {
	r, ok := s.rel[name]
	if !ok {
		return r, fmt.Errorf("%s has no rows to compare in %s", s.snap.s, name)
	}
	return r, nil
}

// Prints fingerprints a table; see compare.Side. Equal rows add up, so that a
// row twice is not a row never.
func (s *Side) Prints(ctx context.Context, name string, buckets int) ([]compare.Print, error) {
	r, err := s.relation(name)
	if err != nil {
		return nil, err
	}
	all := make([]compare.Print, max(buckets, 1))
	for i := range all {
		all[i].Sum = "0"
	}
	b, group := "0", ""
	if buckets > 1 {
		b, group = r.bucket(buckets), " group by 1"
	}
	sql := fmt.Sprintf("select (%s)::int, count(*), coalesce(sum(pg_catalog.hashtextextended(%s::text, 0)::numeric), 0)::text from %s%s", b, r.name, r.from, group)
	err = s.with(ctx, func(c *pgx.Conn) error {
		return query(ctx, c, func(rows pgx.Rows) error {
			var i int
			var p compare.Print
			if err := rows.Scan(&i, &p.Rows, &p.Sum); err != nil {
				return err
			}
			all[i] = p
			return nil
		}, sql)
	})
	if err != nil {
		return nil, fmt.Errorf("fingerprint %s of %s: %w", name, s.snap.s, err)
	}
	return all, nil
}

// Rows tells the rows of some buckets; see compare.Side.
func (s *Side) Rows(ctx context.Context, name string, buckets int, of []int, each func(compare.Row) error) error {
	r, err := s.relation(name)
	if err != nil {
		return err
	}
	values := "array[" + r.name + "::text]"
	if len(r.key) > 0 {
		values = "array[" + r.keyColumns("::text") + "]"
	}
	sql := fmt.Sprintf("select %[1]s, pg_catalog.hashtextextended(%[2]s::text, 0)::text || ' ' || pg_catalog.hashtextextended(%[2]s::text, 1)::text from %[3]s where %[4]s = any ($1::bigint[])",
		values, r.name, r.from, r.bucket(max(buckets, 1)))
	in := make([]int64, len(of))
	for i, b := range of {
		in[i] = int64(b)
	}
	err = s.with(ctx, func(c *pgx.Conn) error {
		return query(ctx, c, func(rows pgx.Rows) error {
			var vals []string
			var row compare.Row
			if err := rows.Scan(&vals, &row.Print); err != nil {
				return err
			}
			row.Key = r.keyOf(vals)
			return each(row)
		}, sql, in)
	})
	if err != nil {
		return fmt.Errorf("rows of %s of %s: %w", name, s.snap.s, err)
	}
	return nil
}

// keyOf is a key for people: id=17; or the beginning of a row.
func (r relation) keyOf(vals []string) string {
	if len(r.key) == 0 {
		if r := []rune(vals[0]); len(r) > 120 {
			return string(r[:120]) + "…"
		}
		return vals[0]
	}
	parts := make([]string, len(vals))
	for i, v := range vals {
		parts[i] = r.key[i] + "=" + v
	}
	return strings.Join(parts, ", ")
}
