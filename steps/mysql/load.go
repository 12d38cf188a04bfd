package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/go-sql-driver/mysql"
)

// errDrop makes database/sql throw a session away.
var errDrop = driver.ErrBadConn

// rawly gives results in the bytes that the column has, so that nothing is
// lost between charsets; floats and others come in a text that is exact.
func (c Column) rawly() string {
	name := Ident(c.Name)
	switch c.Type {
	case "float":
		return name + " + 0e0"
	case "bit":
		return name + " + 0"
	case "year", "uuid", "inet4", "inet6":
		return "CAST(" + name + " AS CHAR)"
	}
	return name
}

// taken is what a value becomes that cannot be taken as plain bytes: an
// expression with @v; "" when it can.
func (c Column) taken(to Version) string {
	switch c.Type {
	case "bit":
		return "CAST(@v AS UNSIGNED)"
	case "uuid", "inet4", "inet6":
		return "CONVERT(@v USING utf8mb4)"
	case "json":
		if !to.MariaDB {
			return "CONVERT(@v USING utf8mb4)" // MySQL makes no JSON of binary strings
		}
	}
	return ""
}

// selectSQL reads the rows of a part of the table.
func (t *Table) selectSQL(where string) string {
	var cols []string
	for _, c := range t.stored() {
		cols = append(cols, c.rawly())
	}
	return "SELECT /*!40001 SQL_NO_CACHE */ " + strings.Join(cols, ", ") + " FROM " + t.sql() + where
}

// loadSQL writes rows that come in by the reader of that name.
func (t *Table) loadSQL(reader string, to Version) string {
	var cols, set []string
	// Where there is a SET, MariaDB takes a zero in an AUTO_INCREMENT column for
	// "the next number" in spite of sql_mode, unless the column is SET as well.
	sets := slices.ContainsFunc(t.stored(), func(c Column) bool { return c.taken(to) != "" })
	for i, c := range t.stored() {
		expr := c.taken(to)
		if c.Auto && sets {
			expr = "@v"
		}
		if expr != "" {
			v := "@belay" + strconv.Itoa(i)
			cols = append(cols, v)
			set = append(set, Ident(c.Name)+" = "+strings.ReplaceAll(expr, "@v", v))
			continue
		}
		cols = append(cols, Ident(c.Name))
	}
	q := "LOAD DATA LOCAL INFILE 'Reader::" + reader + "' INTO TABLE " + t.sql() + " CHARACTER SET binary" +
		` FIELDS TERMINATED BY '\t' ESCAPED BY '\\' LINES TERMINATED BY '\n' (` + strings.Join(cols, ", ") + ")"
	if len(set) > 0 {
		q += " SET " + strings.Join(set, ", ")
	}
	return q
}

// appendValue writes a value as LOAD DATA reads it.
func appendValue(b []byte, v driver.Value) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, '\\', 'N')
	case int64:
		return strconv.AppendInt(b, v, 10)
	case uint64:
		return strconv.AppendUint(b, v, 10)
	case float64:
		return strconv.AppendFloat(b, v, 'g', -1, 64)
	case float32:
		return strconv.AppendFloat(b, float64(v), 'g', -1, 32)
	case []byte:
		return appendEscaped(b, v)
	case string:
		return appendEscaped(b, []byte(v))
	}
	return appendEscaped(b, fmt.Append(nil, v))
}

// escapes are the bytes that mean something to LOAD DATA.
var escapes = [256]byte{0: '0', '\n': 'n', '\t': 't', '\\': '\\'}

func appendEscaped(b, v []byte) []byte {
	from := 0
	for i, c := range v {
		if e := escapes[c]; e != 0 {
			b = append(append(b, v[from:i]...), '\\', e)
			from = i + 1
		}
	}
	return append(b, v[from:]...)
}

const (
	loadBlock = 256 << 10 // what is read ahead at once
	loadAhead = 4         // blocks
)

// rowReader is an io.Reader of rows that are read ahead of whoever reads it.
type rowReader struct {
	blocks chan []byte
	free   chan []byte
	block  []byte
	rest   []byte
	stop   context.CancelFunc
	rows   int64
	err    error // of the source; read it after the end of blocks
	moved  func(bytes int)
}

