package files

import (
	"fmt"
	"time"
)

// Judged is how two trees differ.
type Judged struct {
	First   []string // the first ones in words: "a/b is missing"
	Count   int64
	Changed int64 // entries that changed at the source since, and do not count
	Extra   int64 // entries of the target alone that do not count
}

// Strict says what counts as a difference.
type Strict struct {
	Since time.Time // what changed at the source at that moment or later, by Tree.At's clock, does not count; zero: all count
	Extra bool      // what only the target has counts
	Named int       // how many are named; default 10
}

// Differences compares a tree with its copy, times included; by content if
// both are Summed.
func Differences(from, to *Tree, how Strict) (Judged, error) {
	t := &Todo{from: from, to: to, content: from.Summed && to.Summed}
	if how.Named == 0 {
		how.Named = 10
	}
	var j Judged
	tell := func(p, format string, args ...any) {
		if j.Count++; len(j.First) < how.Named {
			j.First = append(j.First, Name(p)+" "+fmt.Sprintf(format, args...))
		}
	}
	live, err := t.live(how.Since)
	if err != nil {
		return j, err
	}
	err = t.both(func(a, b *Entry) {
		switch {
		case a == nil && (!how.Extra || !how.Since.IsZero()):
			j.Extra++
		case a == nil:
			tell(b.Path, "is extra (%s)", b.Words())
		case a.Type == 's':
		case b != nil && a.Same(*b, t.content) && (a.Type != 'd' || a.sameTime(*b)) && (!t.content || a.Type != 'f' || a.Sum != ""):
		case live(a):
			j.Changed++
		case b == nil:
			tell(a.Path, "is missing (%s)", a.Words())
		case a.Words() != b.Words():
			tell(a.Path, "is %s instead of %s", b.Words(), a.Words())
		case t.content && a.Type == 'f' && a.Sum == "":
			tell(a.Path, "cannot be read")
		default:
			tell(a.Path, "has the time %s instead of %s", moment(*b), moment(*a))
		}
	})
	return j, err
}

// stampLag is how far the time that a file system gives to a change may lie
// before the moment of it: it is that of the kernel's last tick, and a virtual
// machine under load may have been late to tick.
const stampLag = time.Second

// live tells of an entry of the source whether it changed since: itself, or
// with a directory above it that was moved to where it is, which changes no
// time of what is in it.
func (t *Todo) live(since time.Time) (func(a *Entry) bool, error) {
	if since.IsZero() {
		return func(*Entry) bool { return false }, nil
	}
	from := since.Add(-stampLag).Unix()
	moved := map[string]bool{}
	err := t.both(func(a, b *Entry) {
		// Entries that come and go change what is in a directory, too.
		if a != nil && a.Type == 'd' && a.Path != "." && a.Change >= from && (b == nil || a.Sec < from) {
			moved[a.Path] = true
		}
	})
	return func(a *Entry) bool { return a.Change >= from || under(a.Path, moved) }, err
}

func moment(e Entry) string {
	return time.Unix(e.Sec, max(e.Nano, 0)).UTC().Format("2006-01-02 15:04:05.999999999")
}
