package postgres

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"belay/remote"
	"belay/remote/secret"
)

//go:embed dump.sh
var dumpScript string

// Job is a client program as a script that can run detached: for remote/job.
type Job struct {
	Script string
	// Pass is what the script wants in its shell variable belay_pass, not
	// exported: a line of a password file, or nothing.
	Pass secret.Value
}

// Dumping is what pg_dump shall write, and where.
type Dumping struct {
	To       string   // absolute path on the host: becomes a directory
	Jobs     int      // tables at the same time
	Compress string   // of pg_dump -Z
	Args     []string // more of pg_dump's
}

// Dump is the job that writes a directory with the dump, the SHA-256 of each
// of its files (SHA256SUMS) and what it was made by (about), under another
// name until it is whole. In a container the dump is one file, because it
// comes out by a pipe.
func (s Server) Dump(o Dumping, serverMajor int) (Job, error) {
	return s.clientJob("dump", o.To, serverMajor, o.Jobs, append([]string{"--compress=" + o.Compress}, o.Args...))
}

// Restoring is what pg_restore shall read.
type Restoring struct {
	From string // what Dump wrote
	Jobs int
	Args []string
}

// Restore is the job that reads it into s.Database, having held every file
// against its SHA-256. least is the major version that wrote the dump.
func (s Server) Restore(o Restoring, least int) (Job, error) {
	return s.clientJob("restore", o.From, least, o.Jobs, o.Args)
}

// clientJob puts the words into the script itself: job scripts take none.
func (s Server) clientJob(verb, at string, least, jobs int, args []string) (Job, error) {
	pass, err := s.head()
	if err != nil {
		return Job{}, err
	}
	to, err := s.conninfo()
	if err != nil {
		return Job{}, err
	}
	words := append([]string{verb, at, strconv.Itoa(least), to, strconv.Itoa(max(1, jobs)), s.Container}, args...)
	return Job{Script: "set -- " + remote.Quote(words...) + "\ntool=" + remote.Quote(toolScript) + "\n" + dumpScript, Pass: secret.New(pass)}, nil
}

// About is what a dump says of itself.
type About struct {
	Client int // major version of the pg_dump that wrote it
	Files  int
	Bytes  int64
	Sum    string // SHA-256 of SHA256SUMS
}

const aboutScript = `cd -- "$1" && [ -f SHA256SUMS ] && [ -f about ] || { echo "$1 is not a dump that belay wrote, or not a whole one" >&2; exit 1; }
[ -z "$2" ] || sha256sum -c SHA256SUMS >/dev/null || exit 1
cat about
echo "files $(wc -l <SHA256SUMS)"
echo "bytes $(find . -type f -exec cat {} + | wc -c)"
echo "sum $(sha256sum <SHA256SUMS | cut -d' ' -f1)"`

// ReadAbout reads what a dump says of itself; check also reads every file
// against its SHA-256.
func ReadAbout(ctx context.Context, h remote.Host, dir string, check bool) (a About, err error) {
	word := ""
	if check {
		word = "check"
	}
	c := remote.Sh(aboutScript, dir, word)
	c.Pure = true
	out, err := remote.Output(ctx, h, c)
	if err != nil {
		return a, fmt.Errorf("%s on %s: %w", dir, h.Name, err)
	}
	for line := range strings.Lines(string(out)) {
		key, val, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, _ := strconv.ParseInt(strings.TrimSpace(val), 10, 64)
		switch key {
		case "client":
			a.Client = int(n)
		case "files":
			a.Files = int(n)
		case "bytes":
			a.Bytes = n
		case "sum":
			a.Sum = val
		}
	}
	if a.Client == 0 || a.Sum == "" {
		return a, fmt.Errorf("%s on %s: it does not say by which pg_dump it was made", dir, h.Name)
	}
	return a, nil
}

