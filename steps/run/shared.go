package run

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"belay/steps/engine"
	"belay/steps/journal"
	"belay/steps/journal/pg"
	"belay/steps/plan"
)

// Journal is where a run's events go: a file of the run directory, or a
// database that other bastions reach too.
type Journal interface {
	engine.Log
	Events(seq uint64) []journal.Event
	Close() error
}

// A run directory whose journal is in a database holds the URL in place of the
// journal; whoever opens the directory finds it by that.
const urlFile = "journal.url"

// StoreOf returns the database that keeps the journal of the run in dir; nil
// when the directory itself does.
func StoreOf(dir string) (*pg.Store, error) {
	b, err := os.ReadFile(filepath.Join(dir, urlFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s, err := pg.At(strings.TrimSpace(string(b)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, urlFile), err)
	}
	return s, nil
}

// beginJournal makes the journal of a new run; store nil: in its directory.
func beginJournal(store *pg.Store, dir string, p *plan.Plan, by journal.Author) (Journal, error) {
	if store == nil {
		return orNil(journal.Create(filepath.Join(dir, "journal")))
	}
	var files []pg.File
	for i, f := range append([]plan.File{{Source: p.Source}}, p.Overlays...) {
		files = append(files, pg.File{Name: planName(i), Body: f.Source})
	}
	if err := writeSynced(filepath.Join(dir, urlFile), []byte(store.URL()+"\n")); err != nil {
		return nil, err
	}
	return orNil(store.Create(context.Background(), filepath.Base(dir), files, journal.Hold(by, "run")))
}

// takeJournal opens the journal of the run in dir, wherever it is.
func takeJournal(dir string, by journal.Author, why string) (Journal, error) {
	store, err := StoreOf(dir)
	switch {
	case err != nil:
		return nil, err
	case store != nil:
		return orNil(store.Open(context.Background(), filepath.Base(dir), journal.Hold(by, why)))
	}
	return orNil(journal.Open(filepath.Join(dir, "journal")))
}

// orNil keeps a nil journal from being a non-nil Journal.
func orNil[J Journal](j J, err error) (Journal, error) {
	if err != nil {
		return nil, err
	}
	return j, nil
}

// Events reads the journal of the run in dir, wherever it is. After damage
// they are the events before it, with the *journal.DamageError.
func Events(ctx context.Context, dir string) ([]journal.Event, error) {
	store, err := StoreOf(dir)
	switch {
	case err != nil:
		return nil, err
	case store != nil:
		return store.Read(ctx, filepath.Base(dir))
	}
	return journal.Read(filepath.Join(dir, "journal"))
}

// Fetch makes the directory of a run under root anew from the database, for a
// run that was begun on another machine: the plan's copies, and empty logs. A
// directory that is there is left as it is.
func Fetch(ctx context.Context, store *pg.Store, root, id string) (dir string, fresh bool, err error) {
	dir = filepath.Join(root, id)
	if id != filepath.Base(id) || strings.HasPrefix(id, ".") {
		return "", false, fmt.Errorf("run %q: that is no id of a run", id)
	}
	if _, err := os.Stat(dir); err == nil {
		return dir, false, nil
	}
	files, err := store.Files(ctx, id)
	if err != nil {
		return "", false, err
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return "", false, err
	}
	half, err := os.MkdirTemp(root, ".fetch-")
	if err != nil {
		return "", false, err
	}
	defer os.RemoveAll(half)
	err = os.Mkdir(filepath.Join(half, "logs"), 0o700)
	for i, f := range files { // by their place, not by a name that somebody may have changed
		err = errors.Join(err, writeSynced(filepath.Join(half, planName(i)), f.Body))
	}
	err = errors.Join(err, writeSynced(filepath.Join(half, urlFile), []byte(store.URL()+"\n")))
	if err != nil {
		return "", false, err
	}
	return dir, true, os.Rename(half, dir)
}

// MovedError says that a run with steps on the bastion itself was begun on
// another bastion: here they would act on another machine.
type MovedError struct {
	Run, Host, From, Here string
}

func (e *MovedError) Error() string {
	return fmt.Sprintf("run %s: host %q of its plan is the bastion itself, and that was %s; on %s its steps would act on another machine; nothing was changed: resume it on %s, or, if that is what you want, say --here",
		e.Run, e.Host, e.From, e.Here, e.From)
}

// CheckHere is a *MovedError when the run in dir would act on another machine
// than the one that held it last, by steps on the bastion itself.
func CheckHere(ctx context.Context, dir string, kinds plan.Kinds) error {
	store, err := StoreOf(dir)
	if store == nil || err != nil {
		return err
	}
	p, err := saved(dir, kinds)
	if err != nil {
		return err
	}
	e, err := store.Look(ctx, filepath.Base(dir))
	if err != nil {
		return err
	}
	here, _ := os.Hostname()
	for _, h := range p.Hosts {
		if h.Local && e.Last != nil && e.Last.Host != here {
			return &MovedError{e.ID, h.Name, e.Last.Host, here}
		}
	}
	return nil
}

// lookShared is look for a run whose journal is in a database. off remembers
// the databases that did not answer, so that each is waited for once.
func lookShared(e Entry, store *pg.Store, off map[string]error) Entry {
	if e.Err = off[store.URL()]; e.Err != nil {
		return e
	}
	ctx, done := context.WithTimeout(context.Background(), 10*time.Second)
	defer done()
	there, err := store.Look(ctx, e.ID)
	if unreachable := (*pg.UnreachableError)(nil); errors.As(err, &unreachable) {
		off[store.URL()] = err
	}
	if err != nil {
		e.Err = err
		return e
	}
	e.State, e.Live, e.Err = there.State, there.Live, there.Err
	return e
}

// ListShared returns the runs that a database keeps, newest first. Their
// directories are under root once a belay of this machine has worked on them.
func ListShared(ctx context.Context, store *pg.Store, root string) ([]Entry, error) {
	all, err := store.List(ctx)
	var list []Entry
	for _, e := range all {
		list = append(list, Entry{ID: e.ID, Dir: filepath.Join(root, e.ID), State: e.State, Live: e.Live, Err: e.Err})
	}
	return list, err
}

// FindShared returns the id of a run that a database keeps, as Find does, but
// without a name it does not guess among several.
func FindShared(ctx context.Context, store *pg.Store, name string) (string, error) {
	all, err := ListShared(ctx, store, "")
	if err != nil {
		return "", err
	}
	if name == "" { // the newest may be a colleague's
		var open []string
		for _, e := range all {
			if e.State.Run != "" && !e.State.Over() {
				open = append(open, e.ID)
			}
		}
		if len(open) > 1 {
			return "", fmt.Errorf("%d runs in %s are not over, say which one: %s", len(open), store.URL(), strings.Join(open, ", "))
		}
	}
	found, err := choose(all, name, store.URL())
	return found.ID, err
}

// tail is a journal that another process writes.
type tail interface {
	State() *journal.State
	Err() error
	Close() error
}

// newTail follows the journal of the run in dir, wherever it is.
func newTail(dir string) (tail, error) {
	store, err := StoreOf(dir)
	switch {
	case err != nil:
		return nil, err
	case store != nil:
		return store.Tail(context.Background(), filepath.Base(dir))
	}
	return fileTail{journal.NewTail(filepath.Join(dir, "journal"))}, nil
}

// fileTail has nothing to close: it opens the file for each look.
type fileTail struct{ *journal.Tail }

func (fileTail) Close() error { return nil }
