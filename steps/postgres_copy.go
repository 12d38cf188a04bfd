package steps

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"belay/checks"
	"belay/remote"
	"belay/remote/secret"
	"belay/steps/postgres"
)

func init() {
	register(Kind{
		Name:     "postgres.copy",
		Summary:  "Copies a PostgreSQL database to another server: roles, schema, rows in parallel under one snapshot, sequences, large objects.",
		Optional: true,
		Example: `- step: Copy the database to the new server
  postgres.copy:
    from: {host: old, database: shop, user: postgres, password: {secret: old_password}}
    to: {host: new, user: postgres, password: {secret: new_password}}
    exclude: [audit.requests]
    jobs: 4
`,
		New: func() Step { return &postgresCopy{} },
	})
}

// postgresCopy copies one database. The source goes on being written to: what
// is copied is one moment of it.
type postgresCopy struct {
	From              postgresStore         `yaml:"from" required:"" doc:"the server and database that are read; its host, or the container, needs pg_dump"`
	To                postgresStore         `yaml:"to" required:"" doc:"the server that is copied to; the database has the name of the source's when left out, and is made if it is not there; one that is there must be empty"`
	Schemas           []string              `yaml:"schemas" doc:"copy only these schemas; extensions and large objects then stay out"`
	ExcludeSchemas    []string              `yaml:"exclude_schemas" doc:"schemas that stay out"`
	Exclude           []string              `yaml:"exclude" doc:"tables that stay out: schema.table, or table for those of any schema"`
	ExcludeExtensions []string              `yaml:"exclude_extensions" doc:"extensions that stay out"`
	Beside            []string              `yaml:"beside" doc:"schemas that the plan made in the target before: what is in them is left alone"`
	Roles             string                `yaml:"roles" enum:"copy|new|present|none" default:"copy" doc:"copy makes the roles that are missing, with the passwords they have; new makes them with passwords of the plan; present expects them to be there; none leaves owners and grants out"`
	Passwords         map[string]secret.Ref `yaml:"passwords" doc:"new passwords by role, for those that are made; a role that should log in and has none may not log in, which is reported"`
	Jobs              int                   `yaml:"jobs" doc:"tables copied at the same time; left out, as many as the smaller host has processors, 2 to 8; half as many where both servers are on one host, whose processors they share"`
	Split             remote.Size           `yaml:"split" default:"512MiB" doc:"tables larger than this are copied in parts at the same time, where jobs is not 1; 0 for never"`
	Text              bool                  `yaml:"text" doc:"never use the binary form, which servers of one version have for common types"`
	SchemaOnly        bool                  `yaml:"schema_only" doc:"definitions without rows and large objects: what postgres.replicate begins with"`
	Frozen            bool                  `yaml:"frozen" doc:"nothing writes to the source any more: a copy that was cut off goes on where it was, rather than from the beginning (which is also so when nothing was written)"`
}

// Validate names the target's database, and refuses what cannot be.
func (c *postgresCopy) Validate() error {
	if c.To.Database == "" {
		c.To.Database = c.From.Database
	}
	errs := []error{c.From.check("from"), c.To.check("to")}
	if c.From.Host == c.To.Host && c.From.Addr == c.To.Addr && c.From.Container == c.To.Container && c.From.Database == c.To.Database {
		errs = append(errs, Field("to", "it is the same database as from"))
	}
	if c.Jobs < 0 || c.Jobs > 64 {
		errs = append(errs, Field("jobs", "%d is not between 1 and 64", c.Jobs))
	}
	if len(c.Passwords) > 0 && c.Roles != "copy" && c.Roles != "new" {
		errs = append(errs, Field("passwords", "no roles are made with roles: %s", c.Roles))
	}
	if c.Roles == "new" && len(c.Passwords) == 0 {
		errs = append(errs, Field("passwords", "roles: new takes the passwords of the plan, and there are none"))
	}
	return errors.Join(errs...)
}

// HostNames are the hosts of both servers, where they are named.
func (c *postgresCopy) HostNames() []string { return storeHosts("", c.From.store, c.To.store) }

// Needs asks both servers.
func (c *postgresCopy) Needs(on string) []checks.Check {
	return []checks.Check{&postgresCopyNeed{of: c, on: on}}
}

// Repeatable: a copy begun again doubles nothing.
func (c *postgresCopy) Repeatable() bool { return true }

// Underway: calling Apply again is always safe; see postgres.Copy.
func (c *postgresCopy) Underway(e Env) (bool, error) {
	rec, _, err := postgresCopied(e)
	return rec.Copied == nil, err
}

// postgresCopyRecord is what Undo and a later attempt need.
type postgresCopyRecord struct {
	Making bool             `json:"making,omitempty"` // the database is not there, and will be made
	Made   *postgres.Made   `json:"made,omitempty"`   // the database was made
	Found  *postgres.Made   `json:"found,omitempty"`  // the database was there, empty
	Before []string         `json:"before,omitempty"` // what was in it: empty schemas, extensions
	Roles  []string         `json:"roles,omitempty"`  // that were made
	Copied *postgres.Copied `json:"copied,omitempty"`
	After  []string         `json:"after,omitempty"` // what is in a database that was there
}

const postgresCopyKey = "postgres.copy"

func postgresCopied(e Env) (rec postgresCopyRecord, found bool, err error) {
	if e.Memory == nil {
		return rec, false, nil
	}
	found, err = e.Memory.Get(postgresCopyKey, &rec)
	return rec, found, err
}

