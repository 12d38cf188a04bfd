package steps

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"belay/checks"
	"belay/remote"
	"belay/remote/secret"
	"belay/steps/postgres"
)

func init() {
	register(Kind{
		Name:    "postgres.sql",
		Summary: "Runs SQL in one transaction that is never committed twice, with its own proof and way back; sets passwords that no log ever sees.",
		Example: `- step: Make the role of the application
  on: db
  postgres.sql:
    database: shop
    password: {secret: pg_password}
    sql: |
      CREATE ROLE shop_app LOGIN;
      GRANT pg_read_all_data TO shop_app;
    passwords: {shop_app: {secret: shop_password}}
    pending: SELECT 'role shop_app' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'shop_app')
    verify: SELECT pg_has_role('shop_app', 'pg_read_all_data', 'member')
    undo: DROP ROLE IF EXISTS shop_app
`,
		New: func() Step { return &postgresSQL{} },
	})
}

// postgresSQL runs SQL of the plan's author.
type postgresSQL struct {
	postgresStore `yaml:",inline"`
	SQL           string                `yaml:"sql" scalar:"" doc:"the statements"`
	File          string                `yaml:"file" doc:"file with the statements on the machine that belay runs on, instead of sql"`
	InTransaction bool                  `yaml:"transaction" default:"true" doc:"all statements in one transaction; false for those that refuse one (CREATE INDEX CONCURRENTLY, VACUUM): then each stands by itself, and a retry goes on with the one that failed"`
	Passwords     map[string]secret.Ref `yaml:"passwords" doc:"roles and the secrets that become their passwords, after the statements; the server is given a SCRAM verifier, so that the passwords are in no log of its; undo leaves them as they are then"`
	LockTimeout   remote.Duration       `yaml:"lock_timeout" doc:"how long a statement may wait for a lock before it gives up; left out, as the server has it"`
	PendingBy     string                `yaml:"pending" doc:"query that returns a row for each thing still to do, and none when all is done"`
	VerifyBy      string                `yaml:"verify" doc:"query that proves the outcome: it returns a row at least, and where its first column is a boolean, true in every row"`
	UndoBy        string                `yaml:"undo" doc:"statements that take back what the statements did, in one transaction; they are run only where the statements were"`
}

// text is what is to be run.
func (s *postgresSQL) text() (string, error) {
	if s.File == "" {
		return s.SQL, nil
	}
	b, err := os.ReadFile(s.File)
	if err != nil {
		return "", fmt.Errorf("read the statements: %w; nothing was changed", err)
	}
	if strings.ContainsRune(string(b), 0) {
		return "", fmt.Errorf("%s holds a zero byte: it is no SQL text; nothing was changed", s.File)
	}
	return strings.TrimPrefix(string(b), "\uFEFF"), nil
}

func (s *postgresSQL) Validate() error {
	errs := []error{s.check("")}
	switch {
	case s.SQL != "" && s.File != "":
		errs = append(errs, Field("file", "sql and file exclude each other"))
	case s.SQL == "" && s.File == "" && len(s.Passwords) == 0:
		errs = append(errs, Field("sql", "nothing is to be done: give sql, file or passwords"))
	}
	if len(s.Passwords) > 0 && !s.InTransaction {
		errs = append(errs, Field("passwords", "they are set in the transaction: give them a step of their own"))
	}
	if s.SQL != "" {
		errs = append(errs, pgSQLField("sql", s.SQL, s.InTransaction))
	}
	if s.UndoBy != "" {
		errs = append(errs, pgSQLField("undo", s.UndoBy, true))
	}
	for field, query := range map[string]string{"pending": s.PendingBy, "verify": s.VerifyBy} {
		if query == "" {
			continue
		}
		if all, err := postgres.Split(query); err != nil {
			errs = append(errs, Field(field, "%w", err))
		} else if len(all) != 1 {
			errs = append(errs, Field(field, "it holds %d statements, and must be one query", len(all)))
		}
	}
	for role := range s.Passwords {
		if role == "" || len(role) > 63 || strings.ContainsRune(role, 0) {
			errs = append(errs, Field("passwords", "%.80q cannot name a role", role))
		}
	}
	return errors.Join(errs...)
}

func pgSQLField(field, text string, transaction bool) error {
	if err := pgSQLCheck(text, transaction); err != nil {
		return Field(field, "%w", err)
	}
	return nil
}

// pgSQLCheck refuses what would not be run as it was meant.
func pgSQLCheck(text string, transaction bool) error {
	all, err := postgres.Split(text)
	if err != nil {
		return err
	}
	for _, st := range all {
		switch {
		case st.FromStdin():
			return fmt.Errorf("line %d: COPY FROM STDIN has no data here; bring a file by files.copy and use psql by run", st.Line)
		case transaction && st.Controls():
			return fmt.Errorf("line %d: %s would end belay's own transaction, which keeps the statements from being run twice; take it out, or set transaction: false", st.Line, st.Words[0])
		}
	}
	return nil
}

