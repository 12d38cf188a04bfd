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
	Since time.Time // entries changed at the source at that moment or later do not count; zero: all count
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
	live := func(a *Entry) bool { return !how.Since.IsZero() && a.Change >= how.Since.Unix() }
	err := t.both(func(a, b *Entry) {
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

func moment(e Entry) string {
	return time.Unix(e.Sec, max(e.Nano, 0)).UTC().Format("2006-01-02 15:04:05.999999999")
}
