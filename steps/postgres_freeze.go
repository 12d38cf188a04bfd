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
		Name:    "postgres.freeze",
		Summary: "Lets nobody into a database any more and ends the sessions there, so that nothing is written; undo thaws it.",
		Example: `- step: Freeze the shop's database
  on: old
  postgres.freeze:
    database: shop
    password: {secret: pg_password}
    grace: 5s
`,
		New: func() Step { return &postgresFreeze{} },
	})
}

// postgresFreeze stops the writers of one database.
type postgresFreeze struct {
	postgresStore `yaml:",inline"`
	Grace         remote.Duration `yaml:"grace" default:"5s" doc:"how long transactions under way may take to end by themselves; sessions without one are ended at once"`
	Roles         []string        `yaml:"roles" doc:"roles that may not log in anywhere on the server meanwhile: for applications that are superusers, whom the connection limit does not stop"`
}

func (f *postgresFreeze) Validate() error {
	errs := []error{f.check("")}
	for i, r := range f.Roles {
		if r == "" || r == f.User || f.User == "" && r == "postgres" {
			errs = append(errs, Field(fmt.Sprintf("roles.%d", i), "%q: belay's own role must be able to come back", r))
		}
	}
	return errors.Join(errs...)
}

// Repeatable: freezing what is frozen only ends sessions.
func (f *postgresFreeze) Repeatable() bool { return true }

// Needs the right to freeze, and a second database to do it from.
func (f *postgresFreeze) Needs(on string) []checks.Check {
	return []checks.Check{&pgNeed{Of: f.beside(), On: on, What: "freeze", Judge: f.judge}}
}

// beside is the server without the database, from where it is frozen.
func (f *postgresFreeze) beside() postgresStore { return pgBeside(f.postgresStore) }

func pgBeside(s postgresStore) postgresStore {
	if s.Database == "postgres" {
		s.Database = "template1"
	} else {
		s.Database = "postgres"
	}
	return s
}

// judge holds the login's rights against what a freeze does.
func (f *postgresFreeze) judge(ctx context.Context, c *pgx.Conn) ([]checks.Finding, error) {
	var user string
	var super, owner, signal, createrole bool
	const q = `select current_user, rolsuper, rolcreaterole, pg_has_role('pg_signal_backend', 'member'),
			coalesce((select pg_has_role(datdba, 'member') from pg_catalog.pg_database where datname = $1), false)
		from pg_catalog.pg_roles where rolname = current_user`
	if err := c.QueryRow(ctx, q, f.Database).Scan(&user, &super, &createrole, &signal, &owner); err != nil {
		return nil, err
	}
	say := func(l checks.Level, fix, format string, a ...any) []checks.Finding {
		return []checks.Finding{{Level: l, Text: fmt.Sprintf(format, a...), Fix: fix}}
	}
	switch {
	case super:
	case !owner || !signal || len(f.Roles) > 0 && !createrole:
		return say(checks.Block, fmt.Sprintf("log in as a superuser; or make %s a member of the owner's role and of pg_signal_backend", user),
			"%s may not freeze database %s: that takes its owner's rights and those to end sessions", user, f.Database), nil
	default:
		return say(checks.Warn, "log in as a superuser if a later step looks into the frozen database (compare, postgres.switch)",
			"%s can freeze database %s, but is no superuser: it will be locked out itself, and cannot end sessions of superusers", user, f.Database), nil
	}
	return f.judgeSupers(ctx, c, user)
}

// judgeSupers looks for applications that no limit stops.
func (f *postgresFreeze) judgeSupers(ctx context.Context, c *pgx.Conn, user string) ([]checks.Finding, error) {
	all, err := postgres.Others(ctx, c, postgres.Server{Database: f.Database, User: user})
	if err != nil {
		return nil, err
	}
	var supers []string
	for _, s := range all {
		if s.Super && !slices.Contains(f.Roles, s.User) {
			supers = append(supers, s.String())
		}
	}
	if len(supers) > 0 {
		return []checks.Finding{{Level: checks.Warn, Text: fmt.Sprintf("superusers are in database %s now, whom a freeze cannot keep from coming back", f.Database),
			Fix: "stop those programs in a step before the freeze, or name their roles under roles", Detail: strings.Join(supers, "\n")}}, nil
	}
	return []checks.Finding{{Level: checks.Pass, Text: fmt.Sprintf("database %s can be frozen by %s; %d sessions would be ended", f.Database, user, len(all))}}, nil
}