// Needs a login that works.
func (s *postgresSQL) Needs(on string) []checks.Check {
	return []checks.Check{&pgNeed{Of: s.postgresStore, On: on, What: "log in", Judge: pgJudgeLogin}}
}

// Underway: how an earlier transaction ended can be told by the server, so
// that Apply does nothing twice.
func (s *postgresSQL) Underway(e Env) (bool, error) {
	t, found, err := pgTraceOf(e, pgTraceKey)
	return s.InTransaction && (!found || !t.Told), err
}

// Pending asks the pending query. Without one, the statements are to be run
// unless they have been, and the proof holds, if there is one.
func (s *postgresSQL) Pending(ctx context.Context, e Env) ([]Change, error) {
	text, err := s.text()
	if err != nil {
		return nil, err
	}
	if err := pgSQLCheck(text, s.InTransaction); err != nil {
		return nil, fmt.Errorf("%s: %w; nothing was changed", s.File, err)
	}
	c, err := pgLogin(ctx, e, s.postgresStore)
	if err != nil {
		return nil, fmt.Errorf("%w; nothing was changed", err)
	}
	defer pgLogout(c)
	if s.PendingBy != "" {
		todo, err := postgres.Look(ctx, c, s.PendingBy, 100)
		if err != nil {
			return nil, fmt.Errorf("pending query: %w; nothing was changed", err)
		}
		return s.changes(todo, text), nil
	}
	t, found, err := pgTraceOf(e, pgTraceKey)
	if err != nil || !found || !t.OK || t.Undone {
		return s.changes(postgres.Answer{}, text), err
	}
	if s.VerifyBy != "" {
		if err := s.prove(ctx, c); errors.Is(err, errNotProved) {
			return s.changes(postgres.Answer{}, text), nil
		} else if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// changes are what is to be done: what the pending query said, and the rest.
func (s *postgresSQL) changes(todo postgres.Answer, text string) (all []Change) {
	if s.PendingBy != "" && len(todo.Rows) == 0 {
		return nil
	}
	for _, r := range todo.Rows {
		all = append(all, Change{Text: checks.OneLine(strings.Join(r, " · "), 200)})
	}
	if todo.More {
		all = append(all, Change{Text: "and more"})
	}
	if n, _ := postgres.Split(text); len(n) > 0 {
		how := "in one transaction"
		if !s.InTransaction {
			how = "each by itself"
		}
		all = append(all, Change{Text: fmt.Sprintf("run %d statements in %s, %s", len(n), s.Database, how), Cmd: checks.OneLine(n[0].Text, 200)})
	}
	for _, role := range slices.Sorted(maps.Keys(s.Passwords)) {
		all = append(all, Change{Text: fmt.Sprintf("set the password of role %s", role)})
	}
	return all
}

// Apply runs the statements, once.
func (s *postgresSQL) Apply(ctx context.Context, e Env) error {
	text, err := s.text()
	if err != nil {
		return err
	}
	if err := pgSQLCheck(text, s.InTransaction); err != nil {
		return err
	}
	srv, err := pgPlain(ctx, e, s.postgresStore)
	if err != nil {
		return err
	}
	if !s.InTransaction {
		return s.applyEach(ctx, e, srv, text)
	}
	verifiers, err := s.verifiers(ctx, e)
	if err != nil {
		return err
	}
	return pgOnce(ctx, e, srv, pgTraceKey, func(ctx context.Context, c *pgx.Conn) error {
		if err := s.settings(ctx, c, "local "); err != nil {
			return err
		}
		if err := postgres.Run(ctx, c, text, pgSaid(e)); err != nil {
			return err
		}
		for _, role := range slices.Sorted(maps.Keys(verifiers)) {
			sql := "alter role " + postgres.QuoteName(role) + " password " + postgres.QuoteLiteral(verifiers[role])
			if _, err := c.Exec(ctx, sql); err != nil {
				return fmt.Errorf("password of role %s: %w", role, postgres.Explain("", 1, err))
			}
			fmt.Fprintf(e.Log, "password of role %s set\n", role)
		}
		return nil
	})
}

func (s *postgresSQL) settings(ctx context.Context, c *pgx.Conn, local string) error {
	if s.LockTimeout == 0 {
		return nil
	}
	_, err := c.Exec(ctx, fmt.Sprintf("set %slock_timeout = %d", local, time.Duration(s.LockTimeout).Milliseconds()))
	return err
}

// verifiers are made before anything begins: without a secret nothing does.
func (s *postgresSQL) verifiers(ctx context.Context, e Env) (map[string]string, error) {
	all := map[string]string{}
	for role, ref := range s.Passwords {
		v, err := e.Secret(ctx, ref.Name)
		if err != nil {
			return nil, fmt.Errorf("%w; nothing was changed", err)
		}
		if all[role], err = postgres.Verifier(v); err != nil {
			return nil, fmt.Errorf("secret %q, password of role %s: %w; nothing was changed", ref.Name, role, err)
		}
	}
	return all, nil
}

// errNotProved is what a verify query says no with.
var errNotProved = errors.New("the proof does not hold")

// prove asks the verify query.
func (s *postgresSQL) prove(ctx context.Context, c *pgx.Conn) error {
	got, err := postgres.Look(ctx, c, s.VerifyBy, 1000)
	if err != nil {
		return fmt.Errorf("verify query: %w", err)
	}
	if len(got.Rows) == 0 {
		return fmt.Errorf("verify query: %w: it returned no row", errNotProved)
	}
	for i, r := range got.Rows {
		if got.Bools && r[0] != "t" {
			return fmt.Errorf("verify query: %w: row %d of its answer is %q", errNotProved, i+1, checks.OneLine(strings.Join(r, " · "), 200))
		}
	}
	return nil
}

// Verify asks the verify query; and of each password, what the server keeps of
// it or, where that may not be read, a login with it.
func (s *postgresSQL) Verify(ctx context.Context, e Env) error {
	if s.VerifyBy == "" && len(s.Passwords) == 0 {
		return nil // that the server confirmed the COMMIT is the proof
	}
	c, err := pgLogin(ctx, e, s.postgresStore)
	if err != nil {
		return err
	}
	defer pgLogout(c)
	if s.VerifyBy != "" {
		if err := s.prove(ctx, c); err != nil {
			return err
		}
	}
	for _, role := range slices.Sorted(maps.Keys(s.Passwords)) {
		if err := s.provePassword(ctx, e, c, role); err != nil {
			return fmt.Errorf("password of role %s: %w", role, err)
		}
	}
	return nil
}

func (s *postgresSQL) provePassword(ctx context.Context, e Env, c *pgx.Conn, role string) error {
	word, err := e.Secret(ctx, s.Passwords[role].Name)
	if err != nil {
		return err
	}
	var stored *string
	err = c.QueryRow(ctx, "select rolpassword from pg_catalog.pg_authid where rolname = $1", role).Scan(&stored)
	switch {
	case err == nil && stored != nil:
		if same, known := postgres.Verifies(*stored, word); known && same {
			return nil
		}
		return fmt.Errorf("the server keeps another one")
	case err == nil:
		return fmt.Errorf("the server keeps none")
	case postgres.Code(err) != "42501": // insufficient_privilege
		return err
	}
	srv, err := pgPlain(ctx, e, s.postgresStore)
	if err != nil {
		return err
	}
	srv.User, srv.Password = role, word
	other, err := srv.Connect(ctx)
	if err != nil {
		return fmt.Errorf("belay may not read what the server keeps, and the login fails: %w", err)
	}
	pgLogout(other)
	return nil
}

// WayBack tells whether there are statements for it.
func (s *postgresSQL) WayBack() bool { return s.UndoBy != "" }

// Undo runs the undo statements, once, where the statements were run.
func (s *postgresSQL) Undo(ctx context.Context, e Env) error {
	if s.UndoBy == "" {
		return ErrNoWayBack
	}
	t, found, err := pgTraceOf(e, pgTraceKey)
	if err != nil {
		return err
	}
	if !found || t.Undone {
		fmt.Fprintln(e.Log, "-- the statements were not run here, so there is nothing to undo")
		return nil
	}
	srv, err := pgPlain(ctx, e, s.postgresStore)
	if err != nil {
		return err
	}
	if t.Mark != nil && !t.OK {
		fate, err := postgres.Outcome(ctx, srv, *t.Mark)
		if err != nil {
			return err
		}
		if fate == postgres.Aborted {
			fmt.Fprintln(e.Log, "-- the statements were never committed, so there is nothing to undo")
			return nil
		}
	}
	err = pgOnce(ctx, e, srv, pgUndoKey(t.N), func(ctx context.Context, c *pgx.Conn) error {
		if err := s.settings(ctx, c, "local "); err != nil {
			return err
		}
		return postgres.Run(ctx, c, s.UndoBy, pgSaid(e))
	})
	if err != nil {
		return fmt.Errorf("undo: %w", err)
	}
	t.Undone = true
	return e.Memory.Put(pgTraceKey, t)
}

var _ interface {
	Undoer
	WayBacker
	Resumer
	Validator
	Needer
} = &postgresSQL{}
