package steps

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"belay/checks"
	"belay/remote"
	"belay/remote/job"
	"belay/remote/secret"
	"belay/steps/postgres"
)

func init() {
	register(Kind{
		Name:    "postgres.dump",
		Summary: "Writes a database into a directory on its host by pg_dump, in parallel and detached from the connection, with the SHA-256 of every file.",
		Example: `- step: Keep a copy of the shop's database
  on: db
  postgres.dump:
    database: shop
    password: {secret: pg_password}
    to: /var/backups/shop.dump
    jobs: 4
`,
		New: func() Step { return &postgresDump{} },
	})
}

// postgresDump makes an artefact.
type postgresDump struct {
	postgresStore `yaml:",inline"`
	To            string      `yaml:"to" required:"" doc:"absolute path on the host of the server: becomes a directory; it must not be there yet"`
	Jobs          int         `yaml:"jobs" default:"2" doc:"tables at the same time; a container gives one"`
	Compress      string      `yaml:"compress" default:"1" enum:"0|1|2|3|4|5|6|7|8|9" doc:"gzip level; 0: none"`
	Exclude       []string    `yaml:"exclude" doc:"tables whose rows stay out, as patterns of pg_dump --exclude-table-data"`
	SchemaOnly    bool        `yaml:"schema_only" doc:"definitions without rows"`
	Room          remote.Size `yaml:"room" doc:"free space that must be there; left out, as much as the database takes"`
}

func (d *postgresDump) Validate() error {
	errs := []error{d.check(""), fileCheckPath("to", d.To)}
	if d.Jobs < 1 || d.Jobs > 64 {
		errs = append(errs, Field("jobs", "%d is not between 1 and 64", d.Jobs))
	}
	for i, x := range d.Exclude {
		if x == "" || strings.ContainsAny(x, "\x00\n") {
			errs = append(errs, Field(fmt.Sprintf("exclude.%d", i), "%q is not a pattern", x))
		}
	}
	return errors.Join(errs...)
}

// Needs a login, a pg_dump of the server's major version, and the room.
func (d *postgresDump) Needs(on string) []checks.Check {
	if d.Host != "" {
		on = d.Host
	}
	need := []checks.Check{&pgNeed{Of: d.postgresStore, On: on, What: "dump", Judge: pgJudgeLogin}}
	need = append(need, &pgTool{Of: d.postgresStore, On: on, Name: "pg_dump"})
	if d.Room > 0 {
		need = append(need, &checks.DiskCheck{On: []string{on}, Path: path.Dir(d.To), Free: d.Room})
	}
	if d.Container == "" {
		need = append(need, &checks.ToolCheck{On: []string{on}, Name: "setsid", Any: []string{"perl"}})
	}
	return need
}

// Underway tells whether there is a job to take up.
func (d *postgresDump) Underway(e Env) (bool, error) {
	t, found, err := traceOf(e, runKey)
	return !found || !t.Told, err
}

const pgDumpKey = "dump"

// Pending tells whether the dump is there, as it was written.
func (d *postgresDump) Pending(ctx context.Context, e Env) ([]Change, error) {
	h, err := storeHost(e, d.store)
	if err != nil {
		return nil, err
	}
	var was postgres.About
	done, err := e.Memory.Get(pgDumpKey, &was)
	if err != nil {
		return nil, err
	}
	if done {
		if now, err := postgres.ReadAbout(ctx, h, d.To, false); err == nil && now == was {
			return nil, nil
		}
	} else if going, err := d.begun(e); err != nil {
		return nil, err
	} else if !going {
		if err := d.free(ctx, h); err != nil {
			return nil, err
		}
	}
	srv, err := d.server(ctx, e)
	if err != nil {
		return nil, err
	}
	there, size, err := srv.DatabaseExists(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w; nothing was changed", err)
	} else if !there {
		return nil, fmt.Errorf("there is no database %s on %s; nothing was changed", d.Database, h.Name)
	}
	if err := d.room(ctx, h, size); err != nil {
		return nil, err
	}
	return []Change{{Text: fmt.Sprintf("dump database %s (%s) into %s", d.Database, remote.FormatBytes(size), d.To), Bytes: size}}, nil
}

// begun tells whether a job of ours may have made what is there.
func (d *postgresDump) begun(e Env) (bool, error) {
	t, found, err := traceOf(e, runKey)
	return found && (!t.Told || t.OK), err
}

// free refuses a path where something is.
func (d *postgresDump) free(ctx context.Context, h remote.Host) error {
	c := remote.Sh(`[ ! -e "$1" ] && [ ! -L "$1" ]`, d.To)
	c.Pure = true
	err := h.Run(ctx, c)
	if isExit(err) {
		return fmt.Errorf("%s on %s is there already, and not by this step: move it away or name another place; nothing was changed", d.To, h.Name)
	}
	return err
}

