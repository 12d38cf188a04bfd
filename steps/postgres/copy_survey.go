package postgres

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"belay/remote"
)

// Grade is how a point of a survey came out.
type Grade int

// The grades; the zero one is not known.
const (
	Unclear Grade = iota
	Good
	Doubtful
	Bad
)

// Point is one thing that a copy relies on.
type Point struct {
	OnTarget  bool
	Key       string // "version", "space", …
	Grade     Grade
	Text, Fix string
}

// Estimate is what there is to copy, as far as the source knows without
// counting.
type Estimate struct {
	Tables      []Table // biggest first
	Rows, Bytes int64   // of tables, without indexes
	Whole       int64   // of the database on the disk, with indexes
	Exists      bool    // the target's database is there
	Full        error   // why the target may not be copied into
}

// Look tells what there is to copy, and whether the target is free for it. It
// changes nothing.
func (c Copy) Look(ctx context.Context) (e Estimate, err error) {
	snap, err := Hold(ctx, c.From)
	if err != nil {
		return e, err
	}
	defer snap.Close()
	if e.Tables, err = tables(ctx, snap, c.Scope); err != nil {
		return e, err
	}
	for _, t := range e.Tables {
		e.Rows, e.Bytes = e.Rows+max(t.Rows, 0), e.Bytes+t.Bytes
	}
	err = snap.Query(ctx, func(rows pgx.Rows) error { return rows.Scan(&e.Whole) }, "select pg_catalog.pg_database_size(current_database())")
	if err != nil {
		return e, err
	}
	if _, e.Exists, err = Identify(ctx, c.To); err != nil || !e.Exists {
		return e, err
	}
	cl, err := claimTarget(ctx, c.To, c.ID, c.Beside)
	if errors.Is(err, ErrNotOurs) {
		e.Full = err
		return e, nil
	}
	if err == nil {
		cl.release(ctx)
	}
	return e, err
}

// Survey judges, before anything is changed, all that the copy relies on. roles
// are those that would have to be made.
func (c Copy) Survey(ctx context.Context, makeRoles bool) []Point {
	s := &survey{c: c}
	from, err := c.From.Connect(ctx)
	if err != nil {
		return append(s.points, Point{Key: "login", Grade: Bad, Text: err.Error(), Fix: "correct addr, user and password of the source, or let the host's belay in with pg_hba.conf"})
	}
	defer from.Close(context.WithoutCancel(ctx))
	to, err := c.To.admin(ctx)
	if err != nil {
		return append(s.points, Point{OnTarget: true, Key: "login", Grade: Bad, Text: err.Error(), Fix: "correct addr, user and password of the target, or let belay in with pg_hba.conf"})
	}
	defer to.Close(context.WithoutCancel(ctx))
	for _, ask := range []struct {
		key    string
		target bool
		do     func(context.Context, *pgx.Conn, *pgx.Conn) (Point, error)
	}{
		{"version", true, s.versions},
		{"privileges", false, s.mayRead},
		{"privileges", true, func(ctx context.Context, from, to *pgx.Conn) (Point, error) { return s.mayWrite(ctx, to, makeRoles) }},
		{"connections", false, func(ctx context.Context, from, _ *pgx.Conn) (Point, error) { return s.connections(ctx, from, c.From) }},
		{"connections", true, func(ctx context.Context, _, to *pgx.Conn) (Point, error) { return s.connections(ctx, to, c.To) }},
		{"extensions", true, s.extensions},
		{"locale", true, s.locale},
		{"space", true, s.space},
		{"pg_dump", false, s.tool},
		{"target", true, s.target},
	} {
		p, err := ask.do(ctx, from, to)
		if err != nil {
			p = Point{Text: "not known: " + err.Error(), Fix: "look yourself, or give the login the right to"}
		}
		p.Key, p.OnTarget = ask.key, ask.target
		s.points = append(s.points, p)
	}
	return s.points
}

type survey struct {
	c      Copy
	major  int
	points []Point
}

