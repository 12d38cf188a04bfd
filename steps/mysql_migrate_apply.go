package steps

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"belay/remote"
	"belay/remote/job"
	"belay/steps/mysql"
)

// mysqlMigrated is what is remembered: every hop that was begun, and a dump
// that is being restored.
type mysqlMigrated struct {
	Hops    []mysqlHopDone  `json:"hops,omitempty"`
	Tries   int             `json:"tries,omitempty"` // numbers dumps, scripts and restores
	Restore *mysqlRestoring `json:"restore,omitempty"`
}

type mysqlHopDone struct {
	From, To string
	Dump     string // its path on the host
	Try      int
	Dumped   bool
	Begun    bool
	Failed   bool // and that was said
	Done     bool
}

type mysqlRestoring struct {
	Dump    string
	Try     int
	Dropped bool
	Back    int // how many hops remain after it
}

const mysqlMigrateKey = "migrate"

func (m *mysqlMigrate) remembered(e Env) (was mysqlMigrated, err error) {
	if e.Memory != nil {
		_, err = e.Memory.Get(mysqlMigrateKey, &was)
	}
	return was, err
}

func (w *mysqlMigrated) last() *mysqlHopDone {
	if len(w.Hops) == 0 {
		return nil
	}
	return &w.Hops[len(w.Hops)-1]
}

func (w *mysqlMigrated) put(e Env) error { return e.Memory.Put(mysqlMigrateKey, w) }

// Underway: Apply takes up what runs, and restores before it does a hop again.
func (m *mysqlMigrate) Underway(Env) (bool, error) { return true, nil }

// version is where the database is, as its tracking table or the query says.
func (m *mysqlMigrate) version(ctx context.Context, e Env) (string, error) {
	srv, err := m.server(ctx, e)
	if err != nil {
		return "", err
	}
	db, err := srv.Open(ctx)
	if err != nil {
		return "", err
	}
	defer db.Close()
	if m.Query != "" {
		plain, err := srv.OpenPlain(ctx, m.Database)
		if err != nil {
			return "", err
		}
		defer plain.Close()
		got, err := mysql.First(ctx, plain, m.Query)
		if err != nil || len(got) != 1 {
			return "", fmt.Errorf("query for the version: %d rows, and one was expected: %w", len(got), err)
		}
		return got[0], nil
	}
	track, err := mysql.ReadTracking(ctx, db, m.Database, m.Table)
	if err != nil {
		return "", err
	}
	if len(track.Versions) == 0 {
		if m.Initial == "" {
			return "", fmt.Errorf("no version stands in %s.%s: say with initial which one the database has; nothing was changed", m.Database, m.Table)
		}
		return m.Initial, nil
	}
	if track.Dirty {
		return "", fmt.Errorf("%s.%s says that version %s is dirty: a migration by another tool stopped half way. Bring the database in order, set dirty to 0, and try again; nothing was changed", m.Database, m.Table, track.Versions[0])
	}
	return track.Farthest(m.at), nil
}

// Apply goes hop by hop and stops at the first that does not lead where it should.
func (m *mysqlMigrate) Apply(ctx context.Context, e Env) error {
	return m.locked(ctx, e, func() error {
		was, err := m.remembered(e)
		if err != nil {
			return err
		}
		for {
			if err := m.settle(ctx, e, &was); err != nil {
				return err
			}
			hop := was.last()
			if hop == nil || hop.Done {
				version, err := m.version(ctx, e)
				if err != nil {
					return err
				}
				path, err := m.path(version)
				if err != nil || len(path) == 0 {
					return err
				}
				if hop, err = m.begin(e, &was, path[0]); err != nil {
					return err
				}
			}
			if err := m.hop(ctx, e, &was, hop); err != nil {
				return err
			}
		}
	})
}

func (m *mysqlMigrate) begin(e Env, was *mysqlMigrated, h mysqlHop) (*mysqlHopDone, error) {
	was.Tries++
	name := mysqlPlainName.ReplaceAllString(fmt.Sprintf("%s-%s.%s.%d", m.Database, h.From, e.ID, was.Tries), "_") + ".sql.gz"
	was.Hops = append(was.Hops, mysqlHopDone{From: h.From, To: h.To, Dump: path.Join(m.Backups, name), Try: was.Tries})
	return was.last(), was.put(e)
}

