package mysql

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"belay/steps/compare"
)

// Side is the content of some databases of a server at one moment: that of
// NewSide, for tables of InnoDB. It is a compare.Side.
type Side struct {
	db        *DB
	conn      *sql.Conn // in a snapshot; one session at a time is what consistency costs
	databases []string
	hash      hash // for both sides that are compared the same: Pair

	mu     sync.Mutex
	tables map[string]*Table // by database.table; filled when first asked
}

// NewSide logs in and begins a snapshot of the databases; with none named, of
// all but the server's own. It blocks no writer. End it with Close.
func NewSide(ctx context.Context, s Server, databases ...string) (*Side, error) {
	db, err := s.Open(ctx)
	if err != nil {
		return nil, err
	}
	side := &Side{db: db, databases: databases}
	if err := side.begin(ctx); err != nil {
		side.Close()
		return nil, fmt.Errorf("%s: %w", s, err)
	}
	return side, nil
}

func (s *Side) begin(ctx context.Context) (err error) {
	if s.conn, err = s.db.Conn(ctx); err != nil {
		return err
	}
	if len(s.databases) == 0 {
		if s.databases, err = Databases(ctx, s.conn); err != nil {
			return err
		}
	}
	if s.hash, err = s.db.hash(ctx); err != nil {
		return err
	}
	return snapshot(ctx, s.conn)
}

// Pair lets two sides that shall be compared fingerprint alike, where one of
// the servers has not all the functions that the other has.
func Pair(a, b *Side) {
	both := common(a.db.Version, b.db.Version, a.hash, b.hash)
	a.hash, b.hash = both, both
}