func good(format string, args ...any) (Point, error) {
	return Point{Grade: Good, Text: fmt.Sprintf(format, args...)}, nil
}

func bad(fix, format string, args ...any) (Point, error) {
	return Point{Grade: Bad, Text: fmt.Sprintf(format, args...), Fix: fix}, nil
}

func (s *survey) versions(ctx context.Context, from, to *pgx.Conn) (Point, error) {
	var a, b string
	if err := errors.Join(from.QueryRow(ctx, "show server_version").Scan(&a), to.QueryRow(ctx, "show server_version").Scan(&b)); err != nil {
		return Point{}, err
	}
	am, bm := majorOf(a), majorOf(b)
	s.major = am
	if bm < am {
		return bad("copy to a server of the same version or a newer one", "the target is PostgreSQL %s, older than the source's %s", b, a)
	}
	return good("PostgreSQL %s is copied to %s", a, b)
}

func majorOf(version string) int {
	n, _ := strconv.Atoi(strings.TrimRight(strings.SplitN(strings.SplitN(version, ".", 2)[0], " ", 2)[0], "abcdefghijklmnopqrstuvwxyz"))
	return n
}

func (s *survey) mayRead(ctx context.Context, from, _ *pgx.Conn) (Point, error) {
	var super, bypass bool
	err := from.QueryRow(ctx, "select rolsuper, rolbypassrls from pg_catalog.pg_roles where rolname = current_user").Scan(&super, &bypass)
	if err != nil {
		return Point{}, err
	}
	var denied, hidden []string
	err = query(ctx, from, func(rows pgx.Rows) error {
		var schema, name string
		var may, rls bool
		err := rows.Scan(&schema, &name, &may, &rls)
		if err != nil || !s.c.Scope.table(schema, name) {
			return err
		}
		if !may {
			denied = append(denied, Named(schema, name))
		} else if rls && !super && !bypass {
			hidden = append(hidden, Named(schema, name))
		}
		return nil
	}, `select n.nspname, c.relname, has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select'),
			c.relrowsecurity and (c.relforcerowsecurity or not pg_catalog.pg_has_role(c.relowner, 'usage'))
		from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
		where c.relkind in ('r', 'p', 'S', 'm') and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' order by 1, 2`)
	switch {
	case err != nil:
		return Point{}, err
	case len(denied) > 0:
		return bad("log in as a superuser, or GRANT pg_read_all_data", "user %s may not read %s", s.c.From.User, listed(denied))
	case len(hidden) > 0:
		return bad("log in as a superuser, or ALTER ROLE … BYPASSRLS", "row level security hides rows from user %s in %s", s.c.From.User, listed(hidden))
	}
	return good("user %s may read every table", s.c.From.User)
}

func (s *survey) mayWrite(ctx context.Context, to *pgx.Conn, makeRoles bool) (Point, error) {
	var super, createdb, createrole, exists, create bool
	err := to.QueryRow(ctx, `select r.rolsuper, r.rolcreatedb, r.rolcreaterole, d.oid is not null, coalesce(has_database_privilege(d.oid, 'create'), false)
		from pg_catalog.pg_roles r left join pg_catalog.pg_database d on d.datname = $1 where r.rolname = current_user`, s.c.To.Database).Scan(&super, &createdb, &createrole, &exists, &create)
	switch {
	case err != nil:
		return Point{}, err
	case super:
		return good("user %s is a superuser", s.c.To.User)
	case !exists && !createdb:
		return bad("give the login CREATEDB, or create the database first", "user %s may not create database %s", s.c.To.User, s.c.To.Database)
	case exists && !create:
		return bad("make the login the owner of the database", "user %s may not create schemas in database %s", s.c.To.User, s.c.To.Database)
	case makeRoles && !createrole:
		return bad("give the login CREATEROLE, create the roles first, or set roles: none", "user %s may not create the roles of the source", s.c.To.User)
	case s.c.Owners:
		return Point{Grade: Doubtful, Text: fmt.Sprintf("user %s is no superuser: it must be a member of every role that owns something", s.c.To.User),
			Fix: "log in as a superuser, or set roles: none"}, nil
	}
	return good("user %s may make what is needed", s.c.To.User)
}