// settle restores the dump of a hop that stopped half way: what it had done is
// not known, and definitions cannot be rolled back. A script that may still
// run is not disturbed: hop follows it.
func (m *mysqlMigrate) settle(ctx context.Context, e Env, was *mysqlMigrated) error {
	if was.Restore == nil {
		last := was.last()
		if last == nil || last.Done || !last.Failed && (!last.Begun || m.Hops[m.at(last.From)].Run != "") {
			return nil
		}
		if !last.Begun { // the dump failed
			was.Hops = was.Hops[:len(was.Hops)-1]
			return was.put(e)
		}
		fmt.Fprintf(e.Log, "the hop %s → %s stopped half way: its dump is restored first\n", last.From, last.To)
		was.Tries++
		was.Restore = &mysqlRestoring{Dump: last.Dump, Try: was.Tries, Back: len(was.Hops) - 1}
		if err := was.put(e); err != nil {
			return err
		}
	}
	return m.restore(ctx, e, was)
}

// hop dumps and goes one version on.
func (m *mysqlMigrate) hop(ctx context.Context, e Env, was *mysqlMigrated, done *mysqlHopDone) error {
	h := m.Hops[m.at(done.From)]
	fail := func(err error) error {
		if ctx.Err() != nil && errors.Is(context.Cause(ctx), ErrDetach) {
			return err
		}
		if mysqlOpenEnd(err) {
			return err // the link: what runs is followed next time
		}
		done.Failed = true
		return errors.Join(err, was.put(e))
	}
	if !done.Dumped {
		if err := m.dump(ctx, e, done); err != nil {
			return fail(fmt.Errorf("dump before the hop %s: %w; the hop was not begun", h, err))
		}
		done.Dumped = true
	}
	done.Begun = true
	if err := was.put(e); err != nil {
		return err
	}
	sub := mysqlSubEnv(e, fmt.Sprintf("hop%d", done.Try))
	if err := m.carryOut(ctx, sub, h); err != nil {
		return fail(fmt.Errorf("hop %s: %w. The database may be half way; %s has it as it was before. Trying again restores that first; undo goes back to the beginning", h, err, done.Dump))
	}
	if err := m.arrived(ctx, e, h); err != nil {
		return fail(fmt.Errorf("hop %s: %w. %s has the database as it was before. Trying again restores that first; undo goes back to the beginning", h, err, done.Dump))
	}
	fmt.Fprintf(e.Log, "database %s is at version %s\n", m.Database, h.To)
	done.Done = true
	return was.put(e)
}

// mysqlOpenEnd tells whether an error says nothing about how a job ended.
func mysqlOpenEnd(err error) bool {
	_, lost := errors.AsType[*remote.LostError](err)
	_, unreachable := errors.AsType[*remote.UnreachableError](err)
	return lost || unreachable
}

func (m *mysqlMigrate) dumper(done *mysqlHopDone) *mysqlDump {
	return &mysqlDump{mysqlStore: m.mysqlStore, Databases: []string{m.Database}, To: done.Dump}
}

func (m *mysqlMigrate) dump(ctx context.Context, e Env, done *mysqlHopDone) error {
	sub := mysqlSubEnv(e, fmt.Sprintf("dump%d", done.Try))
	h, err := storeHost(e, m.store)
	if err != nil {
		return err
	}
	if err := h.Run(ctx, remote.Sh(`umask 077; mkdir -p -- "$1"`, m.Backups)); err != nil {
		return err
	}
	d := m.dumper(done)
	if err := d.Apply(ctx, sub); err != nil {
		return err
	}
	return d.Verify(ctx, sub)
}

func (m *mysqlMigrate) carryOut(ctx context.Context, e Env, h mysqlHop) error {
	if h.Run == "" {
		text, err := h.statements()
		if err != nil {
			return err
		}
		return mysqlRunScript(ctx, e, m.mysqlStore, m.Database, "sql", text)
	}
	host, err := storeHost(e, m.store)
	if err != nil {
		return err
	}
	e.Host = host
	return execute(ctx, e, runKey, runTrace{}, runScript{Script: h.Run, Secrets: h.Secrets}, nil)
}