// snapshot freezes what one session sees of InnoDB.
func snapshot(ctx context.Context, c *sql.Conn) error {
	for _, q := range []string{"SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ", "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"} {
		if _, err := c.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// Close ends the snapshot.
func (s *Side) Close() error {
	if s.conn != nil {
		s.conn.Close()
	}
	return s.db.Close()
}

// load finds the tables.
func (s *Side) load(ctx context.Context) error {
	if s.tables != nil {
		return nil
	}
	all, err := Tables(ctx, s.conn, s.databases)
	if err != nil {
		return err
	}
	s.tables = map[string]*Table{}
	for _, t := range all {
		s.tables[t.String()] = t
	}
	return nil
}

func (s *Side) table(ctx context.Context, name string) (*Table, error) {
	if err := s.load(ctx); err != nil {
		return nil, err
	}
	t := s.tables[name]
	if t == nil {
		return nil, fmt.Errorf("table %s is not on %s", name, s.db.server)
	}
	return t, nil
}

// Objects lists databases, tables with their keys and next numbers, views,
// routines, triggers, events, and accounts with their grants.
func (s *Side) Objects(ctx context.Context) ([]compare.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.load(ctx); err != nil {
		return nil, err
	}
	var all []compare.Object
	for _, list := range []func(context.Context) ([]compare.Object, error){s.tableObjects, s.databaseObjects, s.storedObjects, s.accountObjects} {
		some, err := list(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.db.server, err)
		}
		all = append(all, some...)
	}
	return all, nil
}

func (s *Side) tableObjects(ctx context.Context) ([]compare.Object, error) {
	ordered, err := Tables(ctx, s.conn, s.databases)
	if err != nil {
		return nil, err
	}
	var data, rest []compare.Object
	for _, t := range ordered {
		show, err := showCreate(ctx, s.conn, "TABLE", t.sql())
		if err != nil {
			return nil, err
		}
		c, ok := ParseCreate(show["create table"])
		if !ok {
			return nil, fmt.Errorf("table %s: its definition cannot be read: %.200q", t, show["create table"])
		}
		o := compare.Object{Kind: "table", Name: t.String(), Data: true, Bytes: t.Bytes}
		if s.hash.across() {
			c = c.across(t)
		}
		o.Print = Same(strings.Join(append(append(append([]string{}, c.Columns...), c.Primary), append(c.Checks, c.Options)...), "; "))
		if !strings.EqualFold(t.Engine, "InnoDB") {
			o.Note = "engine " + t.Engine + " has no snapshots: rows that change meanwhile are seen"
		} else if slices.ContainsFunc(t.Columns, func(c Column) bool { return c.Type == "json" }) {
			o.Note = "JSON is compared as its text is read: a decimal of more than 17 digits in it is copied, and counts, as the double next to it"
		}
		data = append(data, o)
		for _, k := range c.Keys {
			rest = append(rest, compare.Object{Kind: "index", Name: t.String() + "." + bare(keyName(k)), Print: Same(k)})
		}
		for _, k := range c.Foreign {
			rest = append(rest, compare.Object{Kind: "foreign key", Name: t.String() + "." + bare(keyName(k)), Print: Same(k)})
		}
		if n := nextNumber(c.Options); n != "" {
			rest = append(rest, compare.Object{Kind: "next number", Name: t.String(), Print: n})
		}
	}
	return append(data, rest...), nil
}

// nextNumber is the AUTO_INCREMENT of a table's options.
func nextNumber(options string) string {
	m := autoValue.FindString(options)
	_, n, _ := strings.Cut(m, "=")
	return n
}

func (s *Side) databaseObjects(ctx context.Context) ([]compare.Object, error) {
	rows, err := table(ctx, s.conn, `SELECT schema_name, default_character_set_name, default_collation_name
		FROM information_schema.schemata WHERE schema_name IN `+in(len(s.databases)), anys(s.databases)...)
	var all []compare.Object
	for _, r := range rows {
		o := compare.Object{Kind: "database", Name: r[0].String}
		if s.hash.across() {
			r[2].String = "" // they go by other names
			o.Note = "between MySQL and MariaDB rows, columns and keys are compared; collations, defaults, checks, partitions, and what is in views, routines and accounts are not"
		}
		o.Print = Same(r[1].String + " " + r[2].String)
		all = append(all, o)
	}
	return all, err
}

func (s *Side) storedObjects(ctx context.Context) ([]compare.Object, error) {
	stored, err := StoredObjects(ctx, s.conn, s.databases)
	var all []compare.Object
	for _, o := range stored {
		if s.hash.across() && o.Kind != Trigger && o.Kind != Event {
			o.Text = notAcross
		}
		print := Same(strings.TrimRight(o.Text, "; \n")) // MySQL keeps what ended a routine in a script of several
		if o.Kind == Sequence {
			print += "; next " + o.Next
		}
		all = append(all, compare.Object{Kind: o.Kind, Name: o.Database + "." + o.Name, Print: print})
	}
	return all, err
}

func (s *Side) accountObjects(ctx context.Context) ([]compare.Object, error) {
	accounts, err := Accounts(ctx, s.conn, s.databases, nil)
	if Number(err) == 1142 || Number(err) == 1044 || Number(err) == errPrivilege {
		return []compare.Object{{Kind: "accounts", Name: "accounts", Print: "not looked at",
			Note: "belay's login may not read them: SELECT on mysql.* is missing"}}, nil
	}
	var all []compare.Object
	for _, a := range accounts {
		if s.hash.across() {
			a.Role = false
			if a.Host == "" {
				a.Host = "%" // of roles, which are accounts on MySQL
			}
			all = append(all, compare.Object{Kind: "account", Name: a.String(), Print: notAcross})
			continue
		}
		lines := []string{fmt.Sprintf("%s, verifier %.12x", a.Plugin, sha256.Sum256([]byte(a.Create)))}
		for _, g := range a.Grants {
			if g.onAny(s.databases) || g.Role != "" {
				lines = append(lines, g.Text)
			}
		}
		all = append(all, compare.Object{Kind: "account", Name: a.String(), Print: strings.Join(lines, "; ")})
	}
	return all, err
}

// Prints fingerprints a table.
func (s *Side) Prints(ctx context.Context, name string, buckets int) ([]compare.Print, error) {
	if buckets < 1 {
		return nil, fmt.Errorf("table %s: %d buckets", name, buckets)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.table(ctx, name)
	if err != nil {
		return nil, err
	}
	prints := make([]compare.Print, buckets)
	for i := range prints {
		prints[i].Sum = "0"
	}
	query := "SELECT 0, " + t.printSums(s.hash) + " FROM " + t.sql()
	if buckets > 1 {
		query = "SELECT " + t.bucketOf(s.hash, buckets) + " AS b, " + t.printSums(s.hash) + " FROM " + t.sql() + " GROUP BY b"
	}
	rows, err := table(ctx, s.conn, query)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", name, err)
	}
	for _, r := range rows {
		b, err := strconv.Atoi(r[0].String)
		if err != nil || b < 0 || b >= buckets {
			return nil, fmt.Errorf("table %s: bucket %q", name, r[0].String)
		}
		if prints[b].Rows, err = strconv.ParseInt(r[1].String, 10, 64); err != nil {
			return nil, fmt.Errorf("table %s: rows %q", name, r[1].String)
		}
		prints[b].Sum = r[2].String
	}
	return prints, nil
}

// Rows tells the rows of some buckets.
func (s *Side) Rows(ctx context.Context, name string, buckets int, of []int, each func(compare.Row) error) error {
	if len(of) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.table(ctx, name)
	if err != nil {
		return err
	}
	wanted := make([]any, len(of))
	for i, b := range of {
		wanted[i] = b
	}
	where := ""
	if buckets > 1 {
		where = " WHERE " + t.bucketOf(s.hash, buckets) + " IN " + in(len(of))
	} else {
		wanted = nil
	}
	rows, err := s.conn.QueryContext(ctx, "SELECT "+t.people(s.hash)+", "+s.hash.of(t.rowText(s.hash))+" FROM "+t.sql()+where, wanted...)
	if err != nil {
		return fmt.Errorf("table %s: %w", name, err)
	}
	defer rows.Close()
	for rows.Next() {
		var key, print sql.NullString
		if err := rows.Scan(&key, &print); err != nil {
			return err
		}
		if err := each(compare.Row{Key: key.String, Print: print.String}); err != nil {
			return err
		}
	}
	return rows.Err()
}

// people is how a row's key reads: id=17, lang=de; without a key the beginning of the row.
func (t *Table) people(h hash) string {
	if len(t.Key) == 0 {
		return "LEFT(" + t.rowText(h) + ", 120)"
	}
	var parts []string
	for i, k := range t.Key {
		sep := ""
		if i > 0 {
			sep = ", "
		}
		value := t.column(k).printed(h)
		switch t.column(k).Type {
		case "binary", "varbinary", "tinyblob", "blob":
			value = "HEX(" + value + ")"
		}
		parts = append(parts, String(sep+k+"="), value)
	}
	return "CONCAT(" + strings.Join(parts, ", ") + ")"
}

var _ compare.Side = (*Side)(nil)
