package files

import (
	"path"
	"slices"
	"strings"
)

// Todo is what makes one tree like another. Paths are within the tree.
type Todo struct {
	Remove  []string // what has to go, or is of another type: the topmost entries only
	Replace []string // files and the like that are there, and differ
	Dirs    []Entry  // directories to make, from the top
	Meta    []Entry  // directories whose mode, owner or time is to be set in the end
	Send    int64    // entries but directories to send
	Bytes   int64    // of them
	Extra   int64    // entries that only the other tree has (and that stay there unless they are in Remove)
	Skipped []string // sockets, which nothing can copy; the first few

	Update map[string]bool // of Replace: what is made of what is there, and must stay until then
	Parts  int64           // bytes of what is made so

	from, to *Tree
	content  bool
	update   func(a Entry, b *Entry) bool
	again    map[string]bool // First of the hard links that are sent again as a whole
}

// None tells whether nothing is to be done.
func (t *Todo) None() bool {
	return len(t.Remove) == 0 && t.Send == 0 && len(t.Dirs) == 0 && len(t.Meta) == 0
}

// How Delta goes about it.
type How struct {
	Content bool // by the files' SHA-256 (both trees must be Summed), not by size and time alone
	Delete  bool // what only the target has shall go

	// Update tells what Road.Update shall bring up to date rather than Road.Send
	// replace. b is nil for what the target has not. nil: nothing.
	Update func(a Entry, b *Entry) bool
}

// Delta says what makes to like from. to is nil when there is no such
// directory yet. Both must stay open as long as the Todo is used.
func Delta(from, to *Tree, how How) (*Todo, error) {
	t := &Todo{from: from, to: to, content: how.Content, update: how.Update, again: map[string]bool{}, Update: map[string]bool{}}
	made, touched, gone := map[string]bool{}, map[string]bool{}, map[string]bool{}
	if err := t.linked(); err != nil {
		return nil, err
	}
	err := t.both(func(a, b *Entry) {
		if b == nil || a != nil && t.differs(*a, *b) {
			touched[path.Dir(a.Path)] = true
		}
		switch {
		case a == nil:
			t.Extra++
			if how.Delete {
				gone[b.Path] = true
				touched[path.Dir(b.Path)] = true
			}
			return
		case a.Type == 's':
			if len(t.Skipped) < 10 {
				t.Skipped = append(t.Skipped, a.Path)
			}
			return
		case b != nil && b.Type != a.Type && (a.Type == 'd' || b.Type == 'd'):
			gone[b.Path] = true
			b = nil
		}
		switch {
		case a.Type == 'd' && b == nil:
			t.Dirs = append(t.Dirs, *a)
			made[a.Path] = true
		case a.Type == 'd' && (!a.Same(*b, false) || !a.sameTime(*b)):
			made[a.Path] = true
		case a.Type != 'd' && (b == nil || t.differs(*a, *b)):
			t.Send++
			t.Bytes += a.Size
			if b != nil {
				t.Replace = append(t.Replace, a.Path)
			}
			if t.updates(*a, b) {
				t.Parts += a.Size
				if b != nil {
					t.Update[a.Path] = true
				}
			}
		}
	})
	if err != nil {
		return nil, err
	}
	t.Remove = topmost(gone)
	// What lies under a directory that goes, goes with it.
	t.Replace = slices.DeleteFunc(t.Replace, func(p string) bool { return under(p, gone) })
	slices.SortFunc(t.Dirs, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	return t, t.meta(made, touched)
}

// differs tells whether an entry that is no directory is to be sent.
func (t *Todo) differs(a, b Entry) bool {
	if a.Type == 'd' && b.Type == 'd' || a.Type == 's' {
		return false
	}
	return a.First != "" && t.again[a.First] || !a.Same(b, t.content)
}

func (t *Todo) updates(a Entry, b *Entry) bool { return t.update != nil && t.update(a, b) }

// linked finds the hard links of which one has to be sent: then all of them
// are, for an archive knows only the links between its own entries.
func (t *Todo) linked() error {
	if len(t.from.links) == 0 {
		return nil
	}
	return t.both(func(a, b *Entry) {
		if a != nil && a.First != "" && (b == nil || !a.Same(*b, t.content)) {
			t.again[a.First] = true
		}
	})
}

// both gives every entry of either tree; one of the two may be nil.
func (t *Todo) both(each func(a, b *Entry)) error {
	for i := range spoolParts {
		ours, err := t.from.part(i)
		if err != nil {
			return err
		}
		theirs := map[string]Entry{}
		if t.to != nil {
			if theirs, err = t.to.part(i); err != nil {
				return err
			}
		}
		for _, a := range sorted(ours) {
			if b, ok := theirs[a.Path]; ok {
				each(&a, &b)
			} else {
				each(&a, nil)
			}
		}
		for _, b := range sorted(theirs) {
			if _, ok := ours[b.Path]; !ok {
				each(nil, &b)
			}
		}
	}
	return nil
}

// meta finds the directories to set at the end: those that are new or differ,
// and those whose content changes, for that changes their time.
func (t *Todo) meta(made, touched map[string]bool) error {
	err := t.from.Each(func(e Entry) error {
		if e.Type == 'd' && (made[e.Path] || touched[e.Path]) {
			t.Meta = append(t.Meta, e)
		}
		return nil
	})
	slices.SortFunc(t.Meta, func(a, b Entry) int { return strings.Compare(b.Path, a.Path) }) // the innermost first
	return err
}

// topmost leaves out what lies under another one of the set.
func topmost(set map[string]bool) []string {
	var all []string
	for p := range set {
		if !under(p, set) {
			all = append(all, p)
		}
	}
	slices.Sort(all)
	return all
}

// under tells whether a directory above p is in the set.
func under(p string, set map[string]bool) bool {
	for d := path.Dir(p); d != "."; d = path.Dir(d) {
		if set[d] {
			return true
		}
	}
	return false
}

// Fresh are the paths that will be made where nothing was: directories first,
// from the top. What takes the place of something that goes is not among them.
func (t *Todo) Fresh() ([]string, error) {
	goes := map[string]bool{}
	for _, p := range t.Remove {
		goes[p] = true
	}
	var all []string
	for _, d := range t.Dirs {
		if !goes[d.Path] {
			all = append(all, d.Path)
		}
	}
	err := t.both(func(a, b *Entry) {
		if a != nil && a.Type != 'd' && a.Type != 's' && b == nil {
			all = append(all, a.Path)
		}
	})
	return all, err
}
