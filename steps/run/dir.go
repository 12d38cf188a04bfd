package run

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"belay/steps/journal"
)

// Root is where runs live unless told otherwise: $BELAY_STATE, else
// $XDG_STATE_HOME/belay, else ~/.local/state/belay; in each, "runs".
func Root() (string, error) {
	if dir := os.Getenv("BELAY_STATE"); dir != "" {
		return filepath.Join(dir, "runs"), nil
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "belay", "runs"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("nowhere to keep runs: %w; set BELAY_STATE to a directory", err)
	}
	return filepath.Join(home, ".local", "state", "belay", "runs"), nil
}

// NewID makes the id of a run: when, what, and six letters of chance, so that
// runs sort by age and two never meet.
func NewID(plan string, at time.Time) string {
	return at.UTC().Format("20060102-1504") + "-" + idName(plan) + "-" + strings.ToLower(rand.Text()[:6])
}

// idName is how a run's id says which plan it follows.
func idName(plan string) string {
	name := strings.Map(func(r rune) rune {
		if r < 128 && (r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
			return r
		}
		return '-'
	}, plan)
	return strings.ToLower(name[:min(len(name), 40)])
}

// Past is what became of the newest runs under root that followed a plan of
// that name, at most n of them and without the one in the directory but.
// Journals that cannot be read are left out, as are those in a database.
func Past(root, plan, but string, n int) []*journal.State {
	dirs, err := os.ReadDir(root)
	if err != nil {
		return nil
	}
	var all []*journal.State
	for _, d := range slices.Backward(dirs) {
		dir := filepath.Join(root, d.Name())
		if len(all) == n || dir == but || !strings.Contains(d.Name(), "-"+idName(plan)+"-") {
			continue
		}
		events, err := journal.Read(filepath.Join(dir, "journal"))
		if err != nil {
			continue
		}
		s := journal.NewState()
		for _, e := range events {
			s.Apply(e)
		}
		all = append(all, s)
	}
	return all
}

// Entry is one run of a root, as `belay runs` lists it.
type Entry struct {
	ID    string
	Dir   string
	State *journal.State
	Live  *Holder // who works on it now; nil when nobody does
	Err   error   // its journal cannot be read
}

// List returns the runs under root, newest first. A root that does not exist
// has none.
func List(root string) ([]Entry, error) {
	dirs, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Entry
	off := map[string]error{}
	for _, d := range slices.Backward(dirs) {
		if d.IsDir() && !strings.HasPrefix(d.Name(), ".") {
			all = append(all, look(filepath.Join(root, d.Name()), off))
		}
	}
	// Ids tell the minute only.
	slices.SortStableFunc(all, func(a, b Entry) int { return b.State.Begun.Compare(a.State.Begun) })
	return all, nil
}

func look(dir string, off map[string]error) Entry {
	e := Entry{ID: filepath.Base(dir), Dir: dir, State: journal.NewState()}
	if store, err := StoreOf(dir); store != nil || err != nil {
		if e.Err = err; err != nil {
			return e
		}
		return lookShared(e, store, off)
	}
	events, err := journal.Read(filepath.Join(dir, "journal"))
	for _, ev := range events {
		e.State.Apply(ev)
	}
	e.Err = err
	var locked *LockedError
	if err := held(dir); errors.As(err, &locked) {
		e.Live = &locked.Holder
	}
	return e
}

// Find returns the directory of a run: by its id, an unambiguous part of it,
// or a path. "" finds the newest run that is not over.
func Find(root, name string) (string, error) {
	if strings.ContainsRune(name, filepath.Separator) {
		_, err := os.Stat(filepath.Join(name, "journal"))
		if store, _ := StoreOf(name); err != nil && store == nil {
			return "", fmt.Errorf("%s is not a run directory: %w", name, err)
		}
		return filepath.Clean(name), nil
	}
	all, err := List(root)
	if err != nil {
		return "", err
	}
	found, err := choose(all, name, root)
	return found.Dir, err
}

// choose finds a run among all by its id or an unambiguous part; "" chooses
// the first that is not over. where is what errors call their place.
func choose(all []Entry, name, where string) (Entry, error) {
	var found []Entry
	for _, e := range all {
		if e.ID == name {
			return e, nil
		}
		if name == "" && !e.State.Over() && e.State.Run != "" || name != "" && strings.Contains(e.ID, name) {
			found = append(found, e)
		}
	}
	switch {
	case len(found) == 0 && name == "":
		return Entry{}, fmt.Errorf("no unfinished run under %s; `belay runs` lists all", where)
	case len(found) == 0:
		return Entry{}, fmt.Errorf("no run %q under %s; `belay runs` lists all", name, where)
	case len(found) > 1 && name != "":
		return Entry{}, fmt.Errorf("%q could be %s or %s; say more of it", name, found[0].ID, found[1].ID)
	}
	return found[0], nil
}
