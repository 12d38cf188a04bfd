package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

const (
	largeBatch = 500     // large objects of one transaction
	largePiece = 1 << 20 // bytes read and written at a time
)

// largeObject is one, as the source has it.
type largeObject struct {
	oid     uint32
	owner   string
	acl     string // GRANT statements
	comment *string
	head    []byte // its first bytes, one more than a piece when there are more
}

// largeQuery lists large objects after $1, with the beginning of each. Owners
// may always read theirs; a superuser reads all.
const largeQuery = `select m.oid, pg_catalog.pg_get_userbyid(m.lomowner),
	coalesce((select string_agg(format('grant %s on large object %s to %s%s', a.privilege_type, m.oid,
			case a.grantee when 0 then 'public' else quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) end,
			case when a.is_grantable then ' with grant option' else '' end), '; ')
		from aclexplode(m.lomacl) a where a.grantee <> m.lomowner), ''),
	pg_catalog.obj_description(m.oid, 'pg_largeobject'), pg_catalog.lo_get(m.oid, 0, $2)
	from pg_catalog.pg_largeobject_metadata m where m.oid > $1 order by m.oid limit $3`

// largeJob copies all large objects, with their numbers, for rows name them.
func (c *copying) largeJob() *job {
	return &job{what: "large objects", weight: 1 << 30, run: func(ctx context.Context, w *worker) error {
		if len(c.Scope.Schemas) > 0 {
			return nil // as pg_dump: they are of no schema
		}
		to, err := w.target(ctx)
		if err != nil {
			return err
		}
		// Each transaction notes how far it came; the numbers only rise.
		var last, n int64
		err = to.QueryRow(ctx, "select coalesce(max(n), 0) from "+claimSchema+".done where what like 'large objects to %'").Scan(&last)
		if err != nil {
			return err
		}
		for {
			next, some, err := c.largeSome(ctx, w, last)
			if err != nil {
				w.reset(ctx)
				return err
			}
			if some == 0 {
				break
			}
			last, n = next, n+some
			c.meter.tell(fmt.Sprintf("%d large objects", n))
		}
		err = to.QueryRow(ctx, "select count(*) from pg_catalog.pg_largeobject_metadata").Scan(&c.large)
		if c.large > 0 {
			c.log("%d large objects", c.large)
		}
		return err
	}}
}

// largeSome copies the next ones in one transaction of the target.
func (c *copying) largeSome(ctx context.Context, w *worker, after int64) (last, n int64, err error) {
	from, err := w.source(ctx)
	if err != nil {
		return 0, 0, err
	}
	to, err := w.target(ctx)
	if err != nil {
		return 0, 0, err
	}
	// Few at a time where they are big: the batch is held in memory.
	some, err := readLarge(ctx, from, after, 4)
	if err == nil && len(some) == 4 && small(some) {
		some, err = readLarge(ctx, from, after, largeBatch)
	}
	if err != nil || len(some) == 0 {
		return 0, 0, err
	}
	last = int64(some[len(some)-1].oid)
	if _, err := to.Exec(ctx, "begin"); err != nil {
		return 0, 0, err
	}
	if err := c.writeLarge(ctx, from, to, some); err != nil {
		return 0, 0, fmt.Errorf("write to %s: %w", c.To, err)
	}
	_, err = to.PgConn().Exec(ctx, mark(fmt.Sprintf("large objects to %d", last), last)+"; commit").ReadAll()
	return last, int64(len(some)), err
}

func small(some []largeObject) bool {
	for _, o := range some {
		if len(o.head) > 16<<10 {
			return false
		}
	}
	return true
}

// readLarge reads the beginnings; a batch of many is of small ones, so that
// the longer among them are read on piece by piece.
func readLarge(ctx context.Context, from *pgx.Conn, after int64, limit int) ([]largeObject, error) {
	head := largePiece
	if limit == largeBatch {
		head = 64 << 10
	}
	var all []largeObject
	err := query(ctx, from, func(rows pgx.Rows) error {
		var o largeObject
		err := rows.Scan(&o.oid, &o.owner, &o.acl, &o.comment, &o.head)
		all = append(all, o)
		return err
	}, largeQuery, after, head, limit)
	return all, err
}

func (c *copying) writeLarge(ctx context.Context, from, to *pgx.Conn, some []largeObject) error {
	oids, heads := make([]uint32, len(some)), make([][]byte, len(some))
	for i, o := range some {
		oids[i], heads[i] = o.oid, o.head
	}
	var more []string
	for _, o := range some {
		if c.Owners {
			more = append(more, fmt.Sprintf("alter large object %d owner to %s", o.oid, ident(o.owner)))
			if o.acl != "" {
				more = append(more, o.acl)
			}
		}
		if o.comment != nil {
			more = append(more, fmt.Sprintf("comment on large object %d is %s", o.oid, literal(*o.comment)))
		}
	}
	_, err := to.Exec(ctx, "select pg_catalog.lo_from_bytea(o, d) from unnest($1::oid[], $2::bytea[]) as t(o, d)", oids, heads)
	for _, o := range some {
		for at := int64(len(o.head)); err == nil && len(o.head) >= 64<<10; {
			var piece []byte
			if err = from.QueryRow(ctx, "select pg_catalog.lo_get($1, $2, $3)", o.oid, at, largePiece).Scan(&piece); err != nil || len(piece) == 0 {
				break
			}
			_, err = to.Exec(ctx, "select pg_catalog.lo_put($1, $2, $3)", o.oid, at, piece)
			at += int64(len(piece))
			c.meter.bytes.Add(int64(len(piece)))
		}
	}
	if err == nil && len(more) > 0 {
		_, err = to.PgConn().Exec(ctx, strings.Join(more, "; ")).ReadAll()
	}
	return err
}
