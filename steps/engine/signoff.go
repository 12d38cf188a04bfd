package engine

import (
	"context"
	"fmt"
	"strings"

	"belay/steps/journal"
	"belay/steps/plan"
)

// signoff shows the checklist until enough people say go. The go of each is
// bound to the plan's hash by the journal, which opens with it.
func (e *Engine) signoff(ctx context.Context) error {
	if len(e.Plan.Signoff) == 0 && len(e.Plan.Cutover) == 0 {
		return nil
	}
	defer e.standGuard(ctx)()
	for {
		if err := e.evidence(); err != nil {
			return err
		}
		if s := e.Log.State(); e.enough(s) {
			return e.closeSigned(s)
		}
		q := journal.Question{
			Kind:  journal.AskSignoff,
			Title: "Go or no-go?",
			Text:  fmt.Sprintf("Plan %.12s. %s", e.Plan.Hash, e.Plan.Approvers.Need()),
			Options: []journal.Option{
				{Choice: "sign", Label: "sign an item", Needs: "name"},
				{Choice: "go", Label: "go", Needs: e.goNeeds()},
				{Choice: "recheck", Label: "look again at the machine's items"},
				{Choice: "no-go", Label: "no-go", Needs: "reason"},
				optRollback, optStop,
			},
		}
		for _, it := range e.Plan.Signoff {
			q.Items = append(q.Items, it.ID)
		}
		a, err := e.ask(ctx, q)
		if err != nil {
			return err
		}
		if err := e.Judge(q, a); err != nil {
			continue // things changed since it was given
		}
		if err := e.takeSignoff(ctx, q, a); err != nil {
			return err
		}
	}
}

// takeSignoff records one answer at the gate.
func (e *Engine) takeSignoff(ctx context.Context, q journal.Question, a journal.Answer) error {
	switch a.Choice {
	case "sign":
		a.Bound = e.Log.State().Basis(false)
		return e.append(journal.Event{Type: journal.Signed, Key: a.Item}, a)
	case "recheck":
		if err := e.proveAll(ctx); err != nil {
			return err
		}
		return e.look(ctx)
	case "go":
		return e.takeGo(a)
	}
	if err := e.closeQuestion(q, a); err != nil {
		return err
	}
	return map[string]error{"no-go": errNoGo, "rollback": errRollback, "stop": errStop}[a.Choice]
}

// enough tells whether the gate is open: every item holds, and the people that
// the plan wants have said go to what there is now.
func (e *Engine) enough(s *journal.State) bool {
	return len(plan.Missing(e.Plan.Seats(s))) == 0 && e.unshaken(s) && e.judgeItems(s) == nil && e.judgeProofs(s) == nil
}

// closeSigned closes the gate's question with the go that opened it.
func (e *Engine) closeSigned(s *journal.State) error {
	q, ok := s.Open(journal.AskSignoff, "")
	if !ok {
		return nil
	}
	signed := s.Items[journal.GoItem].Signed
	return e.closeQuestion(q, signed[len(signed)-1])
}

// evidence fills in the machine's items from what is recorded, and makes the
// people's items known.
func (e *Engine) evidence() error {
	e.filling.Lock()
	defer e.filling.Unlock()
	s := e.Log.State()
	for _, it := range e.Plan.Signoff {
		now := journal.ItemState{ID: it.ID, Text: it.Text, Machine: it.Machine(), Time: e.Now().UTC()}
		old, aged := s.Items[it.ID], false
		if it.Machine() {
			now.OK, now.Evidence = e.judgeItem(s, it)
			aged = e.proved(s, it, &now)
		} else if old != nil {
			continue
		}
		if old != nil && old.OK == now.OK && old.Evidence == now.Evidence && (!aged || old.Time.Equal(now.Time)) {
			continue
		}
		if err := e.append(journal.Event{Type: journal.Evidence, Key: it.ID}, now); err != nil {
			return err
		}
	}
	return e.voidShaken()
}

// judgeItem tells whether a machine's item holds, and what was seen.
func (e *Engine) judgeItem(s *journal.State, it plan.Item) (bool, string) {
	var todo []*plan.Step
	switch {
	case it.Finding != "":
		return judgeFinding(s, it.Finding)
	case it.Step != "":
		todo = []*plan.Step{e.Plan.Step(it.Step)}
	default:
		for _, st := range e.Plan.Steps() {
			if st.Stage == it.Stage {
				todo = append(todo, st)
			}
		}
		if it.Stage == journal.Assess {
			blocks, open := s.Standing()
			return len(blocks)+len(open) == 0, fmt.Sprintf("%d findings, %d block, %d not accepted", len(s.Findings), len(blocks), len(open))
		}
	}
	passed, left := 0, []string{}
	for _, st := range todo {
		switch now := s.Step(st.ID); {
		case now.Status == journal.PassedStatus:
			passed++
		case now.Status == journal.Skipped && now.Reason != nil:
			left = append(left, fmt.Sprintf("%s was skipped by %s (%s)", st.ID, now.Reason.By.Who(), now.Reason.Reason))
		default:
			left = append(left, fmt.Sprintf("%s is %s", st.ID, now.Status))
		}
	}
	seen := fmt.Sprintf("%d of %d steps passed", passed, len(todo))
	if len(left) > 0 {
		seen += ": " + strings.Join(left, ", ")
	}
	// What a person skipped with a reason was that person's decision.
	for _, st := range todo {
		if now := s.Step(st.ID); now.Status != journal.PassedStatus && now.Status != journal.Skipped && !st.Optional {
			return false, seen
		}
	}
	return true, seen
}

func judgeFinding(s *journal.State, check string) (bool, string) {
	var seen []string
	ok := false
	for i, f := range s.Findings {
		if f.Check != check {
			continue
		}
		_, accepted := s.Accepted[f.ID]
		good := f.Level == "pass" || f.Level != "block" && accepted
		ok = good && (ok || len(seen) == 0)
		seen = append(seen, s.Findings[i].Text)
	}
	if len(seen) == 0 {
		return false, "no finding of that name: assess again"
	}
	return ok, strings.Join(seen, "; ")
}

func (e *Engine) judgeSign(s *journal.State, a journal.Answer) error {
	for _, it := range e.Plan.Signoff {
		if it.ID != a.Item {
			continue
		}
		if it.Machine() {
			return journal.Refuse("%q is filled in by belay itself; it cannot be signed", it.Text)
		}
		return nil
	}
	return journal.Refuse("there is no item %q on the checklist", a.Item)
}

// judgeItems tells which item does not hold yet.
func (e *Engine) judgeItems(s *journal.State) error {
	for _, it := range e.Plan.Signoff {
		switch now := s.Items[it.ID]; {
		case now == nil || !now.OK && !it.Machine():
			return journal.Refuse("not yet: %q is not signed", it.Text)
		case !now.OK:
			return journal.Refuse("not yet: %q does not hold (%s)", it.Text, now.Evidence)
		}
	}
	return nil
}

func (e *Engine) judgeGo(s *journal.State, a journal.Answer) error {
	if err := e.judgeItems(s); err != nil {
		return err
	}
	if err := e.judgeProofs(s); err != nil {
		return err
	}
	return e.judgePerson(s, a)
}