// copy is the machinery with this step's parameters.
func (c *postgresCopy) copy(ctx context.Context, e Env, rec postgresCopyRecord) (postgres.Copy, error) {
	from, err := c.From.server(ctx, e)
	if err != nil {
		return postgres.Copy{}, fmt.Errorf("from: %w", err)
	}
	to, err := c.To.server(ctx, e)
	if err != nil {
		return postgres.Copy{}, fmt.Errorf("to: %w", err)
	}
	jobs, same, target := c.Jobs, from.Host.Name == to.Host.Name, processors(ctx, to.Host)
	if jobs == 0 {
		jobs = postgres.JobsFor(processors(ctx, from.Host), target, same)
	}
	var room int64 // a container may have less than its host
	if to.Container == "" {
		room = free(ctx, to.Host)
	}
	var mu sync.Mutex
	return postgres.Copy{
		From: from, To: to, ID: e.ID, Jobs: jobs, Crowded: postgres.Crowded(jobs, target, same), Sort: postgres.SortFor(jobs, room), Split: int64(c.Split), Owners: c.Roles != "none", Text: c.Text, Bare: c.SchemaOnly, Frozen: c.Frozen,
		Scope:  postgres.Scope{Schemas: c.Schemas, ExcludeSchemas: c.ExcludeSchemas, ExcludeTables: c.Exclude, ExcludeExtensions: c.ExcludeExtensions},
		Beside: c.Beside, Before: rec.Before,
		Log: func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintln(e.Log, checks.OneLine(fmt.Sprintf(format, args...), 2000))
		},
		Say: func(p postgres.Progress) {
			mu.Lock()
			defer mu.Unlock()
			e.Say(Progress{Done: p.Done, Total: p.Total, Unit: "B", Text: checks.OneLine(p.Text, 200)})
		},
	}, nil
}

// free is how many bytes of memory programs of a host could still take; 0 where
// it does not say.
func free(ctx context.Context, h remote.Host) int64 {
	out, err := remote.Output(ctx, h, remote.Cmd{Argv: []string{"cat", "/proc/meminfo"}, Pure: true})
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "MemAvailable:" {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n << 10 // it says kB and means KiB (proc_meminfo(5))
		}
	}
	return 0
}

// processors of a host; 2 where it does not say.
func processors(ctx context.Context, h remote.Host) int {
	out, err := remote.Output(ctx, h, remote.Cmd{Argv: []string{"nproc"}, Pure: true})
	n, err2 := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil || err2 != nil {
		return 2
	}
	return n
}

// Pending says what would be copied; nothing once the copy is whole and the
// database that got it is still there.
func (c *postgresCopy) Pending(ctx context.Context, e Env) ([]Change, error) {
	rec, _, err := postgresCopied(e)
	if err != nil {
		return nil, err
	}
	cp, err := c.copy(ctx, e, rec)
	if err != nil {
		return nil, err
	}
	if rec.Copied != nil {
		now, found, err := postgres.Identify(ctx, cp.To)
		if err != nil || found && (rec.Made != nil && now == *rec.Made || rec.Found != nil && now == *rec.Found) {
			return nil, err
		}
	}
	look, err := cp.Look(ctx)
	if err != nil {
		return nil, err
	}
	if look.Full != nil {
		return nil, look.Full
	}
	return c.changes(ctx, cp, look)
}

func (c *postgresCopy) changes(ctx context.Context, cp postgres.Copy, look postgres.Estimate) ([]Change, error) {
	var all []Change
	if !look.Exists {
		all = append(all, Change{Text: "create database " + cp.To.String()})
	}
	roles, err := c.missing(ctx, cp)
	if err != nil {
		return nil, err
	}
	for _, r := range roles {
		all = append(all, Change{Text: "create role " + r.Name})
	}
	if c.SchemaOnly {
		return append(all, Change{Text: fmt.Sprintf("make the schema of %s in %s: %s, without rows", cp.From, cp.To, remote.Plural(len(look.Tables), "table"))}), nil
	}
	all = append(all, Change{Bytes: look.Bytes, Rows: look.Rows, Text: fmt.Sprintf("copy %s to %s: %s, about %s, %s without indexes, %d at a time",
		cp.From, cp.To, remote.Plural(len(look.Tables), "table"), remote.Plural(look.Rows, "row"), remote.FormatBytes(look.Bytes), cp.Jobs)})
	for _, t := range look.Tables[:min(5, len(look.Tables))] {
		all = append(all, Change{Text: fmt.Sprintf("copy table %s, %s", postgres.Named(t.Schema, t.Name), remote.FormatBytes(t.Bytes))})
	}
	for i := range all {
		all[i].Text = checks.OneLine(all[i].Text, 300)
	}
	return all, nil
}

// missing are the roles that are to be made, or must be there.
func (c *postgresCopy) missing(ctx context.Context, cp postgres.Copy) ([]postgres.Role, error) {
	if c.Roles == "none" {
		return nil, nil
	}
	all, _, err := postgres.Roles(ctx, cp.From)
	if err != nil {
		return nil, err
	}
	return postgres.Missing(ctx, cp.To, all)
}

// Verify counts every table of the target anew.
func (c *postgresCopy) Verify(ctx context.Context, e Env) error {
	rec, _, err := postgresCopied(e)
	if err != nil {
		return err
	}
	if rec.Copied == nil {
		return errors.New("the copy is not whole")
	}
	cp, err := c.copy(ctx, e, rec)
	if err != nil {
		return err
	}
	if c.SchemaOnly {
		return nil // the rows are those of who fills it
	}
	return postgres.Recount(ctx, cp.To, rec.Copied.Tables, cp.Jobs, func(p postgres.Progress) {
		e.Say(Progress{Done: p.Done, Total: p.Total, Unit: "tables", Text: checks.OneLine(p.Text, 200)})
	})
}
