package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// Queryer is a DB, a session of it, or a transaction.
type Queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Column is one that holds data of its own, or is computed.
type Column struct {
	Name      string
	Type      string // data_type: "varchar"
	Full      string // column_type: "enum('a','b')"
	Charset   string // "" when it has none
	Collation string
	Length    int64 // most octets; 0 when it has no such limit
	Nullable  bool
	Generated bool
	Auto      bool // AUTO_INCREMENT
}

// Table is a base table.
type Table struct {
	Database, Name string
	Engine         string
	Rows, Bytes    int64 // the server's estimates
	Collation      string
	Columns        []Column
	Key            []string // primary key, else a unique one without NULL, else none
	Versioned      bool     // MariaDB's system-versioned
}

func (t *Table) String() string { return t.Database + "." + t.Name }

func (t *Table) sql() string { return Dotted(t.Database, t.Name) }

// column returns the column of that name; nil when there is none.
func (t *Table) column(name string) *Column {
	for i := range t.Columns {
		if t.Columns[i].Name == name {
			return &t.Columns[i]
		}
	}
	return nil
}

// stored are the columns that are written: all but the computed.
func (t *Table) stored() []Column {
	return slices.DeleteFunc(slices.Clone(t.Columns), func(c Column) bool { return c.Generated })
}

// in is a list of n placeholders; of none it is one that nothing is in.
func in(n int) string {
	if n == 0 {
		return "(NULL)"
	}
	return "(" + strings.Repeat(",?", n)[1:] + ")"
}

func anys(s []string) []any {
	all := make([]any, len(s))
	for i := range s {
		all[i] = s[i]
	}
	return all
}

// systemDatabases are the server's own.
var systemDatabases = []string{"mysql", "information_schema", "performance_schema", "sys", "ndbinfo"}

// Databases lists the databases that are not the server's own.
func Databases(ctx context.Context, q Queryer) ([]string, error) {
	return strs(ctx, q, `SELECT schema_name FROM information_schema.schemata WHERE schema_name NOT IN `+in(len(systemDatabases))+` ORDER BY 1`,
		anys(systemDatabases)...)
}

// strs is the first column of a query.
func strs(ctx context.Context, q Queryer, query string, args ...any) ([]string, error) {
	rows, err := table(ctx, q, query, args...)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, r := range rows {
		all = append(all, r[0].String)
	}
	return all, nil
}

// table is all of a small result.
func table(ctx context.Context, q Queryer, query string, args ...any) ([][]sql.NullString, error) {
	_, all, err := named(ctx, q, query, args...)
	return all, err
}

// named is all of a small result, with the names of its columns.
func named(ctx context.Context, q Queryer, query string, args ...any) ([]string, [][]sql.NullString, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, nil, err
	}
	var all [][]sql.NullString
	for rows.Next() {
		r := make([]sql.NullString, len(names))
		into := make([]any, len(names))
		for i := range r {
			into[i] = &r[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, nil, err
		}
		all = append(all, r)
	}
	return names, all, rows.Err()
}

