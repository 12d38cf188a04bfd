package steps

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"belay/checks"
	"belay/remote"
	"belay/steps/mysql"
)

func init() {
	register(Kind{
		Name:     "mysql.copy",
		Summary:  "Copies databases from one MySQL or MariaDB server to another: tables, code, accounts and grants, all of one moment.",
		Optional: true,
		Example: `- step: Copy the shop to the new server
  mysql.copy:
    from: {host: old, user: root, password: {secret: old_root}}
    to: {host: new, user: root, password: {secret: new_root}}
    databases: [shop, blog]
    accounts: copy
    events: disabled
`,
		New: func() Step { return &mysqlCopy{} },
	})
}

// mysqlCopy copies databases by mysql.Copy, and remembers its State.
type mysqlCopy struct {
	From       mysqlStore        `yaml:"from" required:"" doc:"the server that has the databases"`
	To         mysqlStore        `yaml:"to" required:"" doc:"the server that shall have them; what is there already is not touched"`
	Databases  []string          `yaml:"databases" doc:"which ones, under the same names there; left out, all but the server's own"`
	Accounts   string            `yaml:"accounts" enum:"copy|none" default:"none" doc:"copy: also the accounts that have rights on these databases, with their passwords, roles and grants"`
	Events     string            `yaml:"events" enum:"as_they_are|disabled" default:"as_they_are" doc:"disabled: scheduled events are copied, but do not run until somebody enables them"`
	Frozen     bool              `yaml:"frozen" doc:"nobody writes to the source while it is copied: it need not be held for the moment in which the snapshot begins"`
	LockWait   time.Duration     `yaml:"lock_wait" default:"10s" doc:"how long to wait for running statements to end when the source is held; writers wait behind them"`
	Lanes      int               `yaml:"lanes" default:"4" doc:"how many parts of tables are copied at a time, each over connections of its own"`
	PartSize   remote.Size       `yaml:"part" default:"64MiB" doc:"about how big such a part is"`
	Proof      string            `yaml:"verify" enum:"fingerprint|counts" default:"fingerprint" doc:"what is compared in the end: all that the rows hold, or only how many there are"`
	Collations map[string]string `yaml:"collations" doc:"collation to take in place of one that the target lacks"`
	Definers   map[string]string `yaml:"definers" doc:"account user@host as which views and code shall run, in place of another"`
}

func (c *mysqlCopy) Validate() error {
	errs := []error{c.From.check("from"), c.To.check("to"), mysqlNames("databases", c.Databases)}
	if c.From.store == c.To.store {
		errs = append(errs, Field("to", "this is where it comes from"))
	}
	if c.Lanes < 1 || c.Lanes > 32 {
		errs = append(errs, Field("lanes", "%d is not from 1 to 32", c.Lanes))
	}
	if c.PartSize < 1<<20 {
		errs = append(errs, Field("part", "it is less than 1 MiB"))
	}
	for was, is := range c.Definers {
		for _, d := range []string{was, is} {
			if at := strings.LastIndex(d, "@"); at < 1 {
				errs = append(errs, Field("definers."+was, "%q is not user@host", d))
			}
		}
	}
	return errors.Join(errs...)
}

// HostNames are the hosts that reach the servers.
func (c *mysqlCopy) HostNames() []string { return storeHosts("", c.From.store, c.To.store) }

// Needs asks both servers whether everything can be copied.
func (c *mysqlCopy) Needs(on string) []checks.Check { return []checks.Check{&mysqlCopyNeed{c, on}} }

// Repeatable: what arrived whole is kept, and the rest copied anew.
func (c *mysqlCopy) Repeatable() bool { return true }

const mysqlCopyKey = "copy"

// copying is the work, with what an earlier attempt left.
func (c *mysqlCopy) copying(ctx context.Context, e Env) (*mysql.Copy, error) {
	from, err := c.From.server(ctx, e)
	if err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	to, err := c.To.server(ctx, e)
	if err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	m := &mysql.Copy{
		From: from, To: to, Databases: c.Databases, Lanes: c.Lanes, Chunk: int64(c.PartSize), Frozen: c.Frozen, Wait: c.LockWait,
		Accounts: c.Accounts == "copy", EventsOff: c.Events == "disabled", CountsOnly: c.Proof == "counts",
		Collations: c.Collations, Definers: c.Definers, Log: e.Log,
		Say: func(done, total int64, text string) { e.Say(Progress{Done: done, Total: total, Unit: "B", Text: text}) },
	}
	if e.Memory == nil {
		return m, nil
	}
	m.Save = func(s mysql.State) error { return e.Memory.Put(mysqlCopyKey, s) }
	_, err = e.Memory.Get(mysqlCopyKey, &m.State)
	return m, err
}

