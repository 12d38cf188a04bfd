package steps

import (
	"context"
	"errors"
	"fmt"

	"belay/checks"
	"belay/steps/postgres"
)

func init() {
	register(Kind{
		Name:    "postgres.restore",
		Summary: "Fills a new database from what postgres.dump wrote, by pg_restore, in parallel and detached from the connection.",
		Example: `- step: Fill the new database
  on: new
  postgres.restore:
    database: shop
    password: {secret: pg_password}
    from: /var/backups/shop.dump
    owner: shop
    jobs: 4
`,
		New: func() Step { return &postgresRestore{} },
	})
}

// postgresRestore fills a database.
type postgresRestore struct {
	postgresStore `yaml:",inline"`
	From          string `yaml:"from" required:"" doc:"the dump's directory on the host of the server"`
	Jobs          int    `yaml:"jobs" default:"2" doc:"tables and indexes at the same time; one where the database was there before, or is in a container"`
	Owner         string `yaml:"owner" doc:"owner of the database, which is made if it is not there; left out, the login"`
	NoOwner       bool   `yaml:"no_owner" doc:"all objects belong to the login, and grants are left out, whatever the dump says"`
}

func (r *postgresRestore) Validate() error {
	errs := []error{r.check(""), fileCheckPath("from", r.From)}
	if r.Jobs < 1 || r.Jobs > 64 {
		errs = append(errs, Field("jobs", "%d is not between 1 and 64", r.Jobs))
	}
	return errors.Join(errs...)
}

// Needs a login beside the database, and pg_restore.
func (r *postgresRestore) Needs(on string) []checks.Check {
	if r.Host != "" {
		on = r.Host
	}
	need := []checks.Check{&pgNeed{Of: pgBeside(r.postgresStore), On: on, What: "restore", Judge: pgJudgeLogin}, &pgTool{Of: r.postgresStore, On: on, Name: "pg_restore", Dump: r.From}}
	if r.Container == "" {
		need = append(need, &checks.ToolCheck{On: []string{on}, Name: "setsid", Any: []string{"perl"}})
	}
	return need
}

// Underway tells whether there is a job to take up.
func (r *postgresRestore) Underway(e Env) (bool, error) {
	t, found, err := traceOf(e, runKey)
	return !found || !t.Told, err
}

// pgRestored is remembered before anything is made, and after.
type pgRestored struct {
	Made bool   `json:"made"` // by this step; else it was there, and empty
	Sum  string `json:"sum"`  // of the dump
	Done bool   `json:"done,omitempty"`
}

const pgRestoreKey = "restore"

// Pending tells whether the dump was restored. Of the database itself it only
// sees whether it is there, and whether it is empty.
func (r *postgresRestore) Pending(ctx context.Context, e Env) ([]Change, error) {
	srv, err := r.server(ctx, e)
	if err != nil {
		return nil, err
	}
	var was pgRestored
	begun, err := e.Memory.Get(pgRestoreKey, &was)
	if err != nil {
		return nil, err
	}
	there, _, err := srv.DatabaseExists(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w; nothing was changed", err)
	}
	if was.Done && there {
		return nil, nil
	}
	if about, err := postgres.ReadAbout(ctx, srv.Host, r.From, false); err == nil { // else an earlier step writes it
		if err := pgRestorable(ctx, srv, about); err != nil {
			return nil, err
		}
	}
	var todo []Change
	switch {
	case !there:
		todo = append(todo, Change{Text: "make database " + r.Database})
	case !begun:
		if err := r.empty(ctx, srv); err != nil {
			return nil, err
		}
	}
	return append(todo, Change{Text: fmt.Sprintf("restore %s into database %s", r.From, r.Database)}), nil
}

// empty refuses a database in which something is.
func (r *postgresRestore) empty(ctx context.Context, srv postgres.Server) error {
	c, err := srv.Connect(ctx)
	if err != nil {
		return err
	}
	defer pgLogout(c)
	held, err := pgContent(ctx, c)
	if err == nil && held != "" {
		err = fmt.Errorf("database %s is not empty: it holds %s; restore into another one, or drop it yourself; nothing was changed", r.Database, held)
	}
	return err
}

