package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"belay/steps/run"
)

// wayOpen refuses a way back that the plan does not have, or not yet, or no
// longer.
func wayOpen(r *run.Run, name string) error {
	p, s := r.Plan(), r.State()
	if name == "" {
		return nil
	}
	var has, open []string
	for _, w := range p.Ways {
		has = append(has, w.Name)
	}
	for _, w := range p.WaysFrom(s) {
		open = append(open, w.Name)
	}
	var wrong string
	switch {
	case len(has) == 0:
		wrong = "the plan has one way back only; leave --way out"
	case p.Way(name) == nil:
		wrong = fmt.Sprintf("the plan has no way back %q; it has %s", name, strings.Join(has, ", "))
	case s.Rollback != nil && s.Way != name:
		wrong = fmt.Sprintf("the rollback has begun already, by %s; leave --way out to take it up", cmp.Or(s.Way, "undoing at once"))
	case s.Rollback == nil && !slices.Contains(open, name):
		wrong = fmt.Sprintf("way back %q is offered once %s has begun; before that leave --way out", name, p.Way(name).From)
	default:
		return nil
	}
	return usageError{fmt.Errorf("run %s: %s; nothing was done", r.ID(), wrong)}
}