// Pending lists the databases that are still to be copied.
func (c *mysqlCopy) Pending(ctx context.Context, e Env) ([]Change, error) {
	m, err := c.copying(ctx, e)
	if err != nil || m.State.Done {
		return nil, err
	}
	s, err := m.Survey(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.Blocked(); err != nil {
		return nil, err
	}
	var all []Change
	for _, d := range s.Databases {
		var ch Change
		tables, others := 0, 0
		for _, t := range s.Tables {
			if t.Database == d {
				tables++
				ch.Bytes += t.Bytes
				ch.Rows += t.Rows
			}
		}
		for _, o := range s.Stored {
			if o.Database == d {
				others++
			}
		}
		ch.Text = fmt.Sprintf("copy database %q: %s, %d views, routines, triggers, events; about %d rows, %s", d, tablesCount(tables), others, ch.Rows, remote.FormatBytes(ch.Bytes))
		all = append(all, ch)
	}
	for _, a := range s.Accounts {
		text := "make account " + a.String()
		if s.Users[a.String()] {
			text = "account " + a.String() + " is there, and keeps its password; give it its rights on these databases"
		}
		all = append(all, Change{Text: text})
	}
	return all, nil
}

func tablesCount(n int) string {
	if n == 1 {
		return "1 table"
	}
	return fmt.Sprintf("%d tables", n)
}

// Apply copies, or goes on with a copying that was cut off.
func (c *mysqlCopy) Apply(ctx context.Context, e Env) error {
	m, err := c.copying(ctx, e)
	if err != nil || m.State.Done {
		return err
	}
	return m.Run(ctx)
}

// Verify reads everything on the target again, and compares it with what the
// source had in the snapshot.
func (c *mysqlCopy) Verify(ctx context.Context, e Env) error {
	m, err := c.copying(ctx, e)
	if err != nil {
		return err
	}
	return m.Verify(ctx)
}

// Undo drops what was made on the target. A database that was written to
// since is not dropped, but set aside under another name, which the log tells.
func (c *mysqlCopy) Undo(ctx context.Context, e Env) error {
	m, err := c.copying(ctx, e)
	if err != nil {
		return err
	}
	return m.Undo(ctx)
}

// mysqlCopyNeed is what mysql.copy relies on, asked of both servers.
type mysqlCopyNeed struct {
	step *mysqlCopy
	on   string
}

func (n *mysqlCopyNeed) CheckName() string { return "mysql" }

func (n *mysqlCopyNeed) HostNames() []string {
	return storeHosts(n.on, n.step.From.store, n.step.To.store)
}

// Assess gives a finding for everything that stands in the way, or one that
// nothing does.
func (n *mysqlCopyNeed) Assess(ctx context.Context, w checks.World) ([]checks.Finding, error) {
	at := n.step.To.on(n.on)
	name := strings.TrimSpace(n.step.To.where(mysqlPort) + " " + strings.Join(n.step.Databases, ","))
	for _, h := range n.HostNames() {
		if err := w.Unreached[h]; err != nil {
			return []checks.Finding{{Host: at, Key: "copy " + name, Level: checks.Unknown, Text: "not judged: host " + h + " was not reached", Fix: "reach the host first, then re-check"}}, nil
		}
	}
	if f, absent := storeAbsent(ctx, w, n.on, n.step.To.store, mysqlPort, "copy "+name); absent {
		return []checks.Finding{f}, nil
	}
	m, err := n.step.copying(ctx, Env{Host: w.Hosts[n.on], Hosts: w.Hosts, Secret: w.Secret})
	if f, gone := storeGone(err, "copy "+name, false); gone {
		return []checks.Finding{f}, nil
	}
	if err != nil {
		return nil, err
	}
	s, err := m.Survey(ctx)
	if err != nil {
		return []checks.Finding{{Host: at, Key: "copy " + name, Level: checks.Block, Text: err.Error(), Fix: "see that the servers run, and that address, user and password fit"}}, nil
	}
	found := []checks.Finding{{Host: at, Key: "copy " + name, Level: checks.Pass,
		Text: fmt.Sprintf("%s can be copied from %s to %s: %d tables, about %s", strings.Join(s.Databases, ", "), s.From, s.To, len(s.Tables), remote.FormatBytes(s.Bytes))}}
	for _, i := range s.Issues {
		f := checks.Finding{Host: at, Key: "copy " + name + " " + i.Key, Level: checks.Warn, Text: i.Text, Fix: i.Fix}
		if i.Block {
			f.Level = checks.Block
			found[0].Level = checks.Block
		}
		found = append(found, n.step.To.tell(f, "MySQL", mysqlPort))
	}
	found[0] = n.step.To.tell(found[0], "MySQL", mysqlPort)
	if found[0].Level == checks.Block {
		found = found[1:]
	}
	return append(found, n.room(ctx, m, s, at)...), nil
}

// room judges the free space where the target keeps its data. What cannot be
// seen from the host (a server elsewhere, a container) is not judged.
func (n *mysqlCopyNeed) room(ctx context.Context, m *mysql.Copy, s *mysql.Survey, at string) []checks.Finding {
	free, dir, err := m.To.Free(ctx)
	if err != nil || dir == "" {
		return nil
	}
	f := checks.Finding{Host: at, Key: "copy room " + dir, Level: checks.Pass,
		Text: fmt.Sprintf("%s are free in %s, and about %s come", remote.FormatBytes(free), dir, remote.FormatBytes(s.Bytes))}
	if free < s.Bytes+s.Bytes/4 {
		f.Level, f.Fix = checks.Block, "free some space there: keys are built beside the rows, and the binary log takes all once more"
	}
	return []checks.Finding{f}
}

var _ interface {
	Undoer
	Repeater
	Needer
	Hoster
	Validator
} = &mysqlCopy{}