// Tables lists the base tables of the databases, the biggest first.
func Tables(ctx context.Context, q Queryer, databases []string) ([]*Table, error) {
	if len(databases) == 0 {
		return nil, nil
	}
	rows, err := q.QueryContext(ctx, `SELECT table_schema, table_name, IFNULL(engine, ''), IFNULL(table_rows, 0),
		IFNULL(data_length, 0), IFNULL(table_collation, ''), table_type = 'SYSTEM VERSIONED'
		FROM information_schema.tables WHERE table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') AND table_schema IN `+in(len(databases))+
		` ORDER BY 5 DESC, 1, 2`, anys(databases)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []*Table
	by := map[string]*Table{}
	for rows.Next() {
		t := &Table{}
		if err := rows.Scan(&t.Database, &t.Name, &t.Engine, &t.Rows, &t.Bytes, &t.Collation, &t.Versioned); err != nil {
			return nil, err
		}
		all = append(all, t)
		by[t.sql()] = t
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if err := columns(ctx, q, databases, by); err != nil {
		return nil, err
	}
	return all, keys(ctx, q, databases, by)
}

func columns(ctx context.Context, q Queryer, databases []string, by map[string]*Table) error {
	rows, err := q.QueryContext(ctx, `SELECT table_schema, table_name, column_name, data_type, column_type, IFNULL(character_set_name, ''),
		IFNULL(collation_name, ''), IFNULL(character_octet_length, 0), is_nullable = 'YES', IFNULL(generation_expression, ''), extra LIKE '%auto_increment%'
		FROM information_schema.columns WHERE table_schema IN `+in(len(databases))+` ORDER BY 1, 2, ordinal_position`, anys(databases)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var c Column
		var database, name, length, expression string
		if err := rows.Scan(&database, &name, &c.Name, &c.Type, &c.Full, &c.Charset, &c.Collation, &length, &c.Nullable, &expression, &c.Auto); err != nil {
			return err
		}
		if expression == "ROW START" || expression == "ROW END" {
			continue // when this server wrote the row
		}
		c.Generated = expression != ""
		fmt.Sscan(length, &c.Length) // unsigned; beyond int64 it does not matter
		c.Type = strings.ToLower(c.Type)
		if t := by[Dotted(database, name)]; t != nil {
			t.Columns = append(t.Columns, c)
		}
	}
	return rows.Err()
}

// keys finds each table's key: the primary one, else the first unique one
// whose columns are all NOT NULL and whole.
func keys(ctx context.Context, q Queryer, databases []string, by map[string]*Table) error {
	rows, err := table(ctx, q, `SELECT table_schema, table_name, index_name, column_name, sub_part, nullable
		FROM information_schema.statistics WHERE non_unique = 0 AND table_schema IN `+in(len(databases))+
		` ORDER BY table_schema, table_name, index_name <> 'PRIMARY', index_name, seq_in_index`, anys(databases)...)
	if err != nil {
		return err
	}
	type index struct{ table, name string }
	var order []index
	cols, bad := map[index][]string{}, map[index]bool{}
	for _, r := range rows {
		i := index{Dotted(r[0].String, r[1].String), r[2].String}
		if len(cols[i]) == 0 {
			order = append(order, i)
		}
		cols[i] = append(cols[i], r[3].String)
		if t := by[i.table]; !r[3].Valid || r[4].Valid || r[5].String == "YES" || t == nil || t.column(r[3].String) == nil {
			bad[i] = true // an expression, a prefix, or something that may be NULL
		}
	}
	for _, i := range order {
		if t := by[i.table]; t != nil && t.Key == nil && !bad[i] {
			t.Key = cols[i]
		}
	}
	return nil
}

// Holds tells how many tables, views, routines and events a database has, and
// the options with which it could be made again; "" when it is not there.
func Holds(ctx context.Context, q Queryer, database string) (objects int, options string, err error) {
	rows, err := table(ctx, q, `SELECT (SELECT COUNT(*) FROM information_schema.tables t WHERE t.table_schema = s.schema_name)
		+ (SELECT COUNT(*) FROM information_schema.routines r WHERE r.routine_schema = s.schema_name)
		+ (SELECT COUNT(*) FROM information_schema.events e WHERE e.event_schema = s.schema_name), default_character_set_name, default_collation_name
		FROM information_schema.schemata s WHERE s.schema_name = ?`, database)
	if err != nil || len(rows) == 0 {
		return 0, "", err
	}
	_, err = fmt.Sscan(rows[0][0].String, &objects)
	return objects, "CHARACTER SET " + rows[0][1].String + " COLLATE " + rows[0][2].String, err
}

// First is the first column of a query; NULL is "".
func First(ctx context.Context, q Queryer, query string, args ...any) ([]string, error) {
	return strs(ctx, q, query, args...)
}
