package steps

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"belay/remote"
	"belay/steps/postgres"
)

// pgMigrateLocal is a directory of this machine.
type pgMigrateLocal string

func (d pgMigrateLocal) versions(context.Context) ([]postgres.Migration, error) {
	list, err := os.ReadDir(string(d))
	if err != nil {
		return nil, fmt.Errorf("read the migrations: %w; nothing was changed", err)
	}
	var names []string
	for _, f := range list {
		if !f.IsDir() {
			names = append(names, f.Name())
		}
	}
	return postgres.Migrations(names)
}

func (d pgMigrateLocal) read(_ context.Context, name string) (string, error) {
	b, err := os.ReadFile(filepath.Join(string(d), name))
	if err != nil {
		return "", err
	}
	return pgMigrateText(b, name)
}

// pgMigrateRemote is a directory of a host.
type pgMigrateRemote struct {
	remote.Host
	dir string
}

func (d pgMigrateRemote) versions(ctx context.Context) ([]postgres.Migration, error) {
	c := remote.Sh(`cd -- "$1" && for f in * ; do [ ! -f "$f" ] || printf '%s\n' "$f"; done`, d.dir)
	c.Pure = true
	out, err := remote.Output(ctx, d, c)
	if err != nil {
		return nil, fmt.Errorf("read the migrations in %s on %s: %w; nothing was changed", d.dir, d.Name, err)
	}
	return postgres.Migrations(strings.Split(strings.TrimSpace(string(out)), "\n"))
}

func (d pgMigrateRemote) read(ctx context.Context, name string) (string, error) {
	b, err := remote.ReadFile(ctx, d, path.Join(d.dir, name))
	if err != nil {
		return "", err
	}
	return pgMigrateText(b, name)
}

// Apply runs what is missing, under golang-migrate's lock.
func (m *postgresMigrate) Apply(ctx context.Context, e Env) error {
	return m.locked(ctx, e, func(r *pgMigrateRun) error {
		to, err := m.target(r.all)
		if err != nil {
			return err
		}
		if known, err := e.Memory.Get("was", &pgMigrateWas{}); err != nil {
			return err
		} else if !known {
			if err := e.Memory.Put("was", pgMigrateWas{Version: r.version, Made: !r.there}); err != nil {
				return err
			}
		}
		return r.walk(ctx, to)
	})
}

// Undo goes back to the version that was found, by the down files.
func (m *postgresMigrate) Undo(ctx context.Context, e Env) error {
	var was pgMigrateWas
	if found, err := e.Memory.Get("was", &was); err != nil {
		return err
	} else if !found {
		fmt.Fprintln(e.Log, "-- nothing was done here, so there is nothing to undo")
		return nil
	}
	return m.locked(ctx, e, func(r *pgMigrateRun) error {
		if _, err := postgres.Hops(r.all, r.version, was.Version); err != nil {
			return fmt.Errorf("%w from version %s to %s: %w; restore the copy that was taken before; nothing was changed now",
				ErrNoWayBack, pgVersion(r.version), pgVersion(was.Version), err)
		}
		if err := r.walk(ctx, was.Version); err != nil {
			return err
		}
		if was.Made {
			_, err := r.c.Exec(ctx, "drop table if exists "+postgres.QuoteName(r.track.Schema, r.track.Table))
			return postgres.Explain("", 1, err)
		}
		return nil
	})
}

// pgMigrateRun is what one run of migrations works with.
type pgMigrateRun struct {
	m       *postgresMigrate
	e       Env
	src     pgMigrateSource
	all     []postgres.Migration
	srv     postgres.Server
	c       *pgx.Conn // holds the lock
	track   postgres.Tracking
	version int64
	there   bool // the tracking table
}

// locked calls do with the lock held and the last attempt's end found out.
func (m *postgresMigrate) locked(ctx context.Context, e Env, do func(*pgMigrateRun) error) error {
	src, err := m.files(e)
	if err != nil {
		return err
	}
	all, err := src.versions(ctx)
	if err != nil {
		return err
	}
	srv, err := pgPlain(ctx, e, m.postgresStore)
	if err != nil {
		return err
	}
	c, err := srv.Connect(ctx)
	if err != nil {
		return fmt.Errorf("%w; nothing was changed", err)
	}
	defer pgLogout(c)
	r := &pgMigrateRun{m: m, e: e, src: src, all: all, srv: srv, c: c}
	if r.track, err = m.tracking(ctx, c); err != nil {
		return err
	}
	if err := r.track.Lock(ctx, c, m.lockWait()); err != nil {
		return fmt.Errorf("%w; nothing was changed", err)
	}
	if err := r.look(ctx); err != nil {
		return err
	}
	return do(r)
}

// look reads the table, and mends what a lost attempt of ours left dirty.
func (r *pgMigrateRun) look(ctx context.Context) error {
	var dirty bool
	var err error
	if r.version, dirty, r.there, err = r.track.Version(ctx, r.c); err != nil {
		return err
	}
	t, _, err := r.m.trace(r.e)
	if err != nil {
		return err
	}
	if !dirty {
		return r.close(t)
	}
	ours, err := r.track.SetBy(ctx, r.c, t.Dirty)
	if err != nil {
		return err
	}
	if !ours || t.Plain {
		return errors.Join(r.m.dirty(r.track, r.all, r.version, t, ours), r.close(t))
	}
	fate, err := postgres.Outcome(ctx, r.srv, *t.Mark)
	if err != nil {
		return err
	}
	if fate != postgres.Aborted { // a committed one is not dirty
		return errors.Join(r.m.dirty(r.track, r.all, r.version, t, false), r.close(t))
	}
	fmt.Fprintf(r.e.Log, "-- %s of the last attempt was not committed: the schema is still at version %s\n", t.File, pgVersion(t.From))
	if err := r.track.Set(ctx, r.c, t.From, false); err != nil {
		return err
	}
	r.version = t.From
	return r.close(t)
}

