package steps

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"belay/checks"
	"belay/remote"
	"belay/steps/postgres"
)

func init() {
	register(Kind{
		Name:    "postgres.migrate",
		Summary: "Brings a database's schema to a version by golang-migrate's files and tracking table, each version in one transaction with its record.",
		Example: `- step: Bring the schema to version 12
  on: db
  postgres.migrate:
    database: shop
    password: {secret: pg_password}
    dir: shop/migrations
    to: 12
`,
		New: func() Step { return &postgresMigrate{} },
	})
}

// postgresMigrate runs versioned files.
type postgresMigrate struct {
	postgresStore `yaml:",inline"`
	Dir           string          `yaml:"dir" doc:"directory with files such as 12_add_users.up.sql and 12_add_users.down.sql, on the machine that belay runs on"`
	Path          string          `yaml:"path" doc:"the same on the host of the server, instead of dir: an absolute path"`
	To            *int64          `yaml:"to" doc:"version to reach, up or down; left out, the newest that has files"`
	Table         string          `yaml:"table" default:"schema_migrations" doc:"the tracking table, as golang-migrate makes it: version, dirty"`
	Schema        string          `yaml:"schema" doc:"schema of the tracking table; left out, the first of the login's search path"`
	LockWait      remote.Duration `yaml:"lock_wait" default:"15s" doc:"how long to wait while somebody else migrates"`
}

func (m *postgresMigrate) Validate() error {
	errs := []error{m.check("")}
	switch {
	case m.Dir == "" && m.Path == "":
		errs = append(errs, Field("dir", "say where the files are: dir on this machine, or path on the host"))
	case m.Dir != "" && m.Path != "":
		errs = append(errs, Field("path", "dir and path exclude each other"))
	case m.Path != "":
		errs = append(errs, fileCheckPath("path", m.Path))
	}
	if m.To != nil && *m.To < 0 {
		errs = append(errs, Field("to", "%d is not a version", *m.To))
	}
	return errors.Join(errs...)
}

// Needs a login that works.
func (m *postgresMigrate) Needs(on string) []checks.Check {
	return []checks.Check{&pgNeed{Of: m.postgresStore, On: on, What: "log in", Judge: pgJudgeLogin}}
}

// Underway: what an earlier attempt began is told by the server and the
// tracking table, so that Apply does nothing twice.
func (m *postgresMigrate) Underway(e Env) (bool, error) {
	t, found, err := m.trace(e)
	return !found || t.Open, err
}

// WayBack tells whether the version to reach has a down file, as far as the
// files are here. Undo says if one before it has none.
func (m *postgresMigrate) WayBack() bool {
	if m.Dir == "" {
		return true
	}
	all, err := pgMigrateLocal(m.Dir).versions(context.Background())
	if err != nil || len(all) == 0 {
		return true // Pending says what is wrong with them
	}
	i := len(all) - 1
	if m.To != nil {
		i = slices.IndexFunc(all, func(v postgres.Migration) bool { return v.Version == *m.To })
	}
	return i < 0 || all[i].Down != ""
}

// pgMigrateTrace is what is remembered of the newest migration.
type pgMigrateTrace struct {
	postgres.Hop
	Open  bool           `json:"open,omitempty"`  // how it ended is not known
	Mark  *postgres.Mark `json:"mark,omitempty"`  // of its transaction
	Dirty int64          `json:"dirty,omitempty"` // the transaction that marked the table dirty for it
	Plain bool           `json:"plain,omitempty"` // it runs outside a transaction
}

// pgMigrateWas is how the schema was found.
type pgMigrateWas struct {
	Version int64 `json:"version"`
	Made    bool  `json:"made,omitempty"` // the tracking table was not there
}

func (m *postgresMigrate) trace(e Env) (t pgMigrateTrace, found bool, err error) {
	found, err = e.Memory.Get("hop", &t)
	return t, found, err
}

func (m *postgresMigrate) files(e Env) (pgMigrateSource, error) {
	if m.Dir != "" {
		return pgMigrateLocal(m.Dir), nil
	}
	h, err := storeHost(e, m.store)
	return pgMigrateRemote{h, m.Path}, err
}

// tracking finds the table's schema.
func (m *postgresMigrate) tracking(ctx context.Context, c *pgx.Conn) (postgres.Tracking, error) {
	t := postgres.Tracking{Schema: m.Schema, Table: m.Table}
	if t.Schema != "" {
		return t, nil
	}
	var schema *string
	if err := c.QueryRow(ctx, "select current_schema()").Scan(&schema); err != nil {
		return t, err
	}
	if schema == nil {
		return t, errors.New("the login's search path names no schema that exists: give schema; nothing was changed")
	}
	t.Schema = *schema
	return t, nil
}

