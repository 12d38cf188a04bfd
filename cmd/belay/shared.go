package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"belay/steps/journal"
	"belay/steps/journal/pg"
	"belay/steps/plan"
	"belay/steps/run"
)

// journalFlag says where journals are kept: "" is the run directories.
type journalFlag string

func (j *journalFlag) add(c *cobra.Command) {
	c.Flags().StringVar((*string)(j), "journal", "",
		"keep the journal in PostgreSQL, `URL` postgres://user@host/db without a password (that is in ~/.pgpass or PGPASSWORD); or set BELAY_JOURNAL")
}

// store is the database of the flag, else of BELAY_JOURNAL; nil without either.
func (j journalFlag) store() (*pg.Store, error) {
	url := string(j)
	if url == "" {
		url = os.Getenv("BELAY_JOURNAL")
	}
	if url == "" {
		return nil, nil
	}
	s, err := pg.At(url)
	if err != nil {
		return nil, usageError{fmt.Errorf("%w; nothing was done", err)}
	}
	return s, nil
}

// findIn finds a run as run.Find does, in the database first when there is
// one, and makes its directory if this machine has none.
func findIn(ctx context.Context, store *pg.Store, root, name string) (string, error) {
	if store == nil || strings.ContainsRune(name, filepath.Separator) {
		return run.Find(root, name)
	}
	id, err := run.FindShared(ctx, store, name)
	if err != nil {
		// BELAY_JOURNAL is set for good, and the run may be older than that.
		if dir, local := run.Find(root, name); name != "" && local == nil {
			return dir, nil
		}
		return "", err
	}
	dir, fresh, err := run.Fetch(ctx, store, root, id)
	if err == nil && fresh {
		fmt.Fprintf(os.Stderr, "belay: run %s was begun elsewhere; its plan and journal come from the database, its logs stay where they were written: those here start empty.\n", id)
	}
	return dir, err
}

// attach puts a screen to a run: as one of its keeper's screens when that is on
// this machine, else as a look from afar.
func attach(ctx context.Context, j journalFlag, name string, f driveFlags) error {
	root, err := run.Root()
	if err != nil {
		return err
	}
	store, err := j.store()
	if err != nil {
		return err
	}
	if store == nil || strings.ContainsRune(name, filepath.Separator) {
		dir, err := run.Find(root, name)
		if err != nil {
			return err
		}
		if store, err = run.StoreOf(dir); store == nil {
			return errors.Join(err, watch(ctx, dir, f))
		}
		return watchShared(ctx, store, root, filepath.Base(dir), f)
	}
	id, err := run.FindShared(ctx, store, name)
	if err != nil {
		if dir, local := run.Find(root, name); name != "" && local == nil {
			return watch(ctx, dir, f)
		}
		return err
	}
	return watchShared(ctx, store, root, id, f)
}

// watchShared prefers this machine's keeper to a look from afar.
func watchShared(ctx context.Context, store *pg.Store, root, id string, f driveFlags) error {
	dir := filepath.Join(root, id)
	var none *run.NoKeeperError
	if _, err := os.Stat(dir); err == nil {
		if err := watch(ctx, dir, f); !errors.As(err, &none) {
			return err
		}
	}
	l, err := run.Look(ctx, store, id, plan.All())
	if err != nil {
		return err
	}
	defer l.Close()
	h := l.Holder()
	if h == nil {
		return &run.NoKeeperError{Run: id}
	}
	fmt.Fprintf(os.Stderr, "belay: run %s is driven by %s on %s; this is a look from afar: answers are given there, logs are kept there.\n", id, h.By.Login, h.Host)
	err = screen(ctx, l, f, "belay resume "+id, "The run goes on without this look. Come back with: belay attach "+id)
	if err != nil && !left(err) {
		return err
	}
	if live := l.Live(); live.Err != nil {
		return fmt.Errorf("run %s: %w", id, live.Err)
	} else if !live.Ended {
		fmt.Printf("Run %s goes on: %s. Come back with: belay attach %s\n", id, l.State().Status, id)
		return exit(exitInterrupted)
	}
	return exit(codeOfStatus(l.State())).orNil()
}

