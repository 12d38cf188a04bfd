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
		Name:    "mysql.freeze",
		Summary: "Makes a MySQL or MariaDB server refuse writes, and ends the sessions there; undo puts back what was.",
		Example: `- step: Freeze the old server
  on: old
  mysql.freeze:
    user: root
    password: {secret: db_root}
    lock: [shop@10.%]
    grace: 5s
`,
		New: func() Step { return &mysqlFreeze{} },
	})
	register(Kind{
		Name:    "mysql.thaw",
		Summary: "Makes a MySQL or MariaDB server take writes again; undo freezes it as it was.",
		Example: `- step: Let the new server be written to
  on: new
  mysql.thaw:
    user: root
    password: {secret: db_root}
`,
		New: func() Step { return &mysqlThaw{} },
	})
}

// mysqlFreeze stops all writers of a server.
type mysqlFreeze struct {
	mysqlStore `yaml:",inline"`
	Grace      remote.Duration `yaml:"grace" default:"5s" doc:"how long transactions and statements under way may take to end by themselves"`
	Lock       []string        `yaml:"lock" doc:"accounts user@host that may not log in meanwhile: on MariaDB those that read_only does not stop (SUPER, READ ONLY ADMIN)"`
}

// mysqlThaw is the way back, as a step of its own.
type mysqlThaw struct {
	mysqlStore `yaml:",inline"`
	Unlock     []string        `yaml:"unlock" doc:"accounts user@host that may log in again"`
	Grace      remote.Duration `yaml:"grace" default:"5s" doc:"how long statements under way may take when it is undone"`
}

// mysqlFrozen is what is remembered: how the server was.
type mysqlFrozen struct {
	Was    mysql.ReadOnly `json:"was"`
	Locked []string       `json:"locked,omitempty"` // accounts that were not locked before
	Since  time.Time      `json:"since,omitzero"`
	Undone bool           `json:"undone,omitempty"`
}

const mysqlFreezeKey = "freeze"

func mysqlAccounts(field string, all []string) error {
	var errs []error
	for i, a := range all {
		if strings.LastIndex(a, "@") < 1 {
			errs = append(errs, Field(fmt.Sprintf("%s.%d", field, i), "%q is not user@host", a))
		}
	}
	return errors.Join(errs...)
}

func (f *mysqlFreeze) Validate() error {
	return errors.Join(f.check(""), mysqlAccounts("lock", f.Lock))
}
func (f *mysqlThaw) Validate() error {
	return errors.Join(f.check(""), mysqlAccounts("unlock", f.Unlock))
}

// HostNames is the server's host.
func (f *mysqlFreeze) HostNames() []string { return fileOn(f.Host) }

// HostNames is the server's host.
func (f *mysqlThaw) HostNames() []string { return fileOn(f.Host) }

// Needs a login that may do it.
func (f *mysqlFreeze) Needs(on string) []checks.Check {
	return []checks.Check{&mysqlLogin{f.mysqlStore, on, "freeze"}, &mysqlUnstopped{f, on}}
}

// Needs a login that may do it.
func (f *mysqlThaw) Needs(on string) []checks.Check {
	return []checks.Check{&mysqlLogin{f.mysqlStore, on, "thaw"}}
}

func (f *mysqlFreeze) Repeatable() bool { return true }
func (f *mysqlThaw) Repeatable() bool   { return true }

// mysqlOpen logs in to a store.
func mysqlOpen(ctx context.Context, e Env, s mysqlStore) (*mysql.DB, error) {
	srv, err := s.server(ctx, e)
	if err != nil {
		return nil, err
	}
	return srv.Open(ctx)
}

// Pending says whether the server takes writes.
func (f *mysqlFreeze) Pending(ctx context.Context, e Env) ([]Change, error) {
	db, err := mysqlOpen(ctx, e, f.mysqlStore)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	now, err := db.ReadOnly(ctx)
	if err != nil {
		return nil, err
	}
	others, err := db.Sessions(ctx)
	if err != nil {
		return nil, err
	}
	var was mysqlFrozen
	found, err := e.Memory.Get(mysqlFreezeKey, &was)
	if err != nil || found && !was.Undone && mysqlIsFrozen(db, now) {
		return nil, err
	}
	all := []Change{{Text: fmt.Sprintf("refuse writes, and end %d sessions of others", len(others))}}
	for _, a := range f.Lock {
		all = append(all, Change{Text: "lock account " + a})
	}
	return all, nil
}

func mysqlIsFrozen(db *mysql.DB, r mysql.ReadOnly) bool {
	return r.On && (db.Version.MariaDB || r.Super)
}

// Apply freezes. What was is remembered once.
func (f *mysqlFreeze) Apply(ctx context.Context, e Env) error {
	db, err := mysqlOpen(ctx, e, f.mysqlStore)
	if err != nil {
		return err
	}
	defer db.Close()
	return mysqlDoFreeze(ctx, e, db, f.Lock, time.Duration(f.Grace))
}