// arrived sees that the hop led where it should, and writes it down if the
// hop itself did not.
func (m *mysqlMigrate) arrived(ctx context.Context, e Env, h mysqlHop) error {
	version, err := m.version(ctx, e)
	if err != nil {
		return err
	}
	if version == h.From && m.Query == "" {
		db, err := mysqlOpen(ctx, e, m.mysqlStore)
		if err != nil {
			return err
		}
		defer db.Close()
		if err := mysql.Record(ctx, db, m.Database, m.Table, h.To); err != nil {
			return fmt.Errorf("write version %s into %s: %w", h.To, m.Table, err)
		}
		if version, err = m.version(ctx, e); err != nil {
			return err
		}
	}
	if version != h.To {
		return fmt.Errorf("the database is at version %q after it, which was not expected", version)
	}
	return nil
}

// restore takes the database back to a dump, which is read whole before
// anything is dropped.
func (m *mysqlMigrate) restore(ctx context.Context, e Env, was *mysqlMigrated) error {
	r := was.Restore
	sub := mysqlSubEnv(e, fmt.Sprintf("restore%d", r.Try))
	if t, found, err := traceOf(sub, runKey); err != nil {
		return err
	} else if found && t.Told && !t.OK {
		was.Tries++
		r.Try, r.Dropped = was.Tries, false
		sub = mysqlSubEnv(e, fmt.Sprintf("restore%d", r.Try))
		if err := was.put(e); err != nil {
			return err
		}
	}
	srv, err := m.server(ctx, e)
	if err != nil {
		return err
	}
	if !r.Dropped {
		if err := m.dumper(&mysqlHopDone{Dump: r.Dump}).Verify(ctx, e); err != nil {
			return fmt.Errorf("the dump to restore is not whole: %w; nothing was dropped", err)
		}
		db, err := srv.Open(ctx)
		if err != nil {
			return err
		}
		_, err = db.ExecContext(ctx, "DROP DATABASE IF EXISTS "+mysql.Ident(m.Database))
		db.Close()
		if err != nil {
			return fmt.Errorf("drop database %q to restore it: %w", m.Database, err)
		}
		r.Dropped = true
		if err := was.put(e); err != nil {
			return err
		}
	}
	sub = mysqlClientEnv(sub, srv)
	from := &mysqlRestore{mysqlStore: m.mysqlStore, Databases: []string{m.Database}, From: r.Dump}
	if t, _, err := traceOf(sub, runKey); err != nil {
		return err
	} else if !t.OK {
		if err := execute(ctx, sub, runKey, runTrace{}, from.script(), nil); err != nil {
			return fmt.Errorf("restore %s: %w; the database is not whole: try again, or restore it by hand", r.Dump, err)
		}
	}
	fmt.Fprintf(e.Log, "restored %s\n", r.Dump)
	was.Hops, was.Restore = was.Hops[:min(r.Back, len(was.Hops))], nil
	return was.put(e)
}

// Undo restores the dump that was made before the first hop.
func (m *mysqlMigrate) Undo(ctx context.Context, e Env) error {
	was, err := m.remembered(e)
	if err != nil || was.Restore == nil && (len(was.Hops) == 0 || !was.Hops[0].Begun) {
		return err
	}
	return m.locked(ctx, e, func() error {
		if last := was.last(); last != nil && last.Begun && !last.Done && was.Restore == nil {
			h, err := storeHost(e, m.store)
			if err != nil {
				return err
			}
			sub := mysqlSubEnv(e, fmt.Sprintf("hop%d", last.Try))
			if t, found, err := traceOf(sub, runKey); err != nil {
				return err
			} else if found && !t.Told {
				if _, err := job.Cancel(ctx, h, t.id(sub, runKey), runGrace); err != nil {
					return fmt.Errorf("end the hop before undoing it: %w", err)
				}
			}
		}
		if r := was.Restore; r != nil && r.Back > 0 {
			if err := m.restore(ctx, e, &was); err != nil {
				return err
			}
		}
		if was.Restore == nil && len(was.Hops) > 0 {
			was.Tries++
			was.Restore = &mysqlRestoring{Dump: was.Hops[0].Dump, Try: was.Tries}
			if err := was.put(e); err != nil {
				return err
			}
		}
		if was.Restore == nil {
			return nil
		}
		return m.restore(ctx, e, &was)
	})
}

// locked keeps two belays apart.
func (m *mysqlMigrate) locked(ctx context.Context, e Env, do func() error) error {
	srv, err := m.server(ctx, e)
	if err != nil {
		return err
	}
	unlock, err := srv.Lock(ctx, "belay migrate "+m.Database, time.Duration(m.LockWait))
	if err != nil {
		return fmt.Errorf("database %q: %w", m.Database, err)
	}
	defer unlock()
	return do()
}
