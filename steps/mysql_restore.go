package steps

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"belay/checks"
	"belay/remote/job"
	"belay/steps/mysql"
)

func init() {
	register(Kind{
		Name:    "mysql.restore",
		Summary: "Restores a dump of databases into a MySQL or MariaDB server that has them not, or empty, detached from the connection.",
		Example: `- step: Restore the shop
  on: db
  mysql.restore:
    user: root
    password: {secret: db_root}
    databases: [shop]
    from: /var/backups/shop.sql.zst
`,
		New: func() Step { return &mysqlRestore{} },
	})
}

// mysqlRestore feeds a dump to mariadb or mysql.
type mysqlRestore struct {
	mysqlStore `yaml:",inline"`
	Databases  []string `yaml:"databases" required:"" doc:"which ones the dump makes; one that is there and not empty is refused, and so is a dump that goes into others"`
	From       string   `yaml:"from" required:"" doc:"absolute path of the dump on the server's host, as mysql.dump or mysqldump --databases makes it"`
	Compress   string   `yaml:"compress" enum:"auto|zstd|gzip|none" default:"auto" doc:"auto goes by the name: .zst, .gz, else none"`
}

func (r *mysqlRestore) Validate() error {
	return errors.Join(r.check(""), mysqlNames("databases", r.Databases), fileCheckPath("from", r.From))
}

// HostNames is the server's host.
func (r *mysqlRestore) HostNames() []string { return fileOn(r.Host) }

// Needs the client programs, and what unpacks.
func (r *mysqlRestore) Needs(on string) []checks.Check {
	return mysqlTools(on, r.mysqlStore, mysqlClients, filePacker(r.From, r.Compress))
}

// script looks first where the dump goes; lines of rows cannot begin with USE,
// because line breaks are escaped in them.
func (r *mysqlRestore) script() runScript {
	unpack := mysqlUnpacker(filePacker(r.From, r.Compress), r.From)
	var allowed []string
	for _, d := range r.Databases {
		allowed = append(allowed, "USE "+mysql.Ident(d)+";")
	}
	client := mysqlClient(r.Container, mysqlClients, "--batch", "--default-character-set=utf8mb4", "--max-allowed-packet=1073741824")
	feed := `printf '%s\n#belay-end\n' "$` + mysqlOptions + `"; { ` + unpack + `; } | { ` + mysqlSandbox + `; }`
	return runScript{Secrets: []string{mysqlOptions}, Script: `if [ -f ` + quoted(r.From+".sha256") + ` ]; then
  sum=$(sha256sum <` + quoted(r.From) + `) || exit 1
  read -r want rest <` + quoted(r.From+".sha256") + `
  [ "${sum%% *}" = "$want" ] || { echo "the dump has not the SHA-256 that stands beside it; nothing was restored" >&2; exit 3; }
fi
others=$({ ` + unpack + `; } | LC_ALL=C grep -a '^USE ` + "`" + `' | LC_ALL=C sort -u | LC_ALL=C grep -avxF ` + quoted(strings.Join(allowed, "\n")) + `)
[ -z "$others" ] || { echo "the dump goes into other databases too; nothing was restored: $others" >&2; exit 3; }
{ ` + unpack + `; } | tail -c 300 | grep -q '^-- Dump completed' || { echo "the dump has no end; nothing was restored" >&2; exit 3; }
` + mysqlPipe(feed, client)}
}

// mysqlRestored is what is remembered: what was there before.
type mysqlRestored struct {
	Made  []string          `json:"made"`            // were not there
	Empty map[string]string `json:"empty,omitempty"` // were there, with these options
	Done  bool              `json:"done,omitempty"`
}

const mysqlRestoreKey = "restore"

// look tells what the target has; an error if something is in the way.
func (r *mysqlRestore) look(ctx context.Context, srv mysql.Server) (before mysqlRestored, err error) {
	db, err := srv.Open(ctx)
	if err != nil {
		return before, err
	}
	defer db.Close()
	before.Empty = map[string]string{}
	for _, d := range r.Databases {
		held, options, err := mysql.Holds(ctx, db, d)
		switch {
		case err != nil:
			return before, err
		case options == "":
			before.Made = append(before.Made, d)
		case held > 0:
			return before, fmt.Errorf("database %q of %s is not empty: it has %d objects that this step did not make; is it the right server? nothing was changed", d, srv, held)
		default:
			before.Empty[d] = options
		}
	}
	return before, nil
}