// listIn lists the runs of the database and of this machine, newest first.
func listIn(ctx context.Context, store *pg.Store, root string) ([]run.Entry, error) {
	if store == nil {
		return run.List(root)
	}
	all, err := run.ListShared(ctx, store, root)
	if err != nil {
		return nil, err
	}
	local, err := run.List(root)
	if err != nil {
		return nil, err
	}
	for _, e := range local {
		if !slices.ContainsFunc(all, func(s run.Entry) bool { return s.ID == e.ID }) {
			all = append(all, e)
		}
	}
	slices.SortStableFunc(all, func(a, b run.Entry) int { return b.State.Begun.Compare(a.State.Begun) })
	return all, nil
}

// record is what a report tells of, wherever it is kept.
type record struct {
	id     string
	dir    string // of the run on this machine; "" when it is another's
	plan   func() (*plan.Plan, error)
	events func() ([]journal.Event, error) // after damage: those before it
	log    func(step string) string        // the end of a step's log; nil where the logs are on another machine
}

// logLines is how much of a failed step's log a report shows.
const logLines = 60

func findRecord(ctx context.Context, j journalFlag, name string) (record, error) {
	root, err := run.Root()
	if err != nil {
		return record{}, err
	}
	store, err := j.store()
	if err != nil {
		return record{}, err
	}
	if store != nil && !strings.ContainsRune(name, filepath.Separator) {
		all, err := run.ListShared(ctx, store, root)
		if err != nil {
			return record{}, err
		}
		id := ""
		if name != "" {
			id, err = run.FindShared(ctx, store, name)
		} else if len(all) > 0 {
			id = all[0].ID
		}
		if err == nil && id != "" {
			return record{id, "",
				func() (*plan.Plan, error) { return run.SharedPlan(ctx, store, id, plan.All()) },
				func() ([]journal.Event, error) { return store.Read(ctx, id) },
				nil,
			}, nil
		}
	}
	dir, err := findAny(root, name)
	return record{filepath.Base(dir), dir,
		func() (*plan.Plan, error) { return run.Plan(dir, plan.All()) },
		func() ([]journal.Event, error) { return run.Events(ctx, dir) },
		func(step string) string { return run.LogEnd(dir, step, logLines) },
	}, err
}

// noDir is what to do when the directory that a run was begun in is not on this
// machine: paths of the plan that start there must find nothing, rather than
// something else.
func noDir(r *run.Run, err error) error {
	if store, _ := run.StoreOf(r.Dir()); store == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	fmt.Fprintf(os.Stderr, "belay: %s, where the run was begun, is not on this machine; files that the plan names by relative paths will not be found.\n", r.State().Dir)
	return os.Chdir(r.Dir())
}

// addShared adds the flags of taking up a run that may be another machine's.
func (f *driveFlags) addShared(c *cobra.Command) {
	f.journal.add(c)
	c.Flags().BoolVar(&f.here, "here", false, "take over a run whose plan has steps on the bastion itself: they act on this one from now on")
}

// find finds the run to take up, and fetches it if it is another machine's.
func (f *driveFlags) find(ctx context.Context, root, name string) (string, error) {
	store, err := f.journal.store()
	if err != nil {
		return "", err
	}
	dir, err := findIn(ctx, store, root, name)
	if off := (*pg.UnreachableError)(nil); errors.As(err, &off) {
		return "", fmt.Errorf("%w; nothing was done", err)
	} else if err != nil {
		return "", usageError{fmt.Errorf("%w; nothing was done", err)}
	}
	if !f.here {
		err = run.CheckHere(ctx, dir, plan.All())
	}
	return dir, err
}
