package steps

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"belay/checks"
	"belay/remote"
)

func init() {
	register(Kind{
		Name:    "mysql.migrate",
		Summary: "Brings a MySQL or MariaDB database along a path of versions, with a dump before every hop; undo restores what was before the first.",
		Example: `- step: Bring the schema to 2.0
  on: db
  mysql.migrate:
    user: root
    password: {secret: db_root}
    database: chatnio
    initial: 1.6.0
    to: 2.0.0
    backups: /var/backups/chatnio
    hops:
      - {from: 1.6.0, to: 1.9.0, sql: "ALTER TABLE users ADD COLUMN role varchar(40)"}
      - {from: 1.9.0, to: 2.0.0, run: /opt/chatnio/migrate-to-v2.sh}
`,
		New: func() Step { return &mysqlMigrate{} },
	})
}

// mysqlMigrate walks along hops.
type mysqlMigrate struct {
	mysqlStore `yaml:",inline"`
	Database   string          `yaml:"database" required:"" doc:"the database; nobody else should write to it meanwhile, for what comes after a dump is lost when that is restored"`
	Hops       []mysqlHop      `yaml:"hops" required:"" doc:"the path: each begins where the one before ends"`
	Target     string          `yaml:"to" doc:"version to reach; left out, the end of the path"`
	Initial    string          `yaml:"initial" doc:"version that a database without a tracking table, or with an empty one, has"`
	Table      string          `yaml:"table" default:"schema_migrations" doc:"tracking table with a column version; with one row and a column dirty, as golang-migrate has it, or one row a version"`
	Query      string          `yaml:"query" doc:"query whose first value is the version, in place of the tracking table; each hop must then change what it returns"`
	Backups    string          `yaml:"backups" required:"" doc:"directory on the server's host for the dumps; it is made if it is not there"`
	LockWait   remote.Duration `yaml:"lock_wait" default:"15s" doc:"how long to wait while another belay migrates this database"`
}

// mysqlHop is one version to the next.
type mysqlHop struct {
	From    string   `yaml:"from" required:"" doc:"version at which it begins"`
	To      string   `yaml:"to" required:"" doc:"version to which it brings; written into the tracking table, if the hop itself does not"`
	SQL     string   `yaml:"sql" doc:"statements; DELIMITER is understood"`
	File    string   `yaml:"file" doc:"file with the statements on the machine that belay runs on"`
	Run     string   `yaml:"run" doc:"script on the server's host, instead of statements"`
	Secrets []string `yaml:"secrets" secretname:"" doc:"secrets that the script finds in shell variables of the same names"`
}

func (h mysqlHop) String() string { return h.From + " → " + h.To }

func (h mysqlHop) how() string {
	switch {
	case h.File != "":
		return h.File
	case h.Run != "":
		return runScript{Script: h.Run}.title()
	}
	return "its statements"
}

func (m *mysqlMigrate) Validate() error {
	errs := []error{m.check(""), mysqlNames("database", []string{m.Database}), fileCheckPath("backups", m.Backups)}
	if strings.HasPrefix(m.Database, "-") {
		errs = append(errs, Field("database", "client programs take %q for an option", m.Database))
	}
	for i, h := range m.Hops {
		field := fmt.Sprintf("hops.%d", i)
		given := 0
		for _, s := range []string{h.SQL, h.File, h.Run} {
			if s != "" {
				given++
			}
		}
		if given != 1 {
			errs = append(errs, Field(field, "give one of sql, file and run"))
		}
		if i > 0 && h.From != m.Hops[i-1].To {
			errs = append(errs, Field(field+".from", "the hop before ends at %s, and this one begins at %s", m.Hops[i-1].To, h.From))
		}
		for _, before := range m.Hops[:i+1] {
			if before.From == h.To {
				errs = append(errs, Field(field+".to", "the path comes back to %s", h.To))
			}
		}
		if _, err := mysqlScript(h.SQL); err != nil {
			errs = append(errs, Field(field+".sql", "%w", err))
		}
		errs = append(errs, validNames(nil, h.Secrets), validScript(field+".run", h.Run))
	}
	if len(m.Hops) > 0 && m.Target != "" && m.at(m.Target) < 0 {
		errs = append(errs, Field("to", "%s is not on the path", m.Target))
	}
	if m.Initial != "" && m.at(m.Initial) < 0 {
		errs = append(errs, Field("initial", "%s is not on the path", m.Initial))
	}
	return errors.Join(errs...)
}

