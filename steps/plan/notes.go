package plan

import (
	"fmt"
	"time"
)

// Note is what somebody should know of a plan that has no problems.
type Note struct {
	Line int // of the plan file; 0: of no line of its own
	Text string
}

// Notes are what belay check says besides "no problems", at the time now.
func (p *Plan) Notes(now time.Time) (all []Note) {
	for _, w := range p.Ways {
		steps := "1 step"
		if n := len(w.Steps()); n != 1 {
			steps = fmt.Sprintf("%d steps", n)
		}
		all = append(all, Note{w.Line, fmt.Sprintf("way back %q, offered from the %s on: %s around the undo", w.Name, w.From, steps)})
	}
	if w := p.Window; w != nil && now.After(w.Start.Add(w.Length)) {
		all = append(all, Note{0, "the window is over since " + w.Start.Add(w.Length).Format(time.RFC3339)})
	}
	for _, s := range p.Steps() {
		if !s.HasWayBack() {
			all = append(all, Note{s.Line, fmt.Sprintf("%q has no way back", s.Title)})
		}
	}
	return all
}
