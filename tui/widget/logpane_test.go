package widget

import (
	"fmt"
	"strings"
	"testing"

	bubble "charm.land/bubbles/v2/viewport"
	"github.com/charmbracelet/x/ansi"
)

// made is a log of n lines that are made when they are asked for; it counts
// how many that were.
type made struct {
	n     int
	asked int
	text  func(i int) string
}

func (m *made) Len() int { return m.n }

func (m *made) Lines(from, n int) []Line {
	var out []Line
	for i := max(from, 0); i < min(from+n, m.n); i++ {
		text := fmt.Sprintf("line %d of the log", i)
		if m.text != nil {
			text = m.text(i)
		}
		out = append(out, Line{Text: text, Tag: "chat"})
	}
	m.asked += len(out)
	return out
}

func pane(src Source, w, h int) *LogPane {
	p := &LogPane{}
	p.Resize(w, h)
	p.Show(src)
	p.Refresh()
	return p
}

func seen(p *LogPane) []string {
	lines, _ := p.Lines(None)
	for i, l := range lines {
		lines[i] = strings.TrimSpace(ansi.Strip(l))
	}
	return lines
}

func TestPaneAsksOnlyForWhatIsInView(t *testing.T) {
	src := &made{n: 1_000_000}
	p := pane(src, 80, 20)
	if src.asked > 50 {
		t.Errorf("asked for %d lines to show 20", src.asked)
	}
	p.GoTo(500_000)
	p.Refresh()
	if got := seen(p); got[20/3] != "▸line 500000 of the log" || src.asked > 150 {
		t.Errorf("line 500000 is not in view, or %d lines were read: %q", src.asked, got)
	}
	asked := src.asked
	for range 10 {
		p.Refresh()
	}
	if src.asked != asked {
		t.Errorf("a still log was read %d lines more", src.asked-asked)
	}
}

func TestPaneFollowsHoldsAndCounts(t *testing.T) {
	src := &made{n: 100}
	p := pane(src, 80, 5)
	src.n = 101
	if !p.Refresh() || seen(p)[4] != "line 100 of the log" {
		t.Fatalf("does not follow: %q", seen(p))
	}
	p.Scroll(-2)
	src.n = 413
	p.Refresh()
	if got := seen(p); got[4] != "line 98 of the log" || p.New() != 312 {
		t.Errorf("does not hold still (%d new): %q", p.New(), got)
	}
	if s := ansi.Strip(p.Position(None)); !strings.Contains(s, "▼ 312 new") {
		t.Errorf("position %q", s)
	}
	p.ToggleFollow()
	p.Refresh()
	if got := seen(p); got[4] != "line 412 of the log" || p.New() != 0 {
		t.Errorf("does not take following up again: %q", got)
	}
}

func TestPaneScrollsByRowsOfWrappedLines(t *testing.T) {
	src := &made{n: 10, text: func(i int) string { return fmt.Sprintf("%d%s", i, strings.Repeat(string(rune('a'+i)), 24)) }}
	p := pane(src, 11, 4) // 10 cells of text: three rows a line
	p.Wrap = true
	p.Refresh()
	bottom := seen(p)
	if bottom[3] != "jjjjj" {
		t.Fatalf("bottom %q", bottom)
	}
	for range 50 {
		p.Scroll(-1)
		p.Refresh()
	}
	if got := seen(p)[0]; got != "0aaaaaaaaa" {
		t.Fatalf("top %q", got)
	}
	var all []string
	all = append(all, seen(p)...)
	for range 26 {
		p.Scroll(1)
		p.Refresh()
		all = append(all, seen(p)[3])
	}
	if len(all) != 30 || all[29] != "jjjjj" {
		t.Errorf("scrolled through %d rows to %q", len(all), all[len(all)-1])
	}
	for i, row := range all {
		if want := 10; i%3 != 2 && len(row) != want {
			t.Errorf("row %d is %q", i, row)
		}
	}
}

func TestPaneSideways(t *testing.T) {
	src := &made{n: 1, text: func(int) string { return "0123456789abcdefghij" }}
	p := pane(src, 11, 2)
	if got := seen(p)[0]; got != "012345678…" {
		t.Errorf("cut to %q", got)
	}
	p.Sideways(12)
	p.Refresh()
	if got := seen(p)[0]; got != "…defghij" {
		t.Errorf("scrolled to %q", got)
	}
}

func TestFind(t *testing.T) {
	src := &made{n: 20_000, text: func(i int) string {
		if i == 7_000 || i == 15_000 {
			return "here is the Needle"
		}
		return "hay"
	}}
	find := func(q string, from int, back bool) int {
		for {
			line, next := Find(src, Contains(q), from, 3000, back)
			if line >= 0 || next < 0 {
				return line
			}
			from = next
		}
	}
	for _, tt := range []struct {
		q    string
		from int
		back bool
		want int
	}{{"needle", 0, false, 7000}, {"needle", 7001, false, 15000}, {"needle", 19999, true, 15000}, {"needle", 14999, true, 7000},
		{"needle", 15001, false, -1}, {"needle", 6999, true, -1}, {"Needle", 0, false, 7000}, {"NEEDLE", 0, false, -1}} {
		if got := find(tt.q, tt.from, tt.back); got != tt.want {
			t.Errorf("find %q from %d (back %v): %d, want %d", tt.q, tt.from, tt.back, got, tt.want)
		}
	}
}

func TestHighlight(t *testing.T) {
	got := highlight(Dark, "Port port PORT", "port")
	if ansi.Strip(got) != "Port port PORT" || strings.Count(got, Dark.pre[Found]) != 3 {
		t.Errorf("highlight %q", got)
	}
}

func TestFailure(t *testing.T) {
	for text, want := range map[string]bool{"Error: no such file": true, "Permission DENIED": true, "all good": false, "failover ready": true, "ok": false} {
		if Failure(text) != want {
			t.Errorf("Failure(%q) = %v", text, !want)
		}
	}
}

const million = 1_000_000

func BenchmarkLogPaneMillion(b *testing.B) {
	line := strings.Repeat("GET /api/v1/messages 200 12ms ", 4)
	src := &made{n: million, text: func(int) string { return line }}
	b.Run("follow", func(b *testing.B) { // one line comes, the pane is drawn
		p := pane(src, 80, 24)
		for b.Loop() {
			src.n++
			p.Refresh()
			p.Lines(Dark)
		}
	})
	src.n = million
	b.Run("jump", func(b *testing.B) {
		p := pane(src, 80, 24)
		p.Wrap = true
		for i := 0; b.Loop(); i++ {
			p.GoTo(i * 7919 % million)
			p.Refresh()
			p.Lines(Dark)
		}
	})
	b.Run("search", func(b *testing.B) { // the whole log, in vain
		for b.Loop() {
			for from := 0; from >= 0; {
				_, from = Find(src, Contains("not there"), from, 1<<17, false)
			}
		}
	})
}

// The peer: the viewport of Bubbles with the same lines.
func BenchmarkViewportPeer(b *testing.B) {
	line := strings.Repeat("GET /api/v1/messages 200 12ms ", 4)
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprintf("follow/%d", n), func(b *testing.B) {
			lines := make([]string, n)
			for i := range lines {
				lines[i] = line
			}
			v := bubble.New(bubble.WithWidth(80), bubble.WithHeight(24))
			for b.Loop() {
				lines = append(lines, line)
				v.SetContentLines(lines)
				v.GotoBottom()
				_ = v.View()
			}
		})
	}
}
