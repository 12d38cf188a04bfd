package run

import (
	"context"
	"fmt"
	"path/filepath"

	"belay/steps"
	"belay/steps/journal"
	"belay/steps/journal/pg"
	"belay/steps/plan"
)

// Looked is a Session of a run that a belay on another machine drives: it
// reads the journal in the database and can say nothing. Logs are kept where
// the run is driven; here they are empty.
type Looked struct {
	logs
	id   string
	plan *plan.Plan
	tail *pg.Tail
}

var _ Session = (*Looked)(nil)

// Look begins to follow a run over its database.
func Look(ctx context.Context, store *pg.Store, id string, kinds plan.Kinds) (*Looked, error) {
	p, err := SharedPlan(ctx, store, id, kinds)
	if err != nil {
		return nil, err
	}
	tail, err := store.Tail(ctx, id)
	if err != nil {
		return nil, err
	}
	return &Looked{newLogs(filepath.Join("elsewhere", id), p), id, p, tail}, nil
}

// SharedPlan is the plan that the database keeps of a run.
func SharedPlan(ctx context.Context, store *pg.Store, id string, kinds plan.Kinds) (*plan.Plan, error) {
	files, err := store.Files(ctx, id)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("run %s: its plan is not in the database", id)
	}
	var overlays []plan.File
	for _, f := range files[1:] {
		overlays = append(overlays, plan.File{Path: f.Name, Source: f.Body})
	}
	return plan.Load(files[0].Name, files[0].Body, kinds, overlays...)
}

// Close leaves; the run goes on.
func (l *Looked) Close() error { return l.tail.Close() }

// Plan is the run's plan.
func (l *Looked) Plan() *plan.Plan { return l.plan }

// Dir is where the run directory would be if this machine had one.
func (l *Looked) Dir() string { return l.id }

// State is what was read last.
func (l *Looked) State() *journal.State { return l.tail.State() }

// Holder is who drives the run; nil when nobody does.
func (l *Looked) Holder() *Holder { return l.tail.Live() }

// Live tells whether somebody still drives the run. Progress and lights are
// known only where it is driven.
func (l *Looked) Live() Live {
	live := Live{Progress: map[string]map[string]steps.Progress{}, Lights: map[string]Light{}}
	switch damage, lost := l.tail.Err(), l.tail.Lost(); {
	case damage != nil:
		live.Ended, live.Err = true, damage
	case lost != nil:
		live.Err = fmt.Errorf("what is shown may be old: %w; trying again", lost)
	case l.tail.Live() == nil:
		live.Ended = true
		if !l.State().HasEnded() {
			live.Err = &NoKeeperError{l.id}
		}
	}
	return live
}

func (l *Looked) refuse() error {
	if h := l.tail.Live(); h != nil {
		return journal.Refuse("this is a look from afar: %s drives the run on %s (pid %d), answer it there. When that machine is gone, take the run over with: belay resume %s. Nothing was done",
			h.By.WhoFrom(), h.Host, h.PID, l.id)
	}
	return journal.Refuse("nobody drives the run now; take it over with: belay resume %s. Nothing was done", l.id)
}

// Answer refuses: whoever looks from afar has no pen.
func (l *Looked) Answer(context.Context, journal.Answer) error { return l.refuse() }

// Request refuses, too.
func (l *Looked) Request(context.Context, Request) error { return l.refuse() }

// Prompt is nil: prompts are asked where the run is driven.
func (l *Looked) Prompt() *Prompt { return nil }
