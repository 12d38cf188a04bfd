package widget

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"
)

func bare(lines []string) string { return ansi.Strip(strings.Join(lines, "\n")) }

func fits(t *testing.T, lines []string, w int) {
	t.Helper()
	for _, l := range lines {
		if Width(l) > w {
			t.Errorf("%d cells, want at most %d: %q", Width(l), w, ansi.Strip(l))
		}
	}
}

func TestTextFits(t *testing.T) {
	for w := 1; w < 40; w++ {
		for _, s := range []string{"", "short", "日本語のテキスト", Dark.Paint(Fail, "a coloured text that is long"), "/a/very/long/path/without/any/spaces/in/it"} {
			if got := Width(Fit(s, w)); got != w {
				t.Errorf("Fit(%q, %d) is %d wide", s, w, got)
			}
			if got := Width(FitRight(s, w)); got != w {
				t.Errorf("FitRight(%q, %d) is %d wide", s, w, got)
			}
			fits(t, []string{Spread(s, "right", w), Rule(Dark, s, "note", w), Rule(Dark, Focused+s, "", w)}, w)
			if w > 1 {
				fits(t, Wrap(ansi.Strip(s), w), w)
				fits(t, Chop(ansi.Strip(s), w), w)
			}
		}
	}
}

func TestChopLosesNothing(t *testing.T) {
	for _, s := range []string{strings.Repeat("abc ", 50), "日本語" + strings.Repeat("é", 40)} {
		if got := strings.Join(Chop(s, 7), ""); got != s {
			t.Errorf("Chop(%q) joined is %q", s, got)
		}
	}
}

func TestTable(t *testing.T) {
	tb := Table{Cols: []Col{{Title: "host"}, {Title: "gone", Width: Hidden}, {Title: "text", Grow: true}, {Title: "n", Width: 4, Right: true}}, Cursor: 40}
	for i := range 50 {
		tb.Rows = append(tb.Rows, []Cell{{Text: "chat"}, {Text: "secret"}, {Text: fmt.Sprintf("row %d", i), Role: Warn}, {Text: fmt.Sprint(i)}})
	}
	lines, at := tb.Lines(None, 30, 8)
	if len(lines) != 8 || at < 0 || !strings.Contains(ansi.Strip(lines[at]), "row 40") {
		t.Errorf("cursor line %d of:\n%s", at, bare(lines))
	}
	fits(t, lines, 30)
	if want := "  host  text                n"; !strings.HasPrefix(bare(lines), want[:12]) || strings.Contains(bare(lines), "secret") {
		t.Errorf("table:\n%s", bare(lines))
	}
	for w := 5; w < 60; w++ {
		lines, _ = tb.Lines(Dark, w, 8)
		fits(t, lines, w)
	}
}

func TestBarIsFullOnlyWhenDone(t *testing.T) {
	for w := 1; w < 50; w++ {
		if s := ansi.Strip(Bar(Dark, 999, 1000, w)); w > 1 && !strings.Contains(s, "─") {
			t.Errorf("w %d: bar is full at 999 of 1000: %s", w, s)
		}
		if s := ansi.Strip(Bar(Dark, 1000, 1000, w)); strings.Contains(s, "─") {
			t.Errorf("w %d: bar is not full at the end: %s", w, s)
		}
		if w > 1 && !strings.Contains(ansi.Strip(Bar(Dark, 1, 1e9, w)), "━") {
			t.Errorf("w %d: bar is empty though something is done", w)
		}
	}
	if Bar(Dark, 5, 0, 10) != "" {
		t.Error("a bar without a total says something")
	}
}

