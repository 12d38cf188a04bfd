package engine

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"belay/remote"
	"belay/remote/job"
	"belay/steps"
	"belay/steps/journal"
	"belay/steps/plan"
)

// outcomeUnknown tells whether err leaves open how a command ended.
func outcomeUnknown(err error) bool {
	var lost *remote.LostError
	var unknown *job.UnknownError
	return errors.As(err, &lost) || errors.As(err, &unknown)
}

// askFailed puts a failed step to the operator and does what was chosen. Where
// mending was chosen before a crash, that is taken up.
func (e *Engine) askFailed(ctx context.Context, s *plan.Step, st journal.StepState) error {
	m, err := e.mending(s, st)
	if err != nil {
		return err
	}
	if m != nil {
		return e.mend(ctx, s, st, m)
	}
	fit := e.hints(s, st)
	q := journal.Question{
		Kind: journal.AskFailed, Step: s.ID,
		Title:   fmt.Sprintf("%q failed", s.Title),
		Text:    e.failureText(s, st, fit),
		Options: append([]journal.Option{optRetry, optRecheck, optSkip}, e.turns(s)...),
	}
	remedy := e.remedy(fit)
	if remedy != nil {
		q.Options = slices.Insert(q.Options, 0, journal.Option{Choice: "mend", Label: "mend it as the plan says (below), then try again", Danger: true})
		q.Items = outline([]plan.Group{{Lanes: []plan.Lane{{Steps: []*plan.Step{remedy}}}}})
	}
	a, err := e.decide(ctx, q)
	if err != nil {
		return err
	}
	switch a.Choice {
	case "mend":
		return e.mend(ctx, s, st, remedy)
	case "retry":
		return e.attempts(ctx, s)
	case "recheck":
		return e.recheck(ctx, s)
	default:
		return e.append(journal.Event{Type: journal.StepSkipped, Step: s.ID, Err: st.Err}, a)
	}
}

// remedy is the first mending step of the hints that was not done yet; nil when
// there is none.
func (e *Engine) remedy(fit []plan.Hint) *plan.Step {
	for _, h := range fit {
		if h.Mend != nil && !done(h.Mend, e.Log.State().Step(h.Mend.ID)) {
			return h.Mend
		}
	}
	return nil
}

// chosen is what a failed step remembers of the choice to mend it.
type chosen struct {
	Mend   string    // the mending step's id
	Failed time.Time // the failure that it was chosen for
}

const mendKey = "engine.mend"

// mending is the step that was chosen to mend this very failure; nil when none
// was.
func (e *Engine) mending(s *plan.Step, st journal.StepState) (*plan.Step, error) {
	var c chosen
	if ok, err := (memory{e, s.ID, ""}).Get(mendKey, &c); err != nil || !ok || !c.Failed.Equal(st.Ended) {
		return nil, err
	}
	return e.Plan.Step(c.Mend), nil
}

// mend carries out m as a step of its own, with questions of its own, and
// tries s again.
func (e *Engine) mend(ctx context.Context, s *plan.Step, st journal.StepState, m *plan.Step) error {
	if err := (memory{e, s.ID, ""}).Put(mendKey, chosen{m.ID, st.Ended}); err != nil {
		return err
	}
	if err := e.step(ctx, m); err != nil {
		return err
	}
	return e.attempts(ctx, s)
}

