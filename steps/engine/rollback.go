package engine

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"belay/remote"
	"belay/steps"
	"belay/steps/journal"
	"belay/steps/plan"
)

// errBack says that the operator looked at the list and went on forward.
var errBack = errors.New("no rollback after all")

// rollback undoes every step that was begun, last first, once the operator has
// seen the list and agreed, and does what the chosen way has before and after
// that. Hosts that are not reached become debts.
func (e *Engine) rollback(ctx context.Context) error {
	if err := e.withdraw(); err != nil {
		return err
	}
	if e.Log.State().Rollback == nil {
		if err := e.askRollback(ctx); err != nil {
			return err
		}
	}
	if e.anyBegun() {
		if err := e.hold(ctx); err != nil {
			return err
		}
	}
	w := e.way()
	if w != nil {
		if err := e.groups(ctx, w.Before); err != nil {
			return err
		}
	}
	if err := e.undoAll(ctx); err != nil {
		return err
	}
	if w == nil {
		return nil
	}
	if e.unreached() {
		return e.note("what the way %q does after the undo waits until every host was reached: belay rollback", w.Name)
	}
	return e.groups(ctx, w.After)
}

// unreached tells whether a host still owes its undo because it was not
// reached; what a person chose to leave is settled.
func (e *Engine) unreached() bool {
	return slices.ContainsFunc(e.Log.State().Debts, func(d journal.Debt) bool { return d.Host != "" })
}

