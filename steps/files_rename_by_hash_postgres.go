package steps

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// hashedPgTable is a table of PostgreSQL.
type hashedPgTable struct {
	of              *hashedRows
	conn            *pgx.Conn
	name, key, cols string
}

func (r *hashedRows) openPostgres(ctx context.Context, e Env) (hashedTable, error) {
	srv, err := r.Postgres.server(ctx, e)
	if err != nil {
		return nil, err
	}
	conn, err := srv.Connect(ctx)
	if err != nil {
		return nil, err
	}
	schema, table, dotted := strings.Cut(r.Table, ".")
	if !dotted {
		schema, table = "public", r.Table
	}
	t := &hashedPgTable{of: r, conn: conn, name: pgx.Identifier{schema, table}.Sanitize(),
		key: pgx.Identifier{r.Key}.Sanitize(), cols: pgx.Identifier{r.Column}.Sanitize()}
	var unique bool
	err = conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
		WHERE i.indrelid = $1::regclass AND i.indisunique AND i.indisvalid AND i.indnkeyatts = 1 AND i.indpred IS NULL AND a.attname = $2)`, t.name, r.Key).Scan(&unique)
	if err == nil && !unique {
		err = fmt.Errorf("no unique key has %q alone, so that it does not tell rows apart: name another one under key", r.Key)
	}
	if err != nil {
		t.close()
		return nil, fmt.Errorf("%s of %s: %w", r, srv, err)
	}
	return t, nil
}

func (t *hashedPgTable) close() { _ = t.conn.Close(context.Background()) } // the session is ours alone

func (t *hashedPgTable) each(ctx context.Context, each func(hashedRow) error) error {
	query := fmt.Sprintf("SELECT %s::text, %s::text FROM %s WHERE %s IS NOT NULL AND %s::text <> ''", t.key, t.cols, t.name, t.cols, t.cols)
	if t.of.Where != "" {
		query += " AND (" + t.of.Where + ")"
	}
	rows, err := t.conn.Query(ctx, query)
	if err != nil {
		return err
	}
	var r hashedRow
	_, err = pgx.ForEachRow(rows, []any{&r.Key, &r.Old}, func() error { return each(r) })
	return err
}

func (t *hashedPgTable) change(ctx context.Context, rows []hashedRow, odd func(hashedRow, string, bool) error, say func(int)) error {
	tx, err := t.conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // after a commit it does nothing
	list := func(part []hashedRow) (keys, values []string) {
		for _, r := range part {
			keys, values = append(keys, r.Key), append(values, r.New)
		}
		return keys, values
	}
	err = hashedChange(rows, odd, say, func(part []hashedRow) (map[string]string, error) {
		keys, _ := list(part)
		got, err := tx.Query(ctx, fmt.Sprintf("SELECT %s::text, COALESCE(%s::text, '') FROM %s WHERE %s::text = ANY ($1) FOR UPDATE", t.key, t.cols, t.name, t.key), keys)
		if err != nil {
			return nil, err
		}
		now := map[string]string{}
		var k, v string
		_, err = pgx.ForEachRow(got, []any{&k, &v}, func() error {
			now[k] = v
			return nil
		})
		return now, err
	}, func(part []hashedRow) error {
		keys, values := list(part)
		tag, err := tx.Exec(ctx, fmt.Sprintf("UPDATE %[1]s t SET %[2]s = m.v FROM unnest($1::text[], $2::text[]) m(k, v) WHERE t.%[3]s::text = m.k", t.name, t.cols, t.key), keys, values)
		if err == nil && tag.RowsAffected() != int64(len(part)) {
			err = errors.Join(err, fmt.Errorf("%d rows were changed, and %d were to be", tag.RowsAffected(), len(part)))
		}
		return err
	})
	if err != nil {
		return err
	}
	return tx.Commit(ctx)
}