func (s *survey) connections(ctx context.Context, conn *pgx.Conn, of Server) (Point, error) {
	var most, used, own, limit int
	err := conn.QueryRow(ctx, `select current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
		(select count(*) from pg_catalog.pg_stat_activity where backend_type is null or backend_type = 'client backend'),
		(select count(*) from pg_catalog.pg_stat_activity where usename = current_user), (select rolconnlimit from pg_catalog.pg_roles where rolname = current_user)`).
		Scan(&most, &used, &own, &limit)
	need := s.c.Jobs + builders(s.c.Jobs) + 3
	free := most - used
	if limit >= 0 {
		free = min(free, limit-own)
	}
	switch {
	case err != nil:
		return Point{}, err
	case free < need:
		return bad("lower jobs, or raise max_connections or the role's limit", "%d connections are free and %d are needed", free, need)
	}
	return good("%d connections are free, %d are needed", free, need)
}

func (s *survey) extensions(ctx context.Context, from, to *pgx.Conn) (Point, error) {
	all, err := Extensions(ctx, from, s.c.Scope)
	if err != nil {
		return Point{}, err
	}
	missing, other, err := unavailable(ctx, to, all)
	switch {
	case err != nil:
		return Point{}, err
	case len(missing) > 0:
		return bad("install their packages on the target, or name them in exclude_extensions with the schemas that need them", "the target's server does not have the extensions %s", listed(missing))
	case len(other) > 0:
		return Point{Grade: Doubtful, Text: "the target has other versions of extensions: " + listed(other), Fix: "read their release notes; usually a newer one will do"}, nil
	}
	return good("the target has all %d extensions", len(all))
}

func (s *survey) locale(ctx context.Context, from, to *pgx.Conn) (Point, error) {
	ask := func(conn *pgx.Conn) string {
		return "select pg_catalog.pg_encoding_to_char(encoding), datcollate, datctype, concat_ws(' ', " + localeColumns(versionOf(conn), ", ") +
			") from pg_catalog.pg_database where datname = $1"
	}
	var ae, ac, at, ap, be, bc, bt, bp string
	if err := from.QueryRow(ctx, ask(from), s.c.From.Database).Scan(&ae, &ac, &at, &ap); err != nil {
		return Point{}, err
	}
	err := to.QueryRow(ctx, ask(to), s.c.To.Database).Scan(&be, &bc, &bt, &bp)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return s.localeThere(ctx, to, ae, ac)
	case err != nil:
		return Point{}, err
	case ae != be:
		return bad("create the database with encoding "+ae, "the source has encoding %s and the target's database %s", ae, be)
	case !sameLocale(ac, bc) || !sameLocale(at, bt):
		return Point{Grade: Doubtful, Text: fmt.Sprintf("the source sorts by %s and the target's database by %s: ORDER BY and what is unique may differ", ac, bc),
			Fix: "create the database with the source's locale, or leave it to belay"}, nil
	case ap != bp:
		return Point{Grade: Doubtful, Text: fmt.Sprintf("the source's locale is provided as %q and the target's database's as %q (c: by the system, i: by ICU, b: by the server): ORDER BY and what is unique may differ", ap, bp),
			Fix: "create the database with the source's locale provider, or leave it to belay"}, nil
	}
	return good("encoding %s, locale %s on both sides", ae, ac)
}

