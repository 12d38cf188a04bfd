package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// QuoteLiteral writes s as a string constant, for the statements that take no
// parameters. It holds whatever standard_conforming_strings is.
func QuoteLiteral(s string) string {
	q := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return " E" + strings.ReplaceAll(q, `\`, `\\`)
	}
	return q
}

// QuoteName writes the name of one object, or of a schema and an object.
func QuoteName(parts ...string) string { return pgx.Identifier(parts).Sanitize() }

// Run sends a text of one or more statements, as it stands, and calls said
// with what each of them did ("INSERT 0 5"). Rows are counted and dropped.
func Run(ctx context.Context, c *pgx.Conn, text string, said func(string)) error {
	res := c.PgConn().Exec(ctx, text)
	for res.NextResult() {
		rows := 0
		rr := res.ResultReader()
		for rr.NextRow() {
			rows++
		}
		tag, err := rr.Close()
		if err != nil {
			_ = res.Close()
			return Explain(text, 1, err)
		}
		if said != nil && tag.String() != "" {
			said(tag.String())
		}
	}
	return Explain(text, 1, res.Close())
}

// Explain makes a server's refusal of an SQL text into one line for people:
// where in the text, what, and the hints that the server gives. line is where
// the text begins in the file that people know. Other errors stay as they are.
func Explain(text string, line int, err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	return &refusal{pg: pg, text: text, line: line}
}

// refusal is a PgError that says where and why.
type refusal struct {
	pg   *pgconn.PgError
	text string
	line int
}

func (r *refusal) Unwrap() error { return r.pg }

func (r *refusal) Error() string {
	var b strings.Builder
	if r.pg.Position > 0 {
		fmt.Fprintf(&b, "line %d: ", r.line+newlines(r.text, int(r.pg.Position)-1))
	}
	fmt.Fprintf(&b, "%s (SQLSTATE %s)", r.pg.Message, r.pg.Code)
	for _, more := range []struct{ what, text string }{{"detail", r.pg.Detail}, {"hint", r.pg.Hint}} {
		if more.text != "" {
			fmt.Fprintf(&b, "; %s: %s", more.what, more.text)
		}
	}
	return b.String()
}

// newlines counts the line ends in the first n characters of text.
func newlines(text string, n int) (lines int) {
	for _, r := range text {
		if n--; n < 0 {
			break
		}
		if r == '\n' {
			lines++
		}
	}
	return lines
}

// Code is the SQLSTATE of a server's refusal, or "" where err is none
// (PostgreSQL manual, appendix A).
func Code(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

// Answer is what a query returned, as text; NULL is "".
type Answer struct {
	Rows  [][]string
	More  bool // there were further rows
	Bools bool // the first column is of type boolean: "t" or "f"
}

// Look runs one query that changes nothing, in a read-only transaction, and
// returns at most limit of its rows.
func Look(ctx context.Context, c *pgx.Conn, query string, limit int) (a Answer, err error) {
	tx, err := c.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if err != nil {
		return a, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	// The extended protocol takes one statement only, and text asks no type.
	rr := c.PgConn().ExecParams(ctx, query, nil, nil, nil, nil)
	for rr.NextRow() {
		if len(a.Rows) == limit {
			a.More = true
			continue
		}
		row := make([]string, len(rr.Values()))
		for i, v := range rr.Values() {
			row[i] = string(v)
		}
		a.Rows = append(a.Rows, row)
	}
	if f := rr.FieldDescriptions(); len(f) > 0 {
		a.Bools = f[0].DataTypeOID == pgtype.BoolOID
	}
	_, err = rr.Close()
	return a, Explain(query, 1, err)
}