// undoAll takes back the stages' steps, last first.
func (e *Engine) undoAll(ctx context.Context) error {
	for _, stage := range slices.Backward(journal.Stages) {
		for _, g := range slices.Backward(e.Plan.Groups(stage)) {
			err := e.lanes(g, func(l plan.Lane) error {
				for _, s := range backward(l.Steps) {
					if cause := e.halts.cause(); cause != nil {
						return cause
					}
					if err := e.undo(ctx, s); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return e.halts.cause()
}

// withdraw closes the questions that going back makes idle.
func (e *Engine) withdraw() error {
	for _, q := range e.Log.State().Questions {
		st := e.Log.State().Step(q.Step)
		if w, _ := e.Plan.WayOf(q.Step); w != nil || q.Kind == journal.AskRollback || st.Undoing || st.Status == journal.UndoFailedSt {
			continue
		}
		a := journal.Answer{Question: q.ID, Choice: "withdrawn", Reason: "the run is rolled back", By: e.Author, Time: e.Now().UTC()}
		if err := e.closeQuestion(q, a); err != nil {
			return err
		}
	}
	return nil
}

// left says what becomes of what users wrote since the cutover. How much it is
// is counted while the question stands.
func (e *Engine) left() string {
	for id, d := range e.Log.State().Losses {
		if e.Log.State().Step(id).Status != journal.PassedStatus {
			continue
		}
		for _, l := range d.Of {
			if l.Synced != "" {
				return "What users wrote to the new side since the cutover comes along only where it is synced back: see what was written."
			}
		}
	}
	return "What users wrote to the new side since the cutover does not come along."
}

func (e *Engine) askRollback(ctx context.Context) error {
	items, none := e.toUndo()
	q := journal.Question{
		Kind: journal.AskRollback, Title: "Roll back?", Items: items,
		Text:    fmt.Sprintf("%d steps will be undone, last first.", len(items)),
		Options: append(e.wayOptions(), journal.Option{Choice: "back", Label: "do not roll back; return to the run"}, optStop),
	}
	// One that was left open may know neither what was done since nor the ways
	// back that are open now.
	if err := e.withdrawKind(journal.AskRollback, "asked anew"); err != nil {
		return err
	}
	if len(none) > 0 {
		q.Text += "\nThese have no way back and stay as they are: " + strings.Join(none, ", ") + "."
	}
	if e.Log.State().PastClose {
		q.Text += "\nThe migration was being closed: what users did since the cutover, and what close removed, will be lost."
	} else if !e.Log.State().Reached[journal.Soak].IsZero() {
		q.Text += "\n" + e.left()
	}
	leave := e.countLosses(ctx, lossEvery, lossFresh)
	e.awaitLosses()
	a, err := e.ask(ctx, q)
	leave()
	if err != nil {
		return err
	}
	if err := e.closeQuestion(q, a); err != nil {
		return err
	}
	switch a.Choice {
	case "back":
		return errBack
	case "stop":
		return errStop
	}
	way := ""
	if e.Plan.Way(a.Choice) != nil {
		way = a.Choice
	}
	return e.append(journal.Event{Type: journal.RollbackBegun, Key: way}, a)
}

// backward is the way back over steps: what mended one comes before it.
func backward(forward []*plan.Step) iter.Seq2[int, *plan.Step] {
	var all []*plan.Step
	for _, s := range forward {
		all = append(append(all, s), s.Mends()...)
	}
	return slices.Backward(all)
}

// toUndo lists what a rollback would undo, last first, and what it cannot.
func (e *Engine) toUndo() (items, none []string) {
	for _, s := range backward(e.Plan.Steps()) {
		switch st := e.Log.State().Step(s.ID); {
		case !begunButNotUndone(st):
		case !s.HasWayBack():
			none = append(none, s.Title)
		default:
			items = append(items, outline([]plan.Group{{Lanes: []plan.Lane{{Steps: []*plan.Step{s}}}}})...)
		}
	}
	return items, none
}

// begunButNotUndone: whatever was started may have changed something, also
// when it failed or nobody knows; what was found done is not ours to undo.
func begunButNotUndone(st journal.StepState) bool {
	switch st.Status {
	case journal.Pending, journal.Undone:
		return false
	}
	return st.Attempt > 0 && !st.Already
}

// undo takes one step back on all its hosts.
func (e *Engine) undo(ctx context.Context, s *plan.Step) error {
	st := e.Log.State().Step(s.ID)
	if !begunButNotUndone(st) {
		return nil
	}
	if !s.HasWayBack() {
		return e.noteOnce(fmt.Sprintf("%s: has no way back; it stays as it is", s.Title))
	}
	if _, asked := e.Log.State().Open(journal.AskFailed, s.ID); asked && st.Status == journal.UndoFailedSt {
		again, err := e.askUndoFailed(ctx, s, errors.New(st.Err))
		if err != nil || !again {
			return err
		}
	}
	for {
		if err := e.append(journal.Event{Type: journal.UndoStarted, Step: s.ID}, nil); err != nil {
			return err
		}
		begun := time.Now()
		answer, left, err := e.undoByHand(ctx, s)
		if left || err != nil {
			return err
		}
		debts, err := e.undoHosts(ctx, s, answer)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err == nil && len(debts) == 0 {
			return e.append(journal.Event{Type: journal.UndoDone, Step: s.ID}, journal.Passed{Took: since(begun)})
		}
		for _, d := range debts {
			ev := journal.Event{Type: journal.UndoFailed, Step: s.ID, Host: d.Host, Err: "not undone yet: " + d.Why}
			if err := e.append(ev, d); err != nil {
				return err
			}
		}
		if err == nil {
			return nil
		}
		again, err := e.askUndoFailed(ctx, s, err)
		if err != nil || !again {
			return err
		}
	}
}

func (e *Engine) noteOnce(text string) error {
	for _, n := range e.Log.State().Notes {
		if n.Text == text {
			return nil
		}
	}
	return e.append(journal.Event{Type: journal.Noted, Key: text}, nil)
}

// undoHosts undoes the step on each of its hosts. What a host could not do
// because it was not reached is a debt; anything else is an error.
func (e *Engine) undoHosts(ctx context.Context, s *plan.Step, answer string) (debts []journal.Debt, err error) {
	run, stop := e.running.begin(ctx)
	defer stop()
	var unreached = make(chan journal.Debt, len(hostsOf(s)))
	err = each(hostsOf(s), func(h string) error {
		if st := e.Log.State().Step(s.ID); st.Hosts[h] == journal.Undone {
			return nil
		}
		err := cause(run, e.undoOn(run, s, h, answer))
		var gone *remote.UnreachableError
		var lost *remote.LostError
		if errors.As(err, &gone) || errors.As(err, &lost) {
			unreached <- journal.Debt{Step: s.ID, Host: h, Why: err.Error(), Time: e.Now().UTC()}
			return nil
		}
		if err == nil && len(s.On) > 1 {
			return e.append(journal.Event{Type: journal.UndoDone, Step: s.ID, Host: h}, nil)
		}
		return err
	})
	close(unreached)
	for d := range unreached {
		debts = append(debts, d)
	}
	return debts, err
}

// undoOn takes the plan's own way back when it has one, else the kind's. answer
// is what the person typed who carried it out.
func (e *Engine) undoOn(ctx context.Context, s *plan.Step, host, answer string) error {
	env := e.env(s, host, false)
	logf(env.Log, "undo")
	if s.Undo == nil {
		return s.Do.(steps.Undoer).Undo(ctx, env)
	}
	looking, acting := e.env(s.Undo, host, true), e.env(s.Undo, host, false)
	looking.Log, acting.Log, acting.Answer = env.Log, env.Log, answer
	todo, err := s.Undo.Do.Pending(ctx, looking)
	if err != nil {
		return err
	}
	if len(todo) > 0 {
		if err := s.Undo.Do.Apply(ctx, acting); err != nil {
			return err
		}
	}
	return s.Undo.Do.Verify(ctx, looking)
}

// undoByHand has a person carry out a way back that belay cannot: a rollback
// that went on without would call undone what nobody did. left tells that it
// stays as a debt. answer is the proof, if one was asked for.
func (e *Engine) undoByHand(ctx context.Context, s *plan.Step) (answer string, left bool, err error) {
	if s.Undo == nil {
		return "", false, nil
	}
	asker, ok := s.Undo.Do.(steps.Asker)
	if !ok {
		return "", false, nil
	}
	said := true
	for _, h := range hostsOf(s) {
		todo, err := s.Undo.Do.Pending(ctx, e.env(s.Undo, h, true))
		if err != nil {
			return "", false, err
		}
		said = said && len(todo) == 0
	}
	if said {
		return "", false, nil
	}
	text, done := instruction(asker)
	a, err := e.ask(ctx, journal.Question{
		Kind: journal.AskManual, Step: s.ID, Undo: true, Title: fmt.Sprintf("Undo %q by hand", s.Title), Text: text,
		Options: []journal.Option{done, optDebt, optStop},
	})
	if err == nil {
		err = e.closeQuestion(journal.Question{ID: a.Question, Step: s.ID}, a)
	}
	switch {
	case err != nil:
		return "", false, err
	case a.Choice == "stop":
		return "", false, errStop
	case a.Choice == "skip":
		todo, _ := asker.Instruction()
		return "", true, e.leave(s, "nobody has carried out its way back: "+todo, a)
	}
	return a.Text, false, nil
}

// leave makes a step that is not undone a debt, because a person chose so.
func (e *Engine) leave(s *plan.Step, why string, a journal.Answer) error {
	return e.append(journal.Event{Type: journal.UndoFailed, Step: s.ID, Err: "left as a debt: " + a.Reason},
		journal.Debt{Step: s.ID, Why: why, Time: e.Now().UTC()})
}

// askUndoFailed puts a failed undo to the operator; again means try once more.
func (e *Engine) askUndoFailed(ctx context.Context, s *plan.Step, failed error) (again bool, err error) {
	ev := journal.Event{Type: journal.UndoFailed, Step: s.ID, Err: failed.Error()}
	if e.Log.State().Step(s.ID).Status != journal.UndoFailedSt {
		if err := e.append(ev, nil); err != nil {
			return false, err
		}
	}
	a, err := e.ask(ctx, journal.Question{
		Kind: journal.AskFailed, Step: s.ID,
		Title:   fmt.Sprintf("Undoing %q failed", s.Title),
		Text:    fmt.Sprintf("%v\nThe steps before it are not undone yet; those after it are.", failed),
		Options: []journal.Option{optRetry, optDebt, optStop},
	})
	if err != nil {
		return false, err
	}
	if err := e.closeQuestion(journal.Question{ID: a.Question, Step: s.ID}, a); err != nil {
		return false, err
	}
	switch a.Choice {
	case "retry":
		return true, nil
	case "stop":
		return false, errStop
	}
	return false, e.leave(s, failed.Error(), a)
}