// target is the version to reach.
func (m *postgresMigrate) target(all []postgres.Migration) (int64, error) {
	switch {
	case len(all) == 0:
		return 0, fmt.Errorf("%s holds no file such as 1_name.up.sql; nothing was changed", m.Dir+m.Path)
	case m.To != nil:
		return *m.To, nil
	}
	return all[len(all)-1].Version, nil
}

// Pending lists the files to be run.
func (m *postgresMigrate) Pending(ctx context.Context, e Env) ([]Change, error) {
	src, err := m.files(e)
	if err != nil {
		return nil, err
	}
	all, err := src.versions(ctx)
	if err != nil {
		return nil, err
	}
	to, err := m.target(all)
	if err != nil {
		return nil, err
	}
	c, err := pgLogin(ctx, e, m.postgresStore)
	if err != nil {
		return nil, fmt.Errorf("%w; nothing was changed", err)
	}
	defer pgLogout(c)
	track, err := m.tracking(ctx, c)
	if err != nil {
		return nil, err
	}
	version, dirty, there, err := track.Version(ctx, c)
	if err != nil {
		return nil, err
	}
	var todo []Change
	if dirty {
		t, _, err := m.trace(e)
		if err != nil {
			return nil, err
		}
		ours, err := track.SetBy(ctx, c, t.Dirty)
		if err != nil {
			return nil, err
		}
		if !ours || t.Plain {
			return nil, m.dirty(track, all, version, t, ours)
		}
		todo, version = append(todo, Change{Text: fmt.Sprintf("find out how %s of the last attempt ended", t.File)}), t.From
	}
	return m.changes(todo, all, version, to, there, track)
}

func (m *postgresMigrate) changes(todo []Change, all []postgres.Migration, version, to int64, there bool, track postgres.Tracking) ([]Change, error) {
	hops, err := postgres.Hops(all, version, to)
	if err != nil {
		return nil, fmt.Errorf("from version %s to %d: %w; nothing was changed", pgVersion(version), to, err)
	}
	if !there && len(hops) > 0 {
		todo = append(todo, Change{Text: fmt.Sprintf("make table %s.%s: no migration has been recorded in database %s", track.Schema, track.Table, m.Database)})
	}
	for _, h := range hops {
		file := h.File
		if file == "" {
			file = "no file"
		}
		todo = append(todo, Change{Text: fmt.Sprintf("version %s to %s: %s", pgVersion(h.From), pgVersion(h.To), file)})
	}
	if len(hops) > 0 {
		if _, err := postgres.Hops(all, to, version); err != nil {
			todo[len(todo)-1].Text += fmt.Sprintf(" (no way back to %s: %v)", pgVersion(version), err)
		}
	}
	return todo, nil
}

func pgVersion(v int64) string {
	if v == postgres.NoVersion {
		return "none"
	}
	return fmt.Sprint(v)
}

// dirty says what a dirty table means, and what a person does about it.
func (m *postgresMigrate) dirty(track postgres.Tracking, all []postgres.Migration, version int64, t pgMigrateTrace, ours bool) error {
	file, before := "its up or down file", postgres.NoVersion
	for i, v := range all {
		if v.Version == version {
			file = v.Up
			if i > 0 {
				before = all[i-1].Version
			}
		}
	}
	who := "a migration to version " + pgVersion(version) + " began and was not recorded as done"
	if ours {
		file, before = t.File, t.From
		who = fmt.Sprintf("belay began %s, which no transaction can hold, and did not hear how it ended", file)
	}
	return fmt.Errorf("table %s.%s is dirty at version %s: %s. See in the database how much of %s is there. If all of it is, or you complete it: %s "+
		"If nothing of it is, or you take it back: %s Then try again; nothing was changed now",
		track.Schema, track.Table, pgVersion(version), who, file, track.Mend(version), track.Mend(before))
}

// Verify reads the table by a session of its own.
func (m *postgresMigrate) Verify(ctx context.Context, e Env) error {
	todo, err := m.Pending(ctx, e)
	if err != nil {
		return err
	}
	if len(todo) > 0 {
		return fmt.Errorf("the schema is not at its version: still to do is %s", todo[0].Text)
	}
	return nil
}

// pgMigrateSource is where the files are.
type pgMigrateSource interface {
	versions(ctx context.Context) ([]postgres.Migration, error)
	read(ctx context.Context, name string) (string, error)
}

var _ interface {
	Undoer
	WayBacker
	Resumer
	Validator
	Needer
} = &postgresMigrate{}

// lockWait is LockWait as the machinery takes it.
func (m *postgresMigrate) lockWait() time.Duration { return time.Duration(m.LockWait) }

func pgMigrateText(b []byte, name string) (string, error) {
	if strings.ContainsRune(string(b), 0) {
		return "", fmt.Errorf("%s holds a zero byte: it is no SQL text", name)
	}
	return strings.TrimPrefix(string(b), "\uFEFF"), nil
}
