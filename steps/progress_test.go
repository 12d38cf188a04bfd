package steps

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// rewindLog is a Rewinder that remembers.
type rewindLog struct {
	strings.Builder
	rewound int
}

func (l *rewindLog) Mark() (int, bool)             { return strings.Count(l.String(), "\n"), true }
func (l *rewindLog) Rewind(lines int) (int, error) { l.rewound = lines; return lines, nil }

func TestWatch(t *testing.T) {
	var said []Progress
	log := &rewindLog{}
	w, say := (&LogProgress{Match: `row (\d)`, Total: 2}).Watch(log, func(p Progress) { said = append(said, p) })
	say(Progress{Text: "the kind's own"})
	fmt.Fprint(w, "row 1\nother\n")
	say(Progress{Text: "left out, while the log tells of a way"})
	fmt.Fprint(w, "row 2\n")
	say(Progress{Text: "and now the rest"})
	want := []Progress{{Text: "the kind's own"}, {Done: 1, Total: 2, Text: "row 1"}, {Done: 2, Total: 2, Text: "row 2"}, {Text: "and now the rest"}}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Error(diff)
	}
	r, ok := w.(Rewinder)
	if !ok {
		t.Fatal("the log cannot go back any more")
	}
	if n, err := r.Rewind(1); n != 1 || err != nil || log.rewound != 1 {
		t.Errorf("rewind: %d, %v; the log was told %d", n, err, log.rewound)
	}
	if log.String() != "row 1\nother\nrow 2\n" {
		t.Errorf("the log holds %q", log.String())
	}
	if w, _ := (*LogProgress)(nil).Watch(log, say); w != any(log) {
		t.Error("without a pattern the log is another one")
	}
}

func TestComposeTell(t *testing.T) {
	const out = "half a line\n2026-03-04T12:00:00.000000001Z one\n2026-03-04T12:00:01.5Z two\r\n2026-03-04T12:00:01.6Z \n"
	var b strings.Builder
	last := composeTell(&b, "web | ", out, "")
	if want := "web | one\nweb | two\nweb | \n"; b.String() != want || last != "2026-03-04T12:00:01.6Z" {
		t.Errorf("said %q, last %s", b.String(), last)
	}
	b.Reset()
	if again := composeTell(&b, "", out+"2026-03-04T12:00:02Z three\n", last); b.String() != "three\n" || again != "2026-03-04T12:00:02Z" {
		t.Errorf("again %q, last %s", b.String(), again)
	}
}