// failureText says what happened, what was and was not changed, and what the
// plan's hints make of it.
func (e *Engine) failureText(s *plan.Step, st journal.StepState, fit []plan.Hint) string {
	var b strings.Builder
	what, rest := st.Err, ""
	if len(fit) > 0 { // the cause before the end of the log, which may fill a screen
		what, rest, _ = strings.Cut(st.Err, "\n")
	}
	fmt.Fprintf(&b, "%s\n", what)
	for _, h := range fit {
		fmt.Fprintf(&b, "Likely cause: %s\n", h.Cause)
		if h.Fix != "" {
			fmt.Fprintf(&b, "What to do: %s\n", h.Fix)
		}
		if h.Mend != nil && done(h.Mend, e.Log.State().Step(h.Mend.ID)) {
			b.WriteString("The plan's remedy for this was carried out already.\n")
		}
	}
	if st.Attempt == 0 {
		b.WriteString("Nothing was changed by this step.\n")
	} else {
		fmt.Fprintf(&b, "Attempt %d may have changed part of what it set out to change; what went before it stands.\n", st.Attempt)
	}
	if w, _ := e.Plan.WayOf(s.ID); w == nil && !s.HasWayBack() {
		b.WriteString("This step has no way back of its own.\n")
	}
	b.WriteString(rest)
	return strings.TrimSpace(b.String())
}

// hints are the plan's and the kind's explanations that fit the error or the
// end of the log.
func (e *Engine) hints(s *plan.Step, st journal.StepState) []plan.Hint {
	lines := strings.Split(st.Err, "\n")
	if e.Tail != nil {
		for _, h := range hostsOf(s) {
			lines = append(lines, e.Tail(s.ID, h)...)
		}
	}
	var fit []plan.Hint
	for _, h := range s.AllHints() {
		if re, err := regexp.Compile(h.Match); err == nil && slices.ContainsFunc(lines, re.MatchString) {
			fit = append(fit, h)
		}
	}
	return fit
}

// recheck takes the operator's word that it was fixed, and looks.
func (e *Engine) recheck(ctx context.Context, s *plan.Step) error {
	look := *s
	if r, ok := s.Do.(steps.Rechecker); ok {
		look.Do = fixed{s.Do, r}
	}
	todo, changes, err := e.pending(ctx, &look, hostsOf(s))
	if err == nil && len(todo) == 0 {
		err = e.verify(ctx, s, hostsOf(s))
	} else if err == nil {
		err = fmt.Errorf("checked again: still to do: %s", changes[0].Text)
	}
	if err != nil {
		return e.fail(ctx, s, err)
	}
	return e.append(journal.Event{Type: journal.StepPassed, Step: s.ID}, journal.Passed{})
}

// fixed is a step whose Pending is asked after a person's word that what
// failed is fixed.
type fixed struct {
	steps.Step
	steps.Rechecker
}

func (f fixed) Pending(ctx context.Context, e steps.Env) ([]steps.Change, error) {
	return f.Recheck(ctx, e)
}

// maxUnaided is how often an unknown outcome is looked into without a person.
const maxUnaided = 3