// Pending: it was restored here, or is to be.
func (r *mysqlRestore) Pending(ctx context.Context, e Env) ([]Change, error) {
	var was mysqlRestored
	found, err := e.Memory.Get(mysqlRestoreKey, &was)
	if err != nil || found && was.Done {
		return nil, err
	}
	if !found {
		srv, err := r.server(ctx, e)
		if err != nil {
			return nil, err
		}
		if _, err := r.look(ctx, srv); err != nil {
			return nil, err
		}
	}
	return []Change{{Text: fmt.Sprintf("restore %s from %s", strings.Join(r.Databases, ", "), r.From)}}, nil
}

// Apply restores. A restore that failed half way is begun anew, from nothing.
func (r *mysqlRestore) Apply(ctx context.Context, e Env) error {
	srv, err := r.server(ctx, e)
	if err != nil {
		return err
	}
	e = mysqlClientEnv(e, srv)
	var was mysqlRestored
	found, err := e.Memory.Get(mysqlRestoreKey, &was)
	if err != nil || was.Done {
		return err
	}
	if !found {
		if was, err = r.look(ctx, srv); err != nil {
			return err
		}
		if err := e.Memory.Put(mysqlRestoreKey, was); err != nil {
			return err
		}
	} else if t, begun, err := traceOf(e, runKey); err != nil {
		return err
	} else if begun && t.Told && !t.OK {
		if err := r.clear(ctx, e, srv, was); err != nil {
			return err
		}
	}
	if err := execute(ctx, e, runKey, runTrace{}, r.script(), nil); err != nil {
		return fmt.Errorf("restore %s: %w", r.From, err)
	}
	was.Done = true
	return e.Memory.Put(mysqlRestoreKey, was)
}

// clear takes back what a restore made.
func (r *mysqlRestore) clear(ctx context.Context, e Env, srv mysql.Server, was mysqlRestored) error {
	db, err := srv.Open(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	run := func(q string) error {
		fmt.Fprintln(e.Log, q)
		_, err := db.ExecContext(ctx, q)
		return err
	}
	for _, d := range was.Made {
		if err := run("DROP DATABASE IF EXISTS " + mysql.Ident(d)); err != nil {
			return fmt.Errorf("drop database %q: %w", d, err)
		}
	}
	for d, options := range was.Empty {
		for _, q := range []string{"DROP DATABASE IF EXISTS " + mysql.Ident(d), "CREATE DATABASE " + mysql.Ident(d) + " " + options} {
			if err := run(q); err != nil {
				return fmt.Errorf("empty database %q: %w", d, err)
			}
		}
	}
	return nil
}

// Underway: a restore that was begun is taken up.
func (r *mysqlRestore) Underway(e Env) (bool, error) {
	t, found, err := traceOf(e, runKey)
	return !found || !t.Told, err
}

// Verify looks whether the databases are there with something in them.
func (r *mysqlRestore) Verify(ctx context.Context, e Env) error {
	srv, err := r.server(ctx, e)
	if err != nil {
		return err
	}
	db, err := srv.Open(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	for _, d := range r.Databases {
		held, options, err := mysql.Holds(ctx, db, d)
		if err != nil {
			return err
		}
		if options == "" || held == 0 {
			return fmt.Errorf("database %q of %s is not there, or empty", d, srv)
		}
	}
	return nil
}

// Undo drops the databases, and makes those anew that were there, empty.
func (r *mysqlRestore) Undo(ctx context.Context, e Env) error {
	var was mysqlRestored
	found, err := e.Memory.Get(mysqlRestoreKey, &was)
	if err != nil || !found || len(was.Made)+len(was.Empty) == 0 {
		return err
	}
	srv, err := r.server(ctx, e)
	if err != nil {
		return err
	}
	if t, begun, err := traceOf(e, runKey); err != nil {
		return err
	} else if begun && !t.Told {
		if _, err := job.Cancel(ctx, srv.Host, t.id(e, runKey), runGrace); err != nil {
			return fmt.Errorf("end the restore before undoing it: %w", err)
		}
		t.Told, t.How = true, "ended by the rollback"
		if err := e.Memory.Put(runKey, t); err != nil {
			return err
		}
	}
	if err := r.clear(ctx, e, srv, was); err != nil {
		return err
	}
	return e.Memory.Put(mysqlRestoreKey, mysqlRestored{})
}

var _ interface {
	Undoer
	Resumer
	Needer
	Hoster
	Validator
} = &mysqlRestore{}
