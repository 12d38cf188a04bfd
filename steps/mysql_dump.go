package steps

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"belay/checks"
	"belay/remote"
)

func init() {
	register(Kind{
		Name:    "mysql.dump",
		Summary: "Dumps databases of a MySQL or MariaDB server into a file on its host, with its SHA-256 beside it, detached from the connection.",
		Example: `- step: Dump the shop
  on: db
  mysql.dump:
    user: root
    password: {secret: db_root}
    databases: [shop]
    to: /var/backups/shop.sql.zst
`,
		New: func() Step { return &mysqlDump{} },
	})
}

// mysqlDump runs mariadb-dump or mysqldump.
type mysqlDump struct {
	mysqlStore `yaml:",inline"`
	Databases  []string `yaml:"databases" required:"" doc:"which ones; the dump makes them, and restores under the same names (of a FLOAT, dumps hold six digits; mysql.copy has them all)"`
	To         string   `yaml:"to" required:"" doc:"absolute path of the dump on the server's host; there must be no such file yet"`
	Compress   string   `yaml:"compress" enum:"auto|zstd|gzip|none" default:"auto" doc:"auto goes by the name: .zst, .gz, else none"`
	Position   bool     `yaml:"position" doc:"write the place in the binary log into the dump, as a comment; needs RELOAD and log_bin"`
}

func (d *mysqlDump) Validate() error {
	errs := []error{d.check(""), mysqlNames("databases", d.Databases), fileCheckPath("to", d.To)}
	for _, n := range d.Databases {
		if strings.HasPrefix(n, "-") {
			errs = append(errs, Field("databases", "client programs take %q for an option", n))
		}
	}
	return errors.Join(errs...)
}

// HostNames is the server's host.
func (d *mysqlDump) HostNames() []string { return fileOn(d.Host) }

func (d *mysqlDump) packer() string { return filePacker(d.To, d.Compress) }

// Needs the client programs, and what packs.
func (d *mysqlDump) Needs(on string) []checks.Check {
	return mysqlTools(on, d.mysqlStore, mysqlDumpers, d.packer())
}

// script writes the dump beside its place, then puts it there.
func (d *mysqlDump) script() runScript {
	args := []string{"--single-transaction", "--quick", "--routines", "--events", "--triggers", "--hex-blob", "--default-character-set=utf8mb4"}
	if d.Position {
		args = append(args, "--belay-position")
	}
	args = append(append(args, "--databases"), d.Databases...)
	dump := `printf '%s\n#belay-end\n' "$` + mysqlOptions + `" | ` + mysqlClient(d.Container, mysqlDumpers, args...)
	return runScript{Secrets: []string{mysqlOptions}, Script: `umask 077
to=` + quoted(d.To) + `
if [ -e "$to" ] || [ -L "$to" ]; then echo "$to is there already: move it away, or name another file; nothing was dumped" >&2; exit 3; fi
dir=${to%/*}; if [ ! -d "${dir:-/}" ]; then echo "the directory $dir is not there: make it first, or name another file; nothing was dumped" >&2; exit 3; fi
` + mysqlPipe(dump, "{ "+mysqlSandbox+"; } | { "+mysqlPacker(d.packer())+`; } >"$to.partial"`) + d.whole(`"$to.partial"`) + `
sum=$(sha256sum <"$to.partial") && printf '%s  %s\n' "${sum%% *}" "${to##*/}" >"$to.sha256.partial"
sync "$to.partial" 2>/dev/null || { ! sync / 2>/dev/null && sync; } || { echo "$to.partial could not be written to the disk" >&2; exit 1; }
mv -- "$to.sha256.partial" "$to.sha256" && mv -- "$to.partial" "$to"
ls -l -- "$to"`}
}

// whole proves that a dump has its end.
func (d *mysqlDump) whole(file string) string {
	return `{ ` + strings.ReplaceAll(mysqlUnpacker(d.packer(), "@"), "'@'", file) + `; } | tail -c 300 | grep -q '^-- Dump completed' || { echo "the dump has no end" >&2; exit 1; }`
}

func (d *mysqlDump) look(ctx context.Context, e Env) (Env, error) {
	srv, err := d.server(ctx, e)
	if err != nil {
		return e, err
	}
	return mysqlClientEnv(e, srv), nil
}

// Pending: the dump is there if it was made here and still is.
func (d *mysqlDump) Pending(ctx context.Context, e Env) ([]Change, error) {
	var err error
	if e.Host, err = storeHost(e, d.store); err != nil {
		return nil, err
	}
	t, _, err := traceOf(e, runKey)
	if err != nil {
		return nil, err
	}
	c := remote.Sh(`[ -f "$1" ] && [ -f "$1.sha256" ]`, d.To)
	c.Pure = true
	err = e.Host.Run(ctx, c)
	switch {
	case err == nil && t.OK:
		return nil, nil
	case err == nil && !t.Told && t.N > 0: // it is being told
	case err == nil:
		return nil, fmt.Errorf("%s is there already, and this step did not make it: move it away, or name another file", d.To)
	case !isExit(err):
		return nil, err
	}
	return []Change{{Text: fmt.Sprintf("dump %s into %s", strings.Join(d.Databases, ", "), d.To)}}, nil
}

// Apply dumps, or follows a dump that goes on.
func (d *mysqlDump) Apply(ctx context.Context, e Env) error {
	e, err := d.look(ctx, e)
	if err != nil {
		return err
	}
	if err := execute(ctx, e, runKey, runTrace{}, d.script(), nil); err != nil {
		return fmt.Errorf("dump %s: %w", strings.Join(d.Databases, ", "), err)
	}
	return nil
}

// Underway: a dump that was begun is taken up.
func (d *mysqlDump) Underway(e Env) (bool, error) {
	t, found, err := traceOf(e, runKey)
	return !found || !t.Told, err
}

// Repeatable: one that failed has left nothing in its place.
func (d *mysqlDump) Repeatable() bool { return true }

// Verify reads the file again: its SHA-256, that it unpacks, and that it has
// its end.
func (d *mysqlDump) Verify(ctx context.Context, e Env) error {
	h, err := storeHost(e, d.store)
	if err != nil {
		return err
	}
	c := remote.Sh(`to=`+quoted(d.To)+`
sum=$(sha256sum <"$to") || exit 1
read -r want rest <"$to.sha256" || exit 1
[ "${sum%% *}" = "$want" ] || { echo "$to has not the SHA-256 that stands in $to.sha256" >&2; exit 1; }
`+d.whole(`"$to"`), d.To)
	c.Pure = true
	if err := h.Run(ctx, c); err != nil {
		return fmt.Errorf("%s: %w", d.To, err)
	}
	return nil
}

// Undo keeps the dump: it does no harm, and a rollback may need it.
func (d *mysqlDump) Undo(_ context.Context, e Env) error {
	fmt.Fprintf(e.Log, "nothing to take back: a dump %s stays\n", d.To)
	return nil
}

var _ interface {
	Undoer
	Resumer
	Repeater
	Needer
	Hoster
	Validator
} = &mysqlDump{}