func mysqlDoFreeze(ctx context.Context, e Env, db *mysql.DB, lock []string, grace time.Duration) error {
	var was mysqlFrozen
	found, err := e.Memory.Get(mysqlFreezeKey, &was)
	if err != nil {
		return err
	}
	if !found || was.Undone {
		was = mysqlFrozen{Since: time.Now()}
		if was.Was, err = db.ReadOnly(ctx); err != nil {
			return err
		}
		if was.Locked, err = db.Unlocked(ctx, lock); err != nil {
			return err
		}
		if err := e.Memory.Put(mysqlFreezeKey, was); err != nil {
			return err
		}
	}
	if err := db.LockAccounts(ctx, lock, true); err != nil {
		return err
	}
	if err := db.SetReadOnly(ctx, mysql.ReadOnly{On: true, Super: true}, max(grace, time.Second)); err != nil {
		return fmt.Errorf("%w; writers were not stopped; end what runs so long, and try again", err)
	}
	ended, err := db.EndSessions(ctx, grace)
	for _, s := range ended {
		fmt.Fprintf(e.Log, "ended %s\n", s)
	}
	fmt.Fprintf(e.Log, "frozen since %s%s\n", was.Since.UTC().Format(time.RFC3339), mysqlAt(db.Position(ctx)))
	return err
}

func mysqlAt(position string) string {
	if position == "" {
		return ""
	}
	return ", the binary log is at " + position
}

// Verify sees that the server refuses, that no transaction that changed rows
// is open, and that nothing is written to the binary log.
func (f *mysqlFreeze) Verify(ctx context.Context, e Env) error {
	db, err := mysqlOpen(ctx, e, f.mysqlStore)
	if err != nil {
		return err
	}
	defer db.Close()
	now, err := db.ReadOnly(ctx)
	if err != nil {
		return err
	}
	if !mysqlIsFrozen(db, now) {
		return fmt.Errorf("%s takes writes", f.mysqlStore.Addr)
	}
	before := db.Position(ctx)
	others, err := db.Sessions(ctx)
	if err != nil {
		return err
	}
	for _, s := range others {
		if s.Writing {
			return fmt.Errorf("%s has changed rows and not committed: it may write in spite of read_only; lock its account", s)
		}
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(300 * time.Millisecond):
	}
	if after := db.Position(ctx); after != before {
		return fmt.Errorf("the binary log went on from %s to %s: somebody may write in spite of read_only; lock that account", before, after)
	}
	return nil
}

// Undo puts back what was, and tells for how long the server was frozen.
func (f *mysqlFreeze) Undo(ctx context.Context, e Env) error {
	return mysqlPutBack(ctx, e, f.mysqlStore, time.Duration(f.Grace))
}

func mysqlPutBack(ctx context.Context, e Env, s mysqlStore, grace time.Duration) error {
	var was mysqlFrozen
	found, err := e.Memory.Get(mysqlFreezeKey, &was)
	if err != nil || !found || was.Undone {
		return err
	}
	db, err := mysqlOpen(ctx, e, s)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.SetReadOnly(ctx, was.Was, max(grace, time.Second)); err != nil {
		return err
	}
	if err := db.LockAccounts(ctx, was.Locked, false); err != nil {
		return err
	}
	fmt.Fprintf(e.Log, "as it was before; that was for %s\n", time.Since(was.Since).Round(100*time.Millisecond))
	was.Undone = true
	return e.Memory.Put(mysqlFreezeKey, was)
}

// Pending says whether the server refuses writes.
func (f *mysqlThaw) Pending(ctx context.Context, e Env) ([]Change, error) {
	db, err := mysqlOpen(ctx, e, f.mysqlStore)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	now, err := db.ReadOnly(ctx)
	if err != nil {
		return nil, err
	}
	free, err := db.Unlocked(ctx, f.Unlock)
	if err != nil || !now.On && !now.Super && len(free) == len(f.Unlock) {
		return nil, err
	}
	all := []Change{{Text: "take writes"}}
	if len(free) < len(f.Unlock) {
		all = append(all, Change{Text: "unlock " + strings.Join(f.Unlock, ", ")})
	}
	return all, nil
}

// Apply lets writers in.
func (f *mysqlThaw) Apply(ctx context.Context, e Env) error {
	db, err := mysqlOpen(ctx, e, f.mysqlStore)
	if err != nil {
		return err
	}
	defer db.Close()
	var was mysqlFrozen
	if found, err := e.Memory.Get(mysqlFreezeKey, &was); err != nil {
		return err
	} else if !found || was.Undone {
		was = mysqlFrozen{Since: time.Now()}
		if was.Was, err = db.ReadOnly(ctx); err != nil {
			return err
		}
		if err := e.Memory.Put(mysqlFreezeKey, was); err != nil {
			return err
		}
	}
	if err := db.LockAccounts(ctx, f.Unlock, false); err != nil {
		return err
	}
	return db.SetReadOnly(ctx, mysql.ReadOnly{}, time.Minute)
}

// Verify asks the server.
func (f *mysqlThaw) Verify(ctx context.Context, e Env) error {
	left, err := f.Pending(ctx, e)
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("%s still refuses writes", f.mysqlStore.Addr)
	}
	return err
}

// Undo freezes it as far as it was frozen; accounts stay unlocked.
func (f *mysqlThaw) Undo(ctx context.Context, e Env) error {
	return mysqlPutBack(ctx, e, f.mysqlStore, time.Duration(f.Grace))
}
