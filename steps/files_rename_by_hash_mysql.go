package steps

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"belay/steps/mysql"
)

// hashedMySQLTable is a table of MySQL or MariaDB.
type hashedMySQLTable struct {
	of       *hashedRows
	db       *mysql.DB
	conn     *sql.Conn
	key, col string // data types
}

func (r *hashedRows) openMySQL(ctx context.Context, e Env) (hashedTable, error) {
	db, err := mysqlOpen(ctx, e, r.MySQL.mysqlStore)
	if err != nil {
		return nil, err
	}
	t := &hashedMySQLTable{of: r, db: db}
	if t.conn, err = db.Conn(ctx); err == nil {
		// A value that does not fit is an error, and not cut off.
		_, err = t.conn.ExecContext(ctx, "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO', foreign_key_checks = 1, unique_checks = 1")
	}
	if err == nil {
		err = t.look(ctx)
	}
	if err != nil {
		t.close()
		return nil, fmt.Errorf("%s of database %q: %w", r, r.MySQL.Database, err)
	}
	return t, nil
}

func (t *hashedMySQLTable) close() {
	if t.conn != nil {
		_ = t.conn.Close()
	}
	_ = t.db.Close()
}

// look sees that the table can do what it must.
func (t *hashedMySQLTable) look(ctx context.Context) error {
	for _, c := range []struct {
		name string
		to   *string
	}{{t.of.Key, &t.key}, {t.of.Column, &t.col}} {
		err := t.conn.QueryRowContext(ctx, "SELECT LOWER(data_type) FROM information_schema.columns WHERE table_schema = ? AND table_name = ? AND column_name = ?",
			t.of.MySQL.Database, t.of.Table, c.name).Scan(c.to)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("there is no column %q in a table %q", c.name, t.of.Table)
		} else if err != nil {
			return err
		}
	}
	var safe, unique bool
	err := t.conn.QueryRowContext(ctx, `SELECT COALESCE((SELECT n.transactions = 'YES' FROM information_schema.tables t JOIN information_schema.engines n ON n.engine = t.engine
		WHERE t.table_schema = ? AND t.table_name = ?), 0)`, t.of.MySQL.Database, t.of.Table).Scan(&safe)
	if err == nil {
		err = t.conn.QueryRowContext(ctx, `SELECT EXISTS (SELECT index_name FROM information_schema.statistics WHERE table_schema = ? AND table_name = ?
			GROUP BY index_name HAVING COUNT(*) = 1 AND MAX(non_unique) = 0 AND MAX(column_name) = ?)`, t.of.MySQL.Database, t.of.Table, t.of.Key).Scan(&unique)
	}
	switch {
	case err != nil:
		return err
	case !safe:
		return errors.New("its engine has no transactions, so that a half change could not be taken back: convert it to InnoDB")
	case !unique:
		return fmt.Errorf("no unique key has %q alone, so that it does not tell rows apart: name another one under key", t.of.Key)
	}
	return nil
}

func (t *hashedMySQLTable) each(ctx context.Context, each func(hashedRow) error) error {
	col := mysql.Ident(t.of.Column)
	query := fmt.Sprintf("SELECT %s, %s FROM %s WHERE %s IS NOT NULL AND %s <> ''", mysql.Ident(t.of.Key), col, mysql.Dotted(t.of.MySQL.Database, t.of.Table), col, col)
	if t.of.Where != "" {
		query += " AND (" + t.of.Where + ")"
	}
	rows, err := t.conn.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	return hashedScan(rows, func(k, v string) error { return each(hashedRow{Key: k, Old: v}) })
}

func hashedScan(rows *sql.Rows, each func(k, v string) error) error {
	defer rows.Close()
	var k, v sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&k, &v); err != nil {
			return err
		}
		if err := each(string(k), string(v)); err != nil {
			return err
		}
	}
	return rows.Err()
}

// value is a parameter of a column's type: a text against a number would be
// compared as a float, and bytes are no text.
func hashedValue(kind, s string) any {
	switch kind {
	case "tinyint", "smallint", "mediumint", "int", "bigint":
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return n
		}
		if n, err := strconv.ParseUint(s, 10, 64); err == nil {
			return n
		}
	case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob":
		return []byte(s)
	}
	return s
}

func (t *hashedMySQLTable) change(ctx context.Context, rows []hashedRow, odd func(hashedRow, string, bool) error, say func(int)) error {
	tx, err := t.conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	where, key, col := mysql.Dotted(t.of.MySQL.Database, t.of.Table), mysql.Ident(t.of.Key), mysql.Ident(t.of.Column)
	in := func(rows []hashedRow) (string, []any) {
		var args []any
		for _, r := range rows {
			args = append(args, hashedValue(t.key, r.Key))
		}
		return key + " IN (?" + strings.Repeat(", ?", len(rows)-1) + ")", args
	}
	err = hashedChange(rows, odd, say, func(part []hashedRow) (map[string]string, error) {
		cond, args := in(part)
		got, err := tx.QueryContext(ctx, fmt.Sprintf("SELECT %s, COALESCE(%s, '') FROM %s WHERE %s FOR UPDATE", key, col, where, cond), args...)
		if err != nil {
			return nil, err
		}
		now := map[string]string{}
		return now, hashedScan(got, func(k, v string) error {
			now[k] = v
			return nil
		})
	}, func(part []hashedRow) error {
		var args []any
		for _, r := range part {
			args = append(args, hashedValue(t.key, r.Key), hashedValue(t.col, r.New))
		}
		cond, keys := in(part)
		res, err := tx.ExecContext(ctx, fmt.Sprintf("UPDATE %s SET %s = CASE %s ELSE %s END WHERE %s", where, col,
			strings.Repeat("WHEN "+key+" = ? THEN ? ", len(part)), col, cond), append(args, keys...)...)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n != int64(len(part)) {
			return errors.Join(err, fmt.Errorf("%d rows were changed, and %d were to be", n, len(part)))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return tx.Commit()
}
