package engine

import (
	"context"
	"fmt"
	"slices"

	"belay/checks"
	"belay/steps/journal"
)

// assess looks at every host and shows the findings until the operator goes
// on: nothing blocks then, and every warning has been accepted with a reason.
func (e *Engine) assess(ctx context.Context) error {
	if e.Log.State().AssessedAt.IsZero() || e.toBreak() {
		if err := e.look(ctx); err != nil {
			return err
		}
	}
	for {
		q := journal.Question{
			Kind:  journal.AskFindings,
			Title: "Begin to prepare?",
			Text:  "Nothing has been changed so far. Prepare makes changes, while the old service stays up.",
			Options: []journal.Option{
				{Choice: "go", Label: "begin to prepare"},
				{Choice: "accept", Label: "accept a finding", Needs: "reason"},
				{Choice: "recheck", Label: "assess again"},
				optStop,
			},
		}
		a, err := e.ask(ctx, q)
		if err != nil {
			return err
		}
		if err := e.Judge(q, a); err != nil {
			continue // things changed since it was given
		}
		switch a.Choice {
		case "accept":
			err = e.append(journal.Event{Type: journal.Accepted, Key: a.Item}, a)
		case "recheck":
			err = e.look(ctx)
		default:
			if err = e.closeQuestion(q, a); err == nil && a.Choice == "stop" {
				err = errStop
			}
			if err == nil {
				return nil
			}
		}
		if err != nil {
			return err
		}
	}
}

// look assesses once and records the findings.
func (e *Engine) look(ctx context.Context) error {
	found, sizes, err := e.assessed(ctx)
	if err != nil {
		return err
	}
	if len(sizes) > 0 {
		if err := e.append(journal.Event{Type: journal.Sized}, sizes); err != nil {
			return err
		}
	}
	if err := e.append(journal.Event{Type: journal.Assessed}, found); err != nil {
		return err
	}
	return e.acceptBreaks(found)
}

// Assess reads the facts of all hosts and judges them: by the standing checks,
// by the plan's own, by what the steps need, and by the locks of other runs.
// It writes nothing.
func (e *Engine) Assess(ctx context.Context) ([]journal.Finding, error) {
	found, _, err := e.assessed(ctx)
	return found, err
}

// assessed returns besides what the steps of Copies would move.
func (e *Engine) assessed(ctx context.Context) ([]journal.Finding, map[string]journal.Size, error) {
	e.init()
	e.Looking(true)
	defer e.Looking(false)
	list := checks.Standing()
	for _, c := range slices.Concat(e.Plan.Assess, e.Plan.Needs()) {
		list = append(list, titled{c.Do, c.Title, c.Brought})
	}
	var found []journal.Finding
	for _, f := range e.Judging(ctx, list) {
		found = append(found, journal.Finding{
			ID: journal.FindingID(f.Check, f.Host, f.Key), Check: f.Check, Host: f.Host,
			Level: f.Level.String(), Text: f.Text, Fix: f.Fix, Detail: f.Detail,
		})
	}
	found = append(found, e.secretFindings(ctx)...)
	found = append(found, e.lockFindings(ctx)...)
	sizes := e.sizes(ctx)
	found = append(found, e.rehearsalFindings(sizes)...)
	return found, sizes, context.Cause(ctx)
}

// judge gathers all hosts' facts, each in one round trip, and judges them.
func (e *Engine) judge(ctx context.Context, list []checks.Check) []checks.Finding {
	w := checks.World{Hosts: e.looking(), Secret: e.Secret}
	w.Facts, w.Unreached = checks.GatherAll(ctx, w.Hosts)
	return checks.Judge(ctx, w, list)
}

// titled gives a check's findings the title that the plan knows it by, and
// knows what is only not there yet: no person need be asked about that.
type titled struct {
	checks.Check
	title   string
	brought map[string]string // by earlier steps, with their titles
}

func (t titled) Assess(ctx context.Context, w checks.World) ([]checks.Finding, error) {
	found, err := t.Check.Assess(ctx, w)
	if err != nil {
		found = []checks.Finding{{Level: checks.Unknown, Text: "not judged: " + err.Error(), Fix: "assess again; accept it with a reason only if you looked yourself"}}
	}
	for i := range found {
		f := &found[i]
		f.Check = t.title
		if by := t.brought[f.Awaits]; by != "" && f.Awaits != "" && (f.Level == checks.Unknown || f.Level == checks.Warn) {
			f.Level, f.Fix = checks.Pass, ""
			f.Text += fmt.Sprintf("; that comes with the step %q, and what needs it looks again then", by)
		}
	}
	return found, nil
}

// HostNames are those of the check.
func (t titled) HostNames() []string {
	if h, ok := t.Check.(checks.Hoster); ok {
		return h.HostNames()
	}
	return nil
}

func judgeAccept(s *journal.State, a journal.Answer) error {
	for _, f := range s.Findings {
		if f.ID != a.Item {
			continue
		}
		switch f.Level {
		case "block":
			return journal.Refuse("%q blocks; it cannot be accepted, only mended: %s", f.Text, f.Fix)
		case "pass":
			return journal.Refuse("%q passed; there is nothing to accept", f.Text)
		}
		return nil
	}
	return journal.Refuse("there is no finding %q", a.Item)
}

func judgeFindings(s *journal.State) error {
	blocks, open := s.Standing()
	switch {
	case s.AssessedAt.IsZero():
		return journal.Refuse("not yet: the assessment is not done")
	case len(blocks) > 0:
		return journal.Refuse("not yet: %s", blocked(blocks))
	case len(open) > 0:
		return journal.Refuse("not yet: %d findings want to be accepted with a reason; the first: %s", len(open), open[0].Text)
	}
	return nil
}

func blocked(blocks []journal.Finding) string {
	if len(blocks) == 1 {
		return "this blocks: " + blocks[0].Text
	}
	return fmt.Sprintf("%d findings block; the first: %s", len(blocks), blocks[0].Text)
}