func TestFigures(t *testing.T) {
	got := []string{Span(42 * time.Second), Span(65 * time.Minute), Span(-76 * time.Hour), Rough(31*time.Minute + 10*time.Second), Rough(9*time.Minute + 5*time.Second),
		Ago(10 * time.Second), Ago(3 * time.Minute), Amount(1536, "B"), Amount(1234567, "rows"), Bytes(5 << 30), Thousands(-1234)}
	want := []string{"0:42", "1h 05m", "3d 4h", "31m", "9:05", "just now", "3 min ago", "1.5 KiB", "1,234,567 rows", "5.0 GiB", "-1,234"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestSpark(t *testing.T) {
	got := ansi.Strip(Spark(Dark, []float64{99, 1, 2, 8, -1, 1}, 5))
	if want := "▁▂█✗▁"; got != want {
		t.Errorf("spark %q, want %q", got, want)
	}
	if got := ansi.Strip(Spark(Dark, []float64{10, 11, 10, 12}, 6)); got != "▁▁▁▁  " {
		t.Errorf("jitter looks like peaks: %q", got)
	}
}

func TestRailKeepsWhereWeAre(t *testing.T) {
	stops := []Stop{{"assess", "passed", ""}, {"prepare", "passed", ""}, {"sign-off", "passed", ""}, {"cutover", "running", "1/3"}, {"soak", "pending", ""}, {"close", "pending", ""}}
	for w := 80; w > 15; w-- {
		s := ansi.Strip(Rail(Dark, stops, w))
		if Width(s) > w || w > 24 && !strings.Contains(s, "▸ cutover 1/3") {
			t.Errorf("w %d: %q", w, s)
		}
	}
}

func TestKeyBarKeepsTheWayToAllKeys(t *testing.T) {
	hints := []Hint{{"f", "follow"}, {"/", "search"}, {"?", "all keys"}}
	for w := 10; w < 60; w++ {
		if s := ansi.Strip(KeyBar(Dark, hints, w)); !strings.HasSuffix(s, "? all keys") || Width(s) > w {
			t.Errorf("w %d: %q", w, s)
		}
	}
}

func TestTyped(t *testing.T) {
	for got, want := range map[string]string{"": "pending", "ch": "running", "chat": "passed", "chats": "failed", "db": "failed"} {
		if ok, state, _ := Typed("chat", got); state != want || ok != (want == "passed") {
			t.Errorf("Typed(chat, %q) = %v, %s", got, ok, state)
		}
	}
}

func TestDiffKeepsSigns(t *testing.T) {
	d := "--- a\n+++ b\n@@ -1 +1 @@\n-PORT=3000\n+PORT=8088\x1b[2J\n"
	if got, want := bare(Diff(Dark, d, 40)), "--- a\n+++ b\n@@ -1 +1 @@\n-PORT=3000\n+PORT=8088"; got != want {
		t.Errorf("diff %q, want %q", got, want)
	}
}

func TestMarksAreOneCellAndHaveASCIITwins(t *testing.T) {
	for word, m := range marks {
		if Width(m.Glyph) != 1 {
			t.Errorf("%s: mark %q is %d cells", word, m.Glyph, Width(m.Glyph))
		}
		if a := ASCII(m.Glyph); a == "?" && m.Glyph != "?" || len(a) != 1 {
			t.Errorf("%s: mark %q has no ASCII twin", word, m.Glyph)
		}
	}
	if s := Rule(Dark, "title", "note", 30); Width(ASCII(s)) != Width(s) {
		t.Error("ASCII changes widths")
	}
}

func TestChecklist(t *testing.T) {
	items := []Item{{Text: "one", State: "passed", Note: "seen"}, {Text: "two", State: "waiting for you", Note: "waits", Role: Warn}}
	lines, at, page := Checklist(Dark, items, 1, 40, 10)
	if want := " 1 ✓ one\n     seen\n▌2 ◆ two\n▌    waits"; bare(lines) != want || at != 2 || page != (ListPage{0, 2, 1, 1}) {
		t.Errorf("at %d, %+v:\n%s", at, page, bare(lines))
	}
	// A note stands beside its text where the page is short of lines.
	if lines, _, _ := Checklist(Dark, items, 0, 40, 3); bare(lines) != "▌1 ✓ one  seen\n 2 ◆ two  waits" {
		t.Errorf("short of lines:\n%s", bare(lines))
	}
	// Nine items a page at most; long ones are wrapped, and none is lost.
	var many []Item
	for i := range 20 {
		many = append(many, Item{Text: fmt.Sprintf("item %d %s", i, strings.Repeat("long ", i)), State: "passed", Note: "seen 3 min ago"})
	}
	for _, h := range []int{1, 5, 14, 100} {
		seen := 0
		for cursor := 0; cursor < len(many); {
			lines, at, page := Checklist(Dark, many, cursor, 60, h)
			if page.First != cursor || page.Last-page.First > PageItems || at != 0 || len(lines) > h {
				t.Fatalf("height %d, cursor %d: at %d, %d lines, %+v", h, cursor, at, len(lines), page)
			}
			for i := page.First; i < page.Last && h > 5; i++ {
				if !strings.Contains(strings.Join(strings.Fields(strings.ReplaceAll(bare(lines), "▌", " ")), " "), strings.TrimSpace(many[i].Text)) {
					t.Errorf("height %d: item %d is not whole:\n%s", h, i, bare(lines))
				}
			}
			seen += page.Last - page.First
			cursor = page.Last
		}
		if seen != len(many) {
			t.Errorf("height %d: %d of %d items shown", h, seen, len(many))
		}
	}
}

func TestSVGIsWellFormedAndSteady(t *testing.T) {
	screen := Rule(Dark, "steps <&>", "", 40) + "\n" + Dark.Paint(Danger, " PRODUCTION ") + " plan \x1b[38;5;2mx\x1b[0m\x1b[1;93;104my\x1b[m"
	a := SVG(screen, 40, 2, "belay \"demo\"")
	if string(a) != string(SVG(screen, 40, 2, "belay \"demo\"")) {
		t.Error("two pictures of one screen differ")
	}
	for dec := xml.NewDecoder(strings.NewReader(string(a))); ; {
		if _, err := dec.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, a)
		}
	}
	if !strings.Contains(string(a), "PRODUCTION") || !strings.Contains(string(a), palette[1]) {
		t.Errorf("picture lacks its text or colour:\n%s", a)
	}
}

