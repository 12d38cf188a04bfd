package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// claimSchema holds what a copy under way has done so far. It is made first
// and dropped last, so that a database with it is a copy that is not whole.
const claimSchema = "belay_copying"

// ErrNotOurs says that a target holds something that this copy did not put there.
var ErrNotOurs = errors.New("the target is not empty")

// claim is a target database that is ours until release: nobody else copies
// into it at the same time.
type claim struct {
	s    Server
	conn *pgx.Conn // holds the lock
	done map[string]int64
	// Of an earlier attempt of the same step; empty for the first.
	at     string
	result []byte // what it copied, when it came to the end
}

// claimTarget takes the target, or says why not: somebody else is at it, or it
// holds what is not ours. It changes nothing.
func claimTarget(ctx context.Context, s Server, id string, beside []string) (*claim, error) {
	conn, err := s.Connect(ctx)
	if err != nil {
		return nil, err
	}
	c := &claim{s: s, conn: conn, done: map[string]int64{}}
	if err := c.take(ctx, id, beside); err != nil {
		conn.Close(context.WithoutCancel(ctx))
		return nil, err
	}
	return c, nil
}

// lockTries leave a session of ours, whose line was cut, the time to end.
const lockTries = 10

func (c *claim) take(ctx context.Context, id string, beside []string) error {
	free := false
	for try := 0; !free; try++ {
		err := c.conn.QueryRow(ctx, "select pg_try_advisory_lock(hashtextextended('belay copy', 0))").Scan(&free)
		if err != nil {
			return err
		}
		if free || try == lockTries {
			break
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Second):
		}
	}
	if !free {
		return fmt.Errorf("%s: another belay is copying into it now; nothing was changed", c.s)
	}
	owner, at, result, err := claimOf(ctx, c.conn)
	if err != nil {
		return err
	}
	switch {
	case owner != "" && owner == id:
		c.at, c.result = at, result
		return c.load(ctx)
	case owner == "":
		return refuseFull(ctx, c.conn, c.s, beside)
	}
	return fmt.Errorf("%w: %s holds the unfinished copy of another run (%s); nothing was changed: roll that run back, or drop the database if nobody needs it", ErrNotOurs, c.s, owner)
}

// claimOf tells whose unfinished copy a database is, and of which moment; ""
// where there is none.
func claimOf(ctx context.Context, conn *pgx.Conn) (owner, at string, result []byte, err error) {
	var there bool
	if err := conn.QueryRow(ctx, "select to_regclass($1) is not null", claimSchema+".copy").Scan(&there); err != nil || !there {
		return "", "", nil, err
	}
	err = conn.QueryRow(ctx, "select id, at, result from "+claimSchema+".copy").Scan(&owner, &at, &result)
	return owner, at, result, err
}

func (c *claim) load(ctx context.Context) error {
	return query(ctx, c.conn, func(rows pgx.Rows) error {
		var what string
		var n int64
		err := rows.Scan(&what, &n)
		c.done[what] = n
		return err
	}, "select what, n from "+claimSchema+".done")
}

// begin writes down whose the target is now.
func (c *claim) begin(ctx context.Context, id, at string) error {
	return pgx.BeginFunc(ctx, c.conn, func(tx pgx.Tx) error {
		for _, sql := range []string{
			"create schema " + claimSchema,
			"create table " + claimSchema + ".copy (id text not null, at text not null, result bytea, began timestamptz not null default now())",
			"create table " + claimSchema + ".done (what text primary key, n bigint not null)",
			"comment on schema " + claimSchema + " is 'a copy by belay is under way, or was cut off; what is in this database is not whole'",
		} {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, "insert into "+claimSchema+".copy (id, at) values ($1, $2)", id, at)
		return err
	})
}

// mark is SQL that notes what is done, for the transaction that does it.
func mark(what string, n int64) string {
	return fmt.Sprintf("insert into %s.done (what, n) values (%s, %d)", claimSchema, literal(what), n)
}

// whole notes that all is there. This commit waits for the disk, and with it
// all before.
func (c *claim) whole(ctx context.Context, r Copied) error {
	b, err := json.Marshal(r)
	if err == nil {
		_, err = c.conn.Exec(ctx, "update "+claimSchema+".copy set result = $1", b)
	}
	return err
}