// HostNames is the server's host.
func (m *mysqlMigrate) HostNames() []string { return fileOn(m.Host) }

// Needs a login, a version on the path, and the programs that dump and restore.
func (m *mysqlMigrate) Needs(on string) []checks.Check {
	need := []checks.Check{&mysqlLogin{m.mysqlStore, on, "migrate"}, &mysqlOnPath{m, on}}
	return append(append(need, mysqlTools(on, m.mysqlStore, mysqlDumpers, mysqlHopPacker)...), mysqlTools(on, m.mysqlStore, mysqlClients, "none")[:1]...)
}

const mysqlHopPacker = "gzip" // which every host has

// at is how far along the path a version is; -1 for nowhere.
func (m *mysqlMigrate) at(version string) int {
	for i, h := range m.Hops {
		if h.From == version {
			return i
		}
	}
	if n := len(m.Hops); n > 0 && m.Hops[n-1].To == version {
		return n
	}
	return -1
}

func (m *mysqlMigrate) target() string {
	if m.Target != "" {
		return m.Target
	}
	return m.Hops[len(m.Hops)-1].To
}

// path are the hops from a version to the target.
func (m *mysqlMigrate) path(version string) ([]mysqlHop, error) {
	from, to := m.at(version), m.at(m.target())
	if from < 0 {
		return nil, fmt.Errorf("database %q is at version %q, which is not on the path from %s to %s: bring it to one of the path's versions, or add a hop that begins there; nothing was changed",
			m.Database, version, m.Hops[0].From, m.target())
	}
	if from > to {
		return nil, fmt.Errorf("database %q is at version %s, beyond %s: there is no way down but to restore a dump; nothing was changed", m.Database, version, m.target())
	}
	return m.Hops[from:to], nil
}

// statements are those of a hop.
func (h mysqlHop) statements() (string, error) { return (&mysqlSQL{SQL: h.SQL, File: h.File}).text() }

// Pending lists the hops.
func (m *mysqlMigrate) Pending(ctx context.Context, e Env) ([]Change, error) {
	was, err := m.remembered(e)
	if err != nil {
		return nil, err
	}
	if last := was.last(); was.Restore != nil || last != nil && last.Begun && !last.Done {
		return []Change{{Text: fmt.Sprintf("restore %s, for the hop %s → %s did not end well, and go on from there", was.last().Dump, was.last().From, was.last().To)}}, nil
	}
	version, err := m.version(ctx, e)
	if err != nil {
		return nil, err
	}
	path, err := m.path(version)
	var all []Change
	for _, h := range path {
		c := Change{Text: fmt.Sprintf("dump %s, then bring it from %s by %s", m.Database, h, h.how()), Cmd: h.Run}
		if h.Run == "" {
			if c.Cmd, err = h.statements(); err != nil {
				return nil, err
			}
		}
		all = append(all, c)
	}
	return all, err
}

// Verify asks for the version.
func (m *mysqlMigrate) Verify(ctx context.Context, e Env) error {
	version, err := m.version(ctx, e)
	if err == nil && version != m.target() {
		err = fmt.Errorf("database %q is at version %s, and %s was to be reached", m.Database, version, m.target())
	}
	return err
}

var mysqlPlainName = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// mysqlSub keeps traces of a part of a step apart.
type mysqlSub struct {
	Memory
	prefix string
}

func (s mysqlSub) Put(key string, v any) error         { return s.Memory.Put(s.prefix+key, v) }
func (s mysqlSub) Get(key string, v any) (bool, error) { return s.Memory.Get(s.prefix+key, v) }

// sub is e for a part of the step, with jobs and traces of its own.
func mysqlSubEnv(e Env, part string) Env {
	e.Memory = mysqlSub{e.Memory, part + "."}
	e.ID += "." + part
	return e
}

var _ interface {
	Undoer
	Resumer
	Needer
	Hoster
	Validator
} = &mysqlMigrate{}
