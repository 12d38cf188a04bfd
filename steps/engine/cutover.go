package engine

import (
	"context"
	"strings"

	"belay/steps/journal"
	"belay/steps/plan"
)

// cutover has its gate passed, once, and does its steps.
func (e *Engine) cutover(ctx context.Context) error {
	if len(e.Plan.Cutover) == 0 {
		return nil
	}
	if !e.begun(e.Plan.Cutover) {
		if err := e.awaitBaseline(); err != nil {
			return err
		}
		if err := e.signed(ctx); err != nil {
			return err
		}
		e.measured()
		if err := e.mark(ctx); err != nil {
			return err
		}
		if err := e.markBegun(ctx); err != nil {
			return err
		}
	}
	return e.groups(ctx, e.Plan.Cutover)
}

// begun tells whether any step of the groups has been started.
func (e *Engine) begun(groups []plan.Group) bool {
	s := e.Log.State()
	for _, g := range groups {
		for _, l := range g.Lanes {
			for _, st := range l.Steps {
				if s.Step(st.ID).Status != journal.Pending {
					return true
				}
			}
		}
	}
	return false
}

// judgeCutover tells what stands against cutting over at this very moment,
// which may not be the one that the question was asked in.
func (e *Engine) judgeCutover(s *journal.State, a journal.Answer) error {
	if outside := e.against(); outside != "" && strings.TrimSpace(a.Reason) == "" {
		return journal.Refuse("%s To cut over all the same wants a reason", outside)
	}
	if err := e.judgeStarter(s, a); err != nil {
		return err
	}
	return e.judgeProofs(s)
}

// outsideWindow says how now lies outside of the plan's window; "" inside it,
// and where the plan has none.
func (e *Engine) outsideWindow() string {
	w := e.Plan.Window
	if w == nil {
		return ""
	}
	switch now, end := e.Now(), w.Start.Add(w.Length); {
	case now.Before(w.Start):
		return "The window has not begun: it opens at " + w.Start.Format("2006-01-02 15:04 MST") + "."
	case now.After(end):
		return "The window is over: it closed at " + end.Format("2006-01-02 15:04 MST") + "."
	}
	return ""
}

func (e *Engine) cutoverText(outside string) string {
	text := "From here on the old service is frozen and then switched off; it is not deleted."
	if outside != "" {
		text += "\n" + outside + " To cut over all the same wants a reason."
	}
	if none := noWayBack(e.Plan.Cutover); len(none) > 0 {
		text += "\nWithout a way back: " + strings.Join(none, ", ") + "."
	}
	return text
}

// gateWord is what has to be typed at the gates that have no single key: the
// name of the first host that the cutover touches.
func (e *Engine) gateWord() string {
	for _, groups := range [][]plan.Group{e.Plan.Cutover, e.Plan.Prepare, e.Plan.Close} {
		for _, g := range groups {
			for _, l := range g.Lanes {
				for _, s := range l.Steps {
					if len(s.On) > 0 {
						return s.On[0]
					}
				}
			}
		}
	}
	return e.Plan.Name
}

// outline lists steps for a question: "Stop Stoat Chat (chat)".
func outline(groups []plan.Group) []string {
	var all []string
	for _, g := range groups {
		for _, l := range g.Lanes {
			all = append(all, outlineSteps(l.Steps)...)
		}
	}
	return all
}

func outlineSteps(list []*plan.Step) []string {
	var all []string
	for _, s := range list {
		line := s.Title
		if len(s.On) > 0 {
			line += " (" + strings.Join(s.On, ", ") + ")"
		}
		all = append(all, line)
	}
	return all
}

func noWayBack(groups []plan.Group) []string {
	var none []string
	for _, g := range groups {
		for _, l := range g.Lanes {
			for _, s := range l.Steps {
				if !s.HasWayBack() {
					none = append(none, s.Title)
				}
			}
		}
	}
	return none
}

// close is the point of no return, and what comes after it.
func (e *Engine) close(ctx context.Context) error {
	q := journal.Question{
		Kind:  journal.AskClose,
		Title: "Close the migration?",
		Text:  "The way back ends here: what close does may take away what a rollback would need.",
		Items: outline(e.Plan.Close),
		Options: []journal.Option{
			{Choice: "close", Label: "close it", Type: e.gateWord(), Needs: "name", Danger: true},
			optRollback, optStop,
		},
	}
	if len(e.Plan.Close) == 0 {
		q.Text = "Nothing is left to be done. Closing says that nobody will go back; the old service stays as it is."
	}
	if len(e.Log.State().Rehearsal) > 0 {
		practise(&q)
	}
	if !e.begun(e.Plan.Close) {
		leave := e.countLosses(ctx, lossEvery, lossEvery)
		_, err := e.decide(ctx, q)
		leave()
		if err != nil {
			return err
		}
	}
	return e.groups(ctx, e.Plan.Close)
}
