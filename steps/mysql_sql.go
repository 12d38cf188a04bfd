package steps

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"belay/checks"
	"belay/steps/mysql"
)

func init() {
	register(Kind{
		Name:    "mysql.sql",
		Summary: "Runs SQL on a MySQL or MariaDB server statement by statement, knowing which one it stopped at, with its own proof and way back.",
		Example: `- step: Make the role table
  on: db
  mysql.sql:
    user: root
    password: {secret: db_root}
    database: chatnio
    sql: |
      CREATE TABLE roles (id int PRIMARY KEY, name varchar(40) NOT NULL);
      INSERT INTO roles VALUES (1, 'admin'), (2, 'user');
    pending: SELECT 'table roles' FROM dual WHERE NOT EXISTS (SELECT * FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'roles')
    verify: SELECT COUNT(*) = 2 FROM roles
    undo: DROP TABLE IF EXISTS roles
`,
		New: func() Step { return &mysqlSQL{} },
	})
}

// mysqlSQL runs SQL of the plan's author.
type mysqlSQL struct {
	mysqlStore `yaml:",inline"`
	Database   string `yaml:"database" doc:"database to begin in"`
	SQL        string `yaml:"sql" scalar:"" doc:"the statements; DELIMITER is understood. Definitions (CREATE, ALTER, DROP) are committed at once, so each statement stands by itself, unless the script says START TRANSACTION: what stands between that and COMMIT is done whole or not at all"`
	File       string `yaml:"file" doc:"file with the statements on the machine that belay runs on, instead of sql"`
	PendingBy  string `yaml:"pending" doc:"query that returns a row for each thing still to do, and none when all is done"`
	VerifyBy   string `yaml:"verify" doc:"query that proves the outcome: it returns a row at least, and the first column of none is 0 or NULL"`
	UndoBy     string `yaml:"undo" doc:"statements that take back what the statements did, also when those stopped half way; they are run only where the statements were"`
}

func (s *mysqlSQL) text() (string, error) {
	if s.File == "" {
		return s.SQL, nil
	}
	b, err := os.ReadFile(s.File)
	if err != nil {
		return "", fmt.Errorf("read the statements: %w; nothing was changed", err)
	}
	return strings.TrimPrefix(string(b), "\uFEFF"), nil
}

func (s *mysqlSQL) Validate() error {
	errs := []error{s.check("")}
	switch {
	case s.SQL != "" && s.File != "":
		errs = append(errs, Field("file", "sql and file exclude each other"))
	case s.SQL == "" && s.File == "":
		errs = append(errs, Field("sql", "say which statements: sql or file"))
	}
	for field, text := range map[string]string{"sql": s.SQL, "undo": s.UndoBy} {
		if _, err := mysqlScript(text); err != nil {
			errs = append(errs, Field(field, "%w", err))
		}
	}
	for field, text := range map[string]string{"pending": s.PendingBy, "verify": s.VerifyBy} {
		if all, err := mysql.Split(text); err != nil || text != "" && len(all) != 1 {
			errs = append(errs, Field(field, "it must be one query"))
		}
	}
	return errors.Join(errs...)
}

// HostNames is the server's host.
func (s *mysqlSQL) HostNames() []string { return fileOn(s.Host) }

// Needs a login that works.
func (s *mysqlSQL) Needs(on string) []checks.Check {
	return []checks.Check{&mysqlLogin{s.mysqlStore, on, "sql"}}
}

// Pending asks the query; without one, the statements are to be run unless
// they were.
func (s *mysqlSQL) Pending(ctx context.Context, e Env) ([]Change, error) {
	text, err := s.text()
	if err != nil {
		return nil, err
	}
	statements, err := mysqlScript(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.File, err)
	}
	whole := Change{Text: fmt.Sprintf("run %d statements", len(statements)), Cmd: text}
	if s.PendingBy != "" {
		lines, err := s.ask(ctx, e, s.Database, s.PendingBy)
		if err != nil {
			return nil, fmt.Errorf("pending query: %w", err)
		}
		return runChanges(strings.Join(lines, "\n"), whole), nil
	}
	var t mysqlTrace
	if _, err := e.Memory.Get("sql", &t); err != nil || t.Done {
		return nil, err
	}
	if t.Begun {
		whole.Text = fmt.Sprintf("go on with statement %d of %d", t.from(mysql.Back(statements))+1, len(statements))
	}
	return []Change{whole}, nil
}

// Apply runs the statements, or goes on where an earlier attempt stopped.
func (s *mysqlSQL) Apply(ctx context.Context, e Env) error {
	text, err := s.text()
	if err != nil {
		return err
	}
	return mysqlRunScript(ctx, e, s.mysqlStore, s.Database, "sql", text)
}

// Underway: a statement whose end is not known needs a person, or the query.
func (s *mysqlSQL) Underway(e Env) (bool, error) {
	var t mysqlTrace
	_, err := e.Memory.Get("sql", &t)
	return !t.Sent, err
}

// Verify asks the query; without one, that every statement ended well was the proof.
func (s *mysqlSQL) Verify(ctx context.Context, e Env) error {
	if s.VerifyBy == "" {
		return nil
	}
	lines, err := s.ask(ctx, e, s.Database, s.VerifyBy)
	if err != nil {
		return fmt.Errorf("verify query: %w", err)
	}
	if len(lines) == 0 {
		return errors.New("verify query: it returns no row")
	}
	for i, l := range lines {
		if l == "0" || l == "" {
			return fmt.Errorf("verify query: row %d says no", i+1)
		}
	}
	return nil
}

// WayBack tells whether there are statements that undo.
func (s *mysqlSQL) WayBack() bool { return s.UndoBy != "" }

// Undo runs the undo statements, once.
func (s *mysqlSQL) Undo(ctx context.Context, e Env) error {
	if s.UndoBy == "" {
		return ErrNoWayBack
	}
	var t mysqlTrace
	if _, err := e.Memory.Get("sql", &t); err != nil || !t.Begun {
		return err
	}
	if err := mysqlRunScript(ctx, e, s.mysqlStore, s.Database, "undo", s.UndoBy); err != nil {
		return fmt.Errorf("undo: %w", err)
	}
	// As if nothing had been; a later Apply, and its undo, begin anew.
	return errors.Join(e.Memory.Put("sql", mysqlTrace{}), e.Memory.Put("undo", mysqlTrace{}))
}

var _ interface {
	Undoer
	WayBacker
	Resumer
	Needer
	Hoster
	Validator
} = &mysqlSQL{}