// Finish takes belay's notes out of the target. It is called when Run has
// returned without error and its result is kept; twice does no harm.
func (c Copy) Finish(ctx context.Context) error {
	conn, err := c.To.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	owner, _, result, err := claimOf(ctx, conn)
	if err != nil || owner == "" {
		return err
	}
	if owner != c.ID || result == nil {
		return fmt.Errorf("%w: the copy in %s is not whole, or another run's", ErrNotOurs, c.To)
	}
	_, err = conn.Exec(ctx, "drop schema "+claimSchema+" cascade")
	return err
}

func (c *claim) release(ctx context.Context) { c.conn.Close(context.WithoutCancel(ctx)) }

// objectsQuery lists what people put into a database: what neither the server
// nor an extension brought, with how DROP calls it. Parts of other objects
// (indexes, array types, a table's row type) are left out, and so are the
// schemas $1 with all that is in them.
const objectsQuery = `
with candidate(classid, objid, nsp) as (
	select 'pg_catalog.pg_namespace'::regclass, oid, oid from pg_catalog.pg_namespace where nspname <> 'public'
	union all select 'pg_catalog.pg_class'::regclass, oid, relnamespace from pg_catalog.pg_class where relkind in ('r', 'p', 'v', 'm', 'S', 'f', 'c') and relpersistence <> 't'
	union all select 'pg_catalog.pg_proc'::regclass, oid, pronamespace from pg_catalog.pg_proc
	union all select 'pg_catalog.pg_type'::regclass, oid, typnamespace from pg_catalog.pg_type where typrelid = 0 and typelem = 0
	union all select 'pg_catalog.pg_operator'::regclass, oid, oprnamespace from pg_catalog.pg_operator
	union all select 'pg_catalog.pg_collation'::regclass, oid, collnamespace from pg_catalog.pg_collation
	union all select 'pg_catalog.pg_ts_config'::regclass, oid, cfgnamespace from pg_catalog.pg_ts_config
	union all select 'pg_catalog.pg_ts_dict'::regclass, oid, dictnamespace from pg_catalog.pg_ts_dict
	union all select 'pg_catalog.pg_event_trigger'::regclass, oid, null from pg_catalog.pg_event_trigger
	union all select 'pg_catalog.pg_foreign_data_wrapper'::regclass, oid, null from pg_catalog.pg_foreign_data_wrapper
	union all select 'pg_catalog.pg_publication'::regclass, oid, null from pg_catalog.pg_publication
	union all select 'pg_catalog.pg_cast'::regclass, oid, null from pg_catalog.pg_cast where oid >= 16384
), mine as (
	select c.classid, c.objid, c.nsp from candidate c
	where c.objid >= 16384
		and (c.nsp is null or c.nsp in (select oid from pg_catalog.pg_namespace
			where nspname !~ '^pg_' and nspname <> 'information_schema' and nspname <> '` + claimSchema + `' and nspname <> all ($1::text[])))
		and not exists (select from pg_catalog.pg_depend d where d.classid = c.classid and d.objid = c.objid and d.deptype in ('e', 'i'))
)
select i.type, i.identity from mine, lateral pg_catalog.pg_identify_object(mine.classid, mine.objid, 0) i
union all select 'large object', oid::text from pg_catalog.pg_largeobject_metadata
order by 1, 2`

// object is what pg_identify_object says of one.
type object struct{ Type, Identity string }

func (o object) String() string { return o.Type + " " + o.Identity }

// objects lists what people put into the database of conn, but for schemas
// themselves that are empty.
func objects(ctx context.Context, conn *pgx.Conn, beside []string) ([]object, error) {
	if beside == nil {
		beside = []string{}
	}
	var all []object
	err := query(ctx, conn, func(rows pgx.Rows) error {
		var o object
		err := rows.Scan(&o.Type, &o.Identity)
		all = append(all, o)
		return err
	}, objectsQuery, beside)
	return all, err
}

// refuseFull is for a target without a claim: anything in it is somebody else's.
// Schemas are allowed: what is in one is listed itself.
func refuseFull(ctx context.Context, conn *pgx.Conn, s Server, beside []string) error {
	all, err := objects(ctx, conn, beside)
	if err != nil {
		return err
	}
	var some []string
	n := 0
	for _, o := range all {
		if o.Type == "schema" {
			continue
		}
		if n++; len(some) < 3 {
			some = append(some, o.String())
		}
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s has %d objects that this step did not make (%s …); nothing was changed: name another database, or drop this one if nobody needs it",
		ErrNotOurs, s, n, strings.Join(some, ", "))
}