// Apply makes the database, and fills it. What a broken attempt left in a
// database of its own making is dropped with it first; in one that was there
// before, the restore is one transaction, so that it leaves nothing.
func (r *postgresRestore) Apply(ctx context.Context, e Env) error {
	srv, err := r.server(ctx, e)
	if err != nil {
		return err
	}
	about, err := postgres.ReadAbout(ctx, srv.Host, r.From, false)
	if err != nil {
		return fmt.Errorf("%w; nothing was changed", err)
	}
	if err := pgRestorable(ctx, srv, about); err != nil {
		return err
	}
	was, err := r.prepare(ctx, e, srv, about)
	if err != nil {
		return err
	}
	major, _, err := pgCount(ctx, srv)
	if err != nil {
		return err
	}
	o := postgres.Restoring{From: r.From, Jobs: r.Jobs}
	if !was.Made {
		o.Jobs, o.Args = 1, []string{"--single-transaction"}
	}
	if r.NoOwner {
		o.Args = append(o.Args, "--no-owner", "--no-privileges")
	}
	// A newer pg_restore than the server sends settings that it does not know,
	// so the oldest that can read the dump is taken, from the server's own on.
	j, err := srv.Restore(o, max(major, about.Client))
	if err != nil {
		return err
	}
	progress := &LogProgress{Match: `pg_restore: processing data for table`, Unit: "tables"}
	if err := pgClient(ctx, e, srv, j, progress); err != nil {
		return fmt.Errorf("restore %s into database %s: %w", r.From, r.Database, err)
	}
	if err := r.analyze(ctx, e, srv); err != nil {
		return err
	}
	was.Done = true
	return e.Memory.Put(pgRestoreKey, was)
}

func (r *postgresRestore) analyze(ctx context.Context, e Env, srv postgres.Server) error {
	c, err := srv.Connect(ctx)
	if err != nil {
		return err
	}
	defer pgLogout(c)
	fmt.Fprintln(e.Log, "-- collecting statistics (ANALYZE)")
	_, err = c.Exec(ctx, "analyze")
	return err
}

// prepare brings about an empty database, unless a job is to be taken up.
func (r *postgresRestore) prepare(ctx context.Context, e Env, srv postgres.Server, about postgres.About) (was pgRestored, err error) {
	begun, err := e.Memory.Get(pgRestoreKey, &was)
	if err != nil {
		return was, err
	}
	t, found, err := traceOf(e, runKey)
	if err != nil || begun && found && !t.Told {
		return was, err
	}
	there, _, err := srv.DatabaseExists(ctx)
	if err != nil {
		return was, err
	}
	if !begun {
		was = pgRestored{Made: !there, Sum: about.Sum}
		if there {
			if err := r.empty(ctx, srv); err != nil {
				return was, err
			}
		}
		if err := e.Memory.Put(pgRestoreKey, was); err != nil {
			return was, err
		}
	}
	if !was.Made {
		return was, r.empty(ctx, srv)
	}
	if found {
		if dropped, err := srv.DropDatabase(ctx, e.ID); err != nil {
			return was, err
		} else if dropped {
			fmt.Fprintf(e.Log, "-- what the last attempt left of database %s is dropped\n", r.Database)
		}
	}
	return was, srv.MakeDatabase(ctx, e.ID, r.Owner)
}

// Verify sees that the dump is still the one that was restored, and whether
// every index and constraint that it brought is valid.
func (r *postgresRestore) Verify(ctx context.Context, e Env) error {
	srv, err := r.server(ctx, e)
	if err != nil {
		return err
	}
	var was pgRestored
	if _, err := e.Memory.Get(pgRestoreKey, &was); err != nil {
		return err
	}
	if !was.Done {
		return fmt.Errorf("%s was not restored by this step", r.From)
	}
	c, err := srv.Connect(ctx)
	if err != nil {
		return err
	}
	defer pgLogout(c)
	held, err := pgContent(ctx, c)
	if err != nil {
		return err
	}
	if held == "" {
		return fmt.Errorf("database %s is empty", r.Database)
	}
	var bad int
	if err := c.QueryRow(ctx, "select count(*)::int from pg_catalog.pg_index where not indisvalid").Scan(&bad); err != nil || bad > 0 {
		return errors.Join(err, fmt.Errorf("database %s has %d invalid indexes", r.Database, bad))
	}
	return nil
}

// Undo drops the database that this step made.
func (r *postgresRestore) Undo(ctx context.Context, e Env) error {
	var was pgRestored
	if begun, err := e.Memory.Get(pgRestoreKey, &was); err != nil {
		return err
	} else if !begun {
		fmt.Fprintln(e.Log, "-- nothing was restored here, so there is nothing to undo")
		return nil
	}
	srv, err := r.server(ctx, e)
	if err != nil {
		return err
	}
	if err := pgEndClient(ctx, e, srv.Host); err != nil {
		return err
	}
	if was.Made {
		dropped, err := srv.DropDatabase(ctx, e.ID)
		if err == nil && !dropped {
			fmt.Fprintf(e.Log, "-- database %s is gone, or does not say any more that this step made it: it is left alone\n", r.Database)
		}
		return err
	}
	if !was.Done {
		return nil // one transaction, which left nothing
	}
	return fmt.Errorf("%w: database %s was there before, and holds now what %s has: drop or empty it yourself", ErrNoWayBack, r.Database, r.From)
}

var _ interface {
	Undoer
	Resumer
	Validator
	Needer
} = &postgresRestore{}
