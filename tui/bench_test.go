package tui

import (
	"fmt"
	"testing"

	bubble "charm.land/bubbles/v2/viewport"
	tea "charm.land/bubbletea/v2"
)

// From nothing to the first frame: model, snapshot, layout, drawing.
func BenchmarkFirstFrame(b *testing.B) {
	f := prepareMoment()
	o := Options{Env: []string{"LANG=C.UTF-8"}}.filled(f.dir)
	for b.Loop() {
		m := newModel(f, o)
		m.Update(tea.WindowSizeMsg{Width: 80, Height: 24})
		m.View()
	}
}

// One frame of the fullest screen, drawn anew.
func BenchmarkView80x24(b *testing.B) {
	f := prepareMoment()
	m := newModel(f, Options{Env: []string{"LANG=C.UTF-8"}}.filled(f.dir))
	m.Update(tea.WindowSizeMsg{Width: 80, Height: 24})
	for b.Loop() {
		m.dirty = true
		m.View()
	}
}

// A plan of five thousand steps costs no more than what is seen of it.
func BenchmarkView5000Steps(b *testing.B) {
	f := prepareMoment()
	for i := range 5000 {
		s := *f.plan.Prepare[0].Lanes[0].Steps[0]
		s.ID = fmt.Sprint("more-", i)
		f.plan.Prepare = append(f.plan.Prepare, one(&s)...)
	}
	m := newModel(f, Options{Env: []string{"LANG=C.UTF-8"}}.filled(f.dir))
	m.Update(tea.WindowSizeMsg{Width: 120, Height: 40})
	for b.Loop() {
		m.dirty = true
		m.View()
	}
}

// The same frame when nothing has changed.
func BenchmarkViewUnchanged(b *testing.B) {
	f := prepareMoment()
	m := newModel(f, Options{Env: []string{"LANG=C.UTF-8"}}.filled(f.dir))
	m.Update(tea.WindowSizeMsg{Width: 80, Height: 24})
	for b.Loop() {
		m.Update(tickMsg{})
		m.View()
	}
}

// The peer: nothing but a viewport of Bubbles with 24 rows of the same log.
func BenchmarkViewportPeerView80x24(b *testing.B) {
	f := prepareMoment()
	var lines []string
	for _, l := range f.logs["frontend"] {
		lines = append(lines, l.Text)
	}
	v := bubble.New(bubble.WithWidth(80), bubble.WithHeight(24))
	v.SoftWrap = true
	v.SetContentLines(lines)
	for b.Loop() {
		_ = v.View()
	}
}