// ContentOf names what is in a database that no fresh one has: tables, views,
// sequences, routines, types, schemas, extensions, large objects; at most 20.
// An empty list means that it is empty.
func ContentOf(ctx context.Context, c *pgx.Conn) ([]string, error) {
	const q = `with own as (select oid, nspname from pg_catalog.pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema'),
		ext as (select classid, objid from pg_catalog.pg_depend where deptype = 'e')
		select * from (
		select 'relation ' || n.nspname || '.' || k.relname from pg_catalog.pg_class k join own n on n.oid = k.relnamespace
			where k.relkind in ('r', 'p', 'v', 'm', 'S', 'f') and not exists (select from ext where classid = 'pg_catalog.pg_class'::regclass and objid = k.oid)
		union all select 'routine ' || n.nspname || '.' || p.proname from pg_catalog.pg_proc p join own n on n.oid = p.pronamespace
			where not exists (select from ext where classid = 'pg_catalog.pg_proc'::regclass and objid = p.oid)
		union all select 'type ' || n.nspname || '.' || t.typname from pg_catalog.pg_type t join own n on n.oid = t.typnamespace
			where t.typtype in ('d', 'e', 'r') and not exists (select from ext where classid = 'pg_catalog.pg_type'::regclass and objid = t.oid)
		union all select 'schema ' || nspname from own where nspname <> 'public' and not exists (select from ext where classid = 'pg_catalog.pg_namespace'::regclass and objid = own.oid)
		union all select 'extension ' || extname from pg_catalog.pg_extension where extname <> 'plpgsql'
		union all select 'publication ' || pubname from pg_catalog.pg_publication
		union all select 'large object ' || oid from pg_catalog.pg_largeobject_metadata) x limit 20`
	rows, err := c.Query(ctx, q)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// DatabaseExists tells whether the database is there, and its size in bytes.
func (s Server) DatabaseExists(ctx context.Context) (there bool, size int64, err error) {
	c, err := s.control(ctx)
	if err != nil {
		return false, 0, err
	}
	defer bye(c)
	err = c.QueryRow(ctx, "select count(*) > 0, coalesce(sum(pg_catalog.pg_database_size(oid)), 0)::bigint from pg_catalog.pg_database where datname = $1", s.Database).Scan(&there, &size)
	return there, size, err
}

// madeNote is how the comment of a database begins that belay made.
const madeNote = "made by belay: "

// MakeDatabase makes an empty database that says who made it; one that the
// same id made before is taken as it is. owner may be "".
func (s Server) MakeDatabase(ctx context.Context, id, owner string) error {
	c, err := s.control(ctx)
	if err != nil {
		return err
	}
	defer bye(c)
	if mine, err := s.madeBy(ctx, c, id); err != nil || mine {
		return err
	}
	sql := "create database " + QuoteName(s.Database) + " template template0"
	if owner != "" {
		sql += " owner " + QuoteName(owner)
	}
	if _, err := c.Exec(ctx, sql); err != nil {
		return fmt.Errorf("make database %s: %w", s.Database, Explain("", 1, err))
	}
	note := madeNote + id
	_, err = c.Exec(ctx, commentOn(s.Database, &note))
	return Explain("", 1, err)
}

func (s Server) madeBy(ctx context.Context, c *pgx.Conn, id string) (bool, error) {
	text, err := databaseComment(ctx, c, s.Database)
	return text != nil && *text == madeNote+id, err
}

// MadeBy tells whether the database is there and says that id made it.
func (s Server) MadeBy(ctx context.Context, id string) (bool, error) {
	c, err := s.control(ctx)
	if err != nil {
		return false, err
	}
	defer bye(c)
	return s.madeBy(ctx, c, id)
}

// DropDatabase drops the database with all sessions in it, if it says that id
// made it. dropped is false when it is not there, or somebody else's.
func (s Server) DropDatabase(ctx context.Context, id string) (dropped bool, err error) {
	c, err := s.control(ctx)
	if err != nil {
		return false, err
	}
	defer bye(c)
	if mine, err := s.madeBy(ctx, c, id); err != nil || !mine {
		return false, err
	}
	_, err = c.Exec(ctx, "drop database "+QuoteName(s.Database)+" with (force)") // PostgreSQL 13
	return err == nil, Explain("", 1, err)
}