func (r *pgMigrateRun) close(t pgMigrateTrace) error {
	if !t.Open {
		return nil
	}
	t.Open = false
	return r.e.Memory.Put("hop", t)
}

func (r *pgMigrateRun) walk(ctx context.Context, to int64) error {
	hops, err := postgres.Hops(r.all, r.version, to)
	if err != nil {
		return fmt.Errorf("from version %s to %s: %w; nothing was changed", pgVersion(r.version), pgVersion(to), err)
	}
	// All are read before the first is run: one that cannot be read must not
	// leave the schema half way.
	texts := make([]string, len(hops))
	for i, h := range hops {
		if h.File == "" {
			continue
		}
		if texts[i], err = r.src.read(ctx, h.File); err != nil {
			return fmt.Errorf("%s: %w; nothing was changed", h.File, err)
		}
	}
	if !r.there && len(hops) > 0 {
		if err := r.track.Create(ctx, r.c); err != nil {
			return fmt.Errorf("table %s.%s: %w; nothing was changed", r.track.Schema, r.track.Table, err)
		}
		r.there = true
	}
	for i, h := range hops {
		r.e.Say(Progress{Done: int64(i), Total: int64(len(hops)), Unit: "versions", Text: h.File})
		fmt.Fprintf(r.e.Log, "-- version %s to %s: %s\n", pgVersion(h.From), pgVersion(h.To), h.File)
		if err := r.hop(ctx, h, texts[i]); err != nil {
			return err
		}
		r.version = h.To
	}
	r.e.Say(Progress{Done: int64(len(hops)), Total: int64(len(hops)), Unit: "versions"})
	return nil
}

// hop runs one file and records its version. As with golang-migrate the table
// is dirty meanwhile; other than with it, the file and the record are one
// transaction wherever the file allows it, so that a failure leaves the
// version before, clean.
func (r *pgMigrateRun) hop(ctx context.Context, h postgres.Hop, text string) error {
	t := pgMigrateTrace{Hop: h, Open: true}
	all, serr := postgres.Split(text)
	if slices.ContainsFunc(all, postgres.Statement.FromStdin) {
		return fmt.Errorf("%s: COPY FROM STDIN has no data here; the schema is at version %s", h.File, pgVersion(h.From))
	}
	if serr != nil || slices.ContainsFunc(all, postgres.Statement.Controls) {
		return r.plain(ctx, t, text)
	}
	err := postgres.Atomic(ctx, r.srv, func(mark postgres.Mark) error {
		return r.track.SetKnown(ctx, r.c, h.To, true, func(xid int64) error {
			t.Mark, t.Dirty = &mark, xid
			return r.e.Memory.Put("hop", t)
		})
	}, func(ctx context.Context, c *pgx.Conn) error {
		if err := postgres.Run(ctx, c, text, pgSaid(r.e)); err != nil {
			return err
		}
		return r.track.SetWithin(ctx, c, h.To, false)
	})
	undecided, open := errors.AsType[*postgres.UndecidedError](err)
	switch {
	case err == nil:
		return r.close(t)
	case open:
		return &remote.LostError{Host: r.srv.Host.Name, Err: undecided}
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w; it was not committed", h.File, context.Cause(ctx))
	case t.Mark == nil:
		return fmt.Errorf("%s: %w; it was not begun, and the schema is at version %s", h.File, err, pgVersion(h.From))
	case postgres.Code(err) == "25001": // active_sql_transaction: CREATE INDEX CONCURRENTLY and the like
		fmt.Fprintln(r.e.Log, "-- it holds a statement that no transaction may: it runs without one")
		t.Mark = nil
		return r.plain(ctx, t, text)
	}
	return r.tookBack(ctx, t, err)
}

// tookBack puts the version before back into the table.
func (r *pgMigrateRun) tookBack(ctx context.Context, t pgMigrateTrace, why error) error {
	if postgres.Code(why) == "" {
		return fmt.Errorf("%s: %w; it was not committed", t.File, why) // the link: the next attempt mends the table
	}
	if err := r.track.Set(ctx, r.c, t.From, false); err != nil {
		return fmt.Errorf("%s: %w; all of it was taken back, but the table could not be told: %w", t.File, why, err)
	}
	err := fmt.Errorf("%s: %w; all of it was taken back, and the schema is at version %s", t.File, why, pgVersion(t.From))
	return errors.Join(err, r.close(t))
}

// plain runs a file as golang-migrate does: its text at once, the table dirty
// until it is done.
func (r *pgMigrateRun) plain(ctx context.Context, t pgMigrateTrace, text string) error {
	t.Plain = true
	err := r.track.SetKnown(ctx, r.c, t.To, true, func(xid int64) error {
		t.Dirty = xid
		return r.e.Memory.Put("hop", t)
	})
	if err != nil {
		return err
	}
	c, err := r.srv.Connect(ctx)
	if err != nil {
		return err
	}
	defer pgLogout(c)
	if err := postgres.Run(ctx, c, text, pgSaid(r.e)); err != nil {
		if postgres.Code(err) == "" {
			return &remote.LostError{Host: r.srv.Host.Name, Err: fmt.Errorf("%s: %w", t.File, err)}
		}
		return errors.Join(fmt.Errorf("%s: %w; statements before it may stand: %w", t.File, err, r.m.dirty(r.track, r.all, t.To, t, true)), r.close(t))
	}
	if err := r.track.Set(ctx, r.c, t.To, false); err != nil {
		return fmt.Errorf("%s is done, but the table could not be told: %w; tell it: %s", t.File, err, r.track.Mend(t.To))
	}
	return r.close(t)
}