// Wrapping loses nothing but spaces, fits, and breaks a word only where no
// line could hold it.
func TestWrapLosesNothing(t *testing.T) {
	for _, s := range []string{
		"What the cutover does: stop who writes, copy, compare, start the new side, send users there.",
		"a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p", "  indented, and then some more of it", "/var/lib/docker/volumes/one-that-has-a-long-name/_data",
		"日本語のとても長い文字列です, and more", "x", "", "trailing  ", "one\ntwo, three\n\nfour",
		strings.Repeat("word-with-hyphens, ", 9),
	} {
		for w := 2; w < 60; w++ {
			lines := Wrap(s, w)
			fits(t, lines, w)
			bare := func(s string) string { return strings.Join(strings.Fields(s), "") }
			if got := bare(strings.Join(lines, " ")); got != bare(s) {
				t.Fatalf("%q at %d became %q", s, w, lines)
			}
			for _, word := range strings.Fields(s) {
				if Width(word) <= w && !slices.ContainsFunc(lines, func(l string) bool { return slices.Contains(strings.Fields(l), word) }) {
					t.Fatalf("%q at %d: %q is broken: %q", s, w, word, lines)
				}
			}
		}
	}
}

func TestCutMiddle(t *testing.T) {
	for _, c := range []struct {
		s    string
		w    int
		want string
	}{
		{"short", 30, "short"},
		{"Copy the database of the old server of tenant two", 33, "Copy the database of t…tenant two"},
		{"Копия базы данных одного старого арендатора 2", 31, "Копия базы данных…арендатора 2"},
		{"01234567890123456789012345678901234567890123456789", 26, "012345678901234…0123456789"},
		{"漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字", 30, "漢字漢字漢字漢字…漢字漢字漢字"},
		{"Copy the database of tenant two", 20, "Copy the database o…"}, // narrow
	} {
		if got := CutMiddle(c.s, c.w); Width(got) > c.w || got != c.want {
			t.Errorf("%q in %d: %q (%d), want %q", c.s, c.w, got, Width(got), c.want)
		}
	}
}