// resolve finds out about a step that began and was not seen to end: work that
// went on by itself is taken up; nothing left to do and a good proof mean
// passed; what may be done twice is done again; else a person decides, as they
// do when it stays unknown after a few tries.
func (e *Engine) resolve(ctx context.Context, s *plan.Step, st journal.StepState, try int) error {
	open := unfinished(s, st)
	if try > maxUnaided {
		return e.askUnknown(ctx, s, st, nil, nil)
	}
	going, open := e.underway(s, open)
	if len(open) == 0 {
		logf(e.Output(s.ID, going[0]), "taking up what was left running")
		return e.apply(ctx, s, going, time.Time{})
	}
	if _, manual := s.Do.(steps.Asker); manual {
		return e.apply(ctx, s, open, time.Time{})
	}
	todo, changes, err := e.pending(ctx, s, open)
	if err == nil && len(todo) == 0 {
		if err = e.verify(ctx, s, open); err == nil && len(going) > 0 {
			return e.apply(ctx, s, going, time.Time{}) // those that ended are proved; the others are taken up
		} else if err == nil {
			return e.append(journal.Event{Type: journal.StepPassed, Step: s.ID}, journal.Passed{})
		}
	}
	if err == nil && repeatable(s) {
		if waited, err := e.inTime(ctx, s); waited || err != nil {
			return err // with the answer, it is looked into again
		}
		ev := journal.Started{Attempt: st.Attempt + 1, Changes: changes}
		if err := e.append(journal.Event{Type: journal.StepStarted, Step: s.ID}, ev); err != nil {
			return err
		}
		return e.apply(ctx, s, append(todo, going...), time.Time{})
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return e.askUnknown(ctx, s, st, changes, err)
}

// unfinished returns the hosts on which the step was not seen to end.
func unfinished(s *plan.Step, st journal.StepState) []string {
	var open []string
	for _, h := range hostsOf(s) {
		if st.Hosts[h] != journal.PassedStatus {
			open = append(open, h)
		}
	}
	if len(open) == 0 {
		return hostsOf(s) // it broke after the last host: proving all again is harmless
	}
	return open
}

// underway parts the unfinished shares of a step into those that can be taken
// up and the others.
func (e *Engine) underway(s *plan.Step, hosts []string) (going, others []string) {
	r, ok := s.Do.(steps.Resumer)
	if !ok {
		return nil, hosts
	}
	for _, h := range hosts {
		if on, err := r.Underway(e.env(s, h, true)); err == nil && on {
			going = append(going, h)
		} else {
			others = append(others, h)
		}
	}
	return going, others
}

func (e *Engine) askUnknown(ctx context.Context, s *plan.Step, st journal.StepState, changes []journal.Change, looked error) error {
	text := fmt.Sprintf("%s.\nNobody can tell from here whether it was done.\n", strings.TrimSuffix(st.Err, "."))
	switch {
	case looked != nil:
		text += fmt.Sprintf("Looking at the host gave: %v\n", looked)
	case len(changes) > 0:
		text += "The host looks as if this were still to do:\n"
		for _, c := range changes {
			text += "  " + strings.TrimSpace(c.Host+" "+c.Text) + "\n"
		}
	}
	a, err := e.decide(ctx, journal.Question{
		Kind: journal.AskUnknown, Step: s.ID,
		Title: fmt.Sprintf("%q: outcome unknown", s.Title),
		Text:  text + "Look at the host before you choose: doing it a second time may do harm.",
		Options: append([]journal.Option{
			{Choice: "recheck", Label: "look again"},
			{Choice: "done", Label: "it was done: go on", Needs: "reason"},
			{Choice: "retry", Label: "it was not done: do it (again)", Needs: "reason", Danger: true},
			optSkip,
		}, e.turns(s)...),
	})
	if err != nil {
		return err
	}
	switch a.Choice {
	case "recheck":
		return e.resolve(ctx, s, e.Log.State().Step(s.ID), 0)
	case "done":
		return e.append(journal.Event{Type: journal.StepPassed, Step: s.ID}, journal.Passed{})
	case "retry":
		return e.attempts(ctx, s)
	default:
		return e.append(journal.Event{Type: journal.StepSkipped, Step: s.ID, Err: st.Err}, a)
	}
}

// askManual has a person carry a step out.
func (e *Engine) askManual(ctx context.Context, s *plan.Step, asker steps.Asker) (journal.Answer, error) {
	text, done := instruction(asker)
	a, err := e.decide(ctx, journal.Question{
		Kind: journal.AskManual, Step: s.ID, Title: s.Title, Text: text,
		Options: append([]journal.Option{done, optSkip}, e.turns(s)...),
	})
	if err == nil && a.Choice != "done" {
		err = e.append(journal.Event{Type: journal.StepSkipped, Step: s.ID}, a)
	}
	return a, err
}

// instruction is what a person is asked to do, and the answer that it is done.
func instruction(asker steps.Asker) (text string, done journal.Option) {
	text, evidence := asker.Instruction()
	done = journal.Option{Choice: "done", Label: "done", Needs: "name"}
	if evidence != "" {
		done.Needs = "name text"
		text += "\n\nType as evidence: " + evidence
	}
	return text, done
}