func (s *survey) localeThere(ctx context.Context, to *pgx.Conn, encoding, collate string) (Point, error) {
	there := sameLocale(collate, "C") || sameLocale(collate, "POSIX")
	err := query(ctx, to, func(rows pgx.Rows) error {
		var l *string
		err := rows.Scan(&l)
		there = there || l != nil && sameLocale(*l, collate)
		return err
	}, "select collcollate from pg_catalog.pg_collation union select datcollate from pg_catalog.pg_database")
	if err != nil || there {
		p, _ := good("the database will be made with encoding %s, locale %s", encoding, collate)
		return p, err
	}
	return bad("install it (Debian: locale-gen), then restart the server", "the target's system does not have the locale %s", collate)
}

// sameLocale: en_US.UTF-8 is en_US.utf8.
func sameLocale(a, b string) bool {
	plain := func(s string) string { return strings.ToLower(strings.ReplaceAll(s, "-", "")) }
	return plain(a) == plain(b)
}

// space asks the target's host how much is free where the server keeps its
// files, which only a superuser is told.
func (s *survey) space(ctx context.Context, from, to *pgx.Conn) (Point, error) {
	var need, wal int64
	if err := from.QueryRow(ctx, "select pg_catalog.pg_database_size(current_database())").Scan(&need); err != nil {
		return Point{}, err
	}
	var dir string
	err := to.QueryRow(ctx, "select current_setting('data_directory'), pg_catalog.pg_size_bytes(current_setting('max_wal_size'))").Scan(&dir, &wal)
	if err != nil {
		return Point{}, err
	}
	if !path.IsAbs(dir) {
		return Point{}, fmt.Errorf("the data directory %q is no path", dir)
	}
	c := remote.Cmd{Argv: []string{"df", "-Pk", "--", dir}, Pure: true}
	if s.c.To.Container != "" {
		c.Argv = append([]string{"docker", "exec", s.c.To.Container}, c.Argv...)
	}
	out, err := remote.Output(ctx, s.c.To.Host, c)
	if err != nil {
		return Point{}, fmt.Errorf("free space in %s on %s: %w", dir, s.c.To.Host.Name, err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	words := strings.Fields(lines[len(lines)-1])
	if len(words) < 6 {
		return Point{}, fmt.Errorf("df says %.100q", out)
	}
	kb, err := strconv.ParseInt(words[3], 10, 64)
	if err != nil {
		return Point{}, err
	}
	free := kb << 10
	text := fmt.Sprintf("%s are free in %s; the database takes %s on the source, and up to %s of write-ahead log come on top", remote.FormatBytes(free), dir, remote.FormatBytes(need), remote.FormatBytes(wal))
	switch {
	case free < need:
		return bad("make room, or move the data directory", "%s", text)
	case free < need+need/4+wal:
		return Point{Grade: Doubtful, Text: text, Fix: "make some room: building indexes takes some for a while, too"}, nil
	}
	return good("%s", text)
}

// tool has pg_dump log in and write nothing: it is there, new enough, and let in.
func (s *survey) tool(ctx context.Context, _, _ *pgx.Conn) (Point, error) {
	err := s.c.From.Run(ctx, Tool{Name: "pg_dump", Major: s.major, Args: []string{"--schema-only", "--exclude-schema=*"}, Pure: true})
	if errors.Is(err, ErrNoTool) {
		return bad(fmt.Sprintf("install the client programs of PostgreSQL %d there, or name the container that has them", s.major), "%v", err)
	}
	if err != nil {
		return bad("see what pg_dump says", "%v", err)
	}
	return good("pg_dump reads the schema")
}

func (s *survey) target(ctx context.Context, _, _ *pgx.Conn) (Point, error) {
	_, found, err := Identify(ctx, s.c.To)
	if err != nil {
		return Point{}, err
	}
	if !found {
		return good("database %s will be made", s.c.To.Database)
	}
	cl, err := claimTarget(ctx, s.c.To, s.c.ID, s.c.Beside)
	if errors.Is(err, ErrNotOurs) {
		return bad("name another database, or drop this one if nobody needs it", "%v", err)
	}
	if err != nil {
		return Point{}, err
	}
	cl.release(ctx)
	return good("database %s is there and empty", s.c.To.Database)
}