func (d *postgresDump) room(ctx context.Context, h remote.Host, size int64) error {
	if d.SchemaOnly {
		return nil
	}
	need := remote.Size(size)
	if d.Room > 0 {
		need = d.Room
	}
	w := checks.World{Hosts: remote.Hosts{h.Name: h}}
	found, err := (&checks.DiskCheck{On: []string{h.Name}, Path: path.Dir(d.To), Free: max(need, 1)}).Assess(ctx, w)
	if err != nil {
		return err
	}
	if len(found) > 0 && found[0].Level == checks.Block {
		return fmt.Errorf("%s; a dump takes less than the database mostly: say with room how much is enough; nothing was changed", found[0].Text)
	}
	return nil
}

// Apply runs pg_dump as a job, or takes up the one that a crash cut off.
func (d *postgresDump) Apply(ctx context.Context, e Env) error {
	srv, err := d.server(ctx, e)
	if err != nil {
		return err
	}
	major, tables, err := pgCount(ctx, srv)
	if err != nil {
		return err
	}
	args := []string{"--lock-wait-timeout=60s"}
	for _, x := range d.Exclude {
		args = append(args, "--exclude-table-data="+x)
	}
	if d.SchemaOnly {
		args = append(args, "--schema-only")
	}
	j, err := srv.Dump(postgres.Dumping{To: path.Clean(d.To), Jobs: d.Jobs, Compress: d.Compress, Args: args}, major)
	if err != nil {
		return err
	}
	progress := &LogProgress{Match: `pg_dump: dumping contents of table`, Total: tables, Unit: "tables"}
	if err := pgClient(ctx, e, srv, j, progress); err != nil {
		return fmt.Errorf("dump database %s: %w; nothing is at %s", d.Database, err, d.To)
	}
	about, err := postgres.ReadAbout(ctx, srv.Host, d.To, false)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.Log, "-- wrote %s: %d files, %s, by pg_dump %d\n", d.To, about.Files, remote.FormatBytes(about.Bytes), about.Client)
	return e.Memory.Put(pgDumpKey, about)
}

// pgCount asks for the server's major version and how many tables it has.
func pgCount(ctx context.Context, srv postgres.Server) (major int, tables int64, err error) {
	c, err := srv.Connect(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer pgLogout(c)
	err = c.QueryRow(ctx, `select current_setting('server_version_num')::int / 10000,
		(select count(*) from pg_catalog.pg_class k join pg_catalog.pg_namespace n on n.oid = k.relnamespace where k.relkind = 'r' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema')`).Scan(&major, &tables)
	return major, tables, err
}

// pgClient runs a client program as a job on the server's host, with the
// password by stdin.
func pgClient(ctx context.Context, e Env, srv postgres.Server, j postgres.Job, p *LogProgress) error {
	e.Host = srv.Host
	e.Secret = func(context.Context, string) (secret.Value, error) { return j.Pass, nil }
	return execute(ctx, e, runKey, runTrace{}, runScript{Script: j.Script, Secrets: []string{"belay_pass"}}, p)
}

// Verify reads every file of the dump, and holds it against what was written.
func (d *postgresDump) Verify(ctx context.Context, e Env) error {
	h, err := storeHost(e, d.store)
	if err != nil {
		return err
	}
	var was postgres.About
	if _, err := e.Memory.Get(pgDumpKey, &was); err != nil {
		return err
	}
	now, err := postgres.ReadAbout(ctx, h, d.To, true)
	if err == nil && now != was {
		err = fmt.Errorf("%s on %s is not the dump that this step wrote", d.To, h.Name)
	}
	return err
}

// Undo ends a dump that still runs. One that is whole stays: it does no harm,
// and a rollback may need it.
func (d *postgresDump) Undo(ctx context.Context, e Env) error {
	h, err := storeHost(e, d.store)
	if err != nil {
		return err
	}
	if err := pgEndClient(ctx, e, h); err != nil {
		return err
	}
	var was postgres.About
	if done, err := e.Memory.Get(pgDumpKey, &was); err != nil || done {
		fmt.Fprintf(e.Log, "-- nothing to take back: the dump %s stays\n", d.To)
		return err
	}
	return h.Run(ctx, remote.Sh(`rm -rf -- "$1.partial"`, path.Clean(d.To)))
}

// pgEndClient ends the client program's job, if one was begun and not told.
func pgEndClient(ctx context.Context, e Env, h remote.Host) error {
	t, found, err := traceOf(e, runKey)
	if err != nil || !found || t.Told && !t.Orphan {
		return err
	}
	if _, err := job.Cancel(ctx, h, t.id(e, runKey), runGrace); err != nil {
		return fmt.Errorf("end the client program first: %w", err)
	}
	t.Told, t.Orphan, t.How = true, false, "ended by the rollback"
	return e.Memory.Put(runKey, t)
}

// pgContent is what stands in the way of a restore, in words.
func pgContent(ctx context.Context, c *pgx.Conn) (string, error) {
	all, err := postgres.ContentOf(ctx, c)
	if len(all) == 0 || err != nil {
		return "", err
	}
	shown := all[:min(3, len(all))]
	more := ""
	if len(all) > len(shown) {
		more = " and more"
	}
	for i, s := range shown {
		shown[i] = strconv.Quote(s)
	}
	return strings.Join(shown, ", ") + more, nil
}

var _ interface {
	Undoer
	Resumer
	Validator
	Needer
} = &postgresDump{}