// Pending tells whether it is frozen by this step, and quiet.
func (f *postgresFreeze) Pending(ctx context.Context, e Env) ([]Change, error) {
	srv, err := f.server(ctx, e)
	if err != nil {
		return nil, err
	}
	by, err := postgres.FrozenBy(ctx, srv)
	if err != nil {
		return nil, fmt.Errorf("%w; nothing was changed", err)
	}
	if by != nil && by.ID != e.ID {
		return nil, &postgres.FrozenByOtherError{Database: f.Database, By: *by}
	}
	if by != nil && postgres.Quiet(ctx, srv, 0) == nil {
		return nil, nil
	}
	todo := []Change{{Text: fmt.Sprintf("end all sessions in database %s, and let nobody but superusers in", f.Database),
		Cmd: "ALTER DATABASE " + postgres.QuoteName(f.Database) + " CONNECTION LIMIT 0"}}
	for _, r := range f.Roles {
		todo = append(todo, Change{Text: fmt.Sprintf("let role %s not log in anywhere", r), Cmd: "ALTER ROLE " + postgres.QuoteName(r) + " NOLOGIN"})
	}
	return todo, nil
}

// Apply freezes. What was there before stands in the database's comment.
func (f *postgresFreeze) Apply(ctx context.Context, e Env) error {
	srv, err := f.server(ctx, e)
	if err != nil {
		return err
	}
	by, err := postgres.Freeze(ctx, srv, postgres.Freezing{ID: e.ID, Roles: f.Roles, Grace: time.Duration(f.Grace), Said: pgSaid(e)})
	if err != nil {
		return err
	}
	fmt.Fprintf(e.Log, "-- database %s is frozen since %s; its connection limit was %d\n", f.Database, by.At.Format(time.RFC3339Nano), by.Limit)
	return nil
}

// pgQuietLook is how long the counters are looked at.
const pgQuietLook = 1500 * time.Millisecond // a session reports its counts at its end, at most once a second

// Verify looks for sessions, and whether rows are written.
func (f *postgresFreeze) Verify(ctx context.Context, e Env) error {
	srv, err := f.server(ctx, e)
	if err != nil {
		return err
	}
	return postgres.Quiet(ctx, srv, pgQuietLook)
}

// Undo thaws what this step froze.
func (f *postgresFreeze) Undo(ctx context.Context, e Env) error {
	return pgThaw(ctx, e, f.postgresStore, e.ID)
}

// pgThaw thaws, and says for how long it was frozen. What is not frozen is
// left as it is.
func pgThaw(ctx context.Context, e Env, s postgresStore, id string) error {
	srv, err := s.server(ctx, e)
	if err != nil {
		return err
	}
	was, long, err := postgres.Thaw(ctx, srv, id, func(line string) { fmt.Fprintln(e.Log, "--", line) })
	if other, is := errors.AsType[*postgres.FrozenByOtherError](err); is && id != "" {
		fmt.Fprintf(e.Log, "-- database %s was frozen by another step since (%s), and stays so\n", s.Database, other.By.ID)
		return nil
	}
	if errors.Is(err, postgres.ErrNotFrozen) {
		fmt.Fprintf(e.Log, "-- database %s is not frozen by belay, so there is nothing to thaw\n", s.Database)
		return nil
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(e.Log, "-- database %s was frozen for %s; its connection limit is %d again\n", s.Database, long.Round(time.Millisecond), was.Limit)
	return nil
}

var _ interface {
	Undoer
	Repeater
	Validator
	Needer
} = &postgresFreeze{}