// readRows begins to read; the session is busy until close.
func readRows(ctx context.Context, c *sql.Conn, query string, moved func(int)) *rowReader {
	ctx, stop := context.WithCancel(ctx)
	r := &rowReader{blocks: make(chan []byte, loadAhead), free: make(chan []byte, loadAhead+2), stop: stop, moved: moved}
	go func() {
		defer close(r.blocks)
		r.err = c.Raw(func(dc any) error { return r.fill(ctx, dc, query) })
	}()
	return r
}

func (r *rowReader) fill(ctx context.Context, dc any, query string) error {
	rows, err := dc.(driver.QueryerContext).QueryContext(ctx, query, nil)
	if err != nil {
		return err
	}
	defer rows.Close()
	values := make([]driver.Value, len(rows.Columns()))
	block := make([]byte, 0, loadBlock+64<<10)
	for {
		err := rows.Next(values)
		if err == io.EOF {
			return r.send(ctx, block)
		}
		if err != nil {
			return err
		}
		for i, v := range values {
			if i > 0 {
				block = append(block, '\t')
			}
			block = appendValue(block, v)
		}
		block = append(block, '\n')
		r.rows++
		if len(block) >= loadBlock {
			if err := r.send(ctx, block); err != nil {
				return err
			}
			select {
			case block = <-r.free:
				block = block[:0]
			default:
				block = make([]byte, 0, loadBlock+64<<10)
			}
		}
	}
}

func (r *rowReader) send(ctx context.Context, block []byte) error {
	if len(block) == 0 {
		return nil
	}
	select {
	case r.blocks <- block:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (r *rowReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		if r.block != nil {
			select {
			case r.free <- r.block:
			default:
			}
		}
		block, ok := <-r.blocks
		if !ok {
			if r.err != nil {
				return 0, r.err
			}
			return 0, io.EOF
		}
		r.block, r.rest = block, block
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	r.moved(n)
	return n, nil
}

// close ends the reading and waits for the session to be free.
func (r *rowReader) close() {
	r.stop()
	for range r.blocks {
	}
}

var loadNumber atomic.Int64

// pour copies a part of the table from one session into another. What a cut
// left behind in the target may be any part of it.
func (t *Table) pour(ctx context.Context, from, to *sql.Conn, target Version, where string, moved func(int)) (rows int64, warnings []string, err error) {
	if _, err := from.ExecContext(ctx, "SET SESSION character_set_results = NULL"); err != nil {
		return 0, nil, err
	}
	r := readRows(ctx, from, t.selectSQL(where), moved)
	defer r.close()
	name := fmt.Sprintf("belay%d", loadNumber.Add(1))
	mysql.RegisterReaderHandler(name, func() io.Reader { return r })
	defer mysql.DeregisterReaderHandler(name)
	res, err := to.ExecContext(ctx, t.loadSQL(name, target))
	r.close()
	if r.err != nil {
		return 0, nil, fmt.Errorf("read: %w", r.err)
	}
	if err != nil {
		return 0, nil, fmt.Errorf("write: %w", err)
	}
	took, err := res.RowsAffected()
	if err != nil {
		return 0, nil, err
	}
	if warnings, err = loadWarnings(ctx, to); err != nil {
		return 0, nil, err
	}
	if took != r.rows {
		return r.rows, warnings, fmt.Errorf("%d rows were sent and %d taken: %s", r.rows, took, strings.Join(warnings, "; "))
	}
	_, err = from.ExecContext(ctx, "SET SESSION character_set_results = 'utf8mb4'")
	return r.rows, warnings, err
}

// loadWarnings are the first that the server has: LOAD DATA LOCAL warns where
// another statement would fail.
func loadWarnings(ctx context.Context, c *sql.Conn) ([]string, error) {
	rows, err := table(ctx, c, "SHOW WARNINGS LIMIT 3")
	var all []string
	for _, r := range rows {
		if len(r) > 2 {
			all = append(all, r[1].String+" "+r[2].String)
		}
	}
	return all, err
}

var errNotEqual = errors.New("what arrived is not what was sent")
