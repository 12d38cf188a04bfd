package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"belay/checks"
	"belay/steps"
	"belay/steps/journal"
	"belay/steps/plan"
)

// proof is a sign-off item that a step's proof fills in.
type proof struct {
	item plan.Item
	step *plan.Step
	do   steps.Prover
}

// proofs are the items of the checklist whose answer grows old.
func (e *Engine) proofs() []proof {
	var all []proof
	for _, it := range e.Plan.Signoff {
		if it.Step == "" {
			continue
		}
		s := e.Plan.Step(it.Step)
		if s == nil {
			continue
		}
		if p, ok := s.Do.(steps.Prover); ok {
			all = append(all, proof{it, s, p})
		}
	}
	return all
}

// latest is what the step's newest proof came to; found is false while the
// step has not passed, or there is none.
func (e *Engine) latest(s *journal.State, p proof) (text string, ok bool, at time.Time, found bool) {
	if s.Step(p.step.ID).Status != journal.PassedStatus {
		return "", false, at, false
	}
	text, ok, at, found, err := p.do.Proof(e.env(p.step, hostsOf(p.step)[0], true))
	return text, ok, at, found && err == nil
}

// proved fills in an item from its step's newest proof, with the moment that
// this speaks of. It returns false for any other item.
func (e *Engine) proved(s *journal.State, it plan.Item, now *journal.ItemState) bool {
	for _, p := range e.proofs() {
		if p.item.ID != it.ID {
			continue
		}
		text, ok, at, found := e.latest(s, p)
		if found {
			now.OK, now.Evidence, now.Time = ok, text, at
		}
		return found
	}
	return false
}

// maxRetry is how soon a proof that failed is asked for again, at the latest.
const maxRetry = time.Minute

// due is how long it is until the proof should be made again; negative: never.
func (e *Engine) due(p proof) time.Duration {
	every := cmp.Or(e.proveEvery, p.do.ProofFor())
	_, ok, at, found := e.latest(e.Log.State(), p)
	if !found || every <= 0 {
		return -1
	}
	if !ok {
		every = min(every, maxRetry)
	}
	return max(0, every-e.Now().Sub(at))
}

// standGuard proves again, while a gate is open, what the checklist's items
// tell of, whenever an answer has grown old. What has grown old before, in a
// run that is resumed, is proved before the gate is shown. The func ends it.
func (e *Engine) standGuard(ctx context.Context) func() {
	ctx, stop := context.WithCancel(ctx)
	var first, wg sync.WaitGroup
	for _, p := range e.proofs() {
		if d := e.due(p); d == 0 {
			first.Go(func() { e.prove(ctx, p) })
		}
	}
	first.Wait()
	for _, p := range e.proofs() {
		wg.Go(func() {
			for failed := false; ; {
				d := e.due(p)
				switch {
				case d < 0:
					return
				case failed: // nobody knows why: do not ask again at once
					d = max(d, min(maxRetry, cmp.Or(e.proveEvery, p.do.ProofFor())))
				}
				select {
				case <-ctx.Done():
					return
				case <-time.After(d):
				}
				failed = e.prove(ctx, p) != nil
			}
		})
	}
	return func() { stop(); wg.Wait() }
}

// prove makes one proof anew and records what it came to. The error is the
// journal's, or the proof's when it came to nothing that is recorded.
func (e *Engine) prove(ctx context.Context, p proof) error {
	_, _, before, _ := e.latest(e.Log.State(), p)
	err := e.proveStep(ctx, p.step, p.do)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if _, _, at, _ := e.latest(e.Log.State(), p); at.After(before) {
		err = nil // it is known now, be it good or bad
	} else if err == nil {
		err = errors.New("the proof left no trace")
	}
	return errors.Join(err, e.evidence())
}

func (e *Engine) proveStep(ctx context.Context, s *plan.Step, do steps.Prover) error {
	return each(hostsOf(s), func(h string) error {
		_, err := do.Prove(ctx, e.env(s, h, true))
		return err
	})
}

// proveAll makes every proof of the checklist anew.
func (e *Engine) proveAll(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, p := range e.proofs() {
		if e.due(p) >= 0 {
			wg.Go(func() { _ = e.prove(ctx, p) }) // what it came to is in the item
		}
	}
	wg.Wait()
	return context.Cause(ctx)
}

// judgeProofs tells which proof of the checklist does not hold any more, or has
// grown so old that nobody should rely on it.
func (e *Engine) judgeProofs(s *journal.State) error {
	for _, p := range e.proofs() {
		text, ok, at, found := e.latest(s, p)
		switch {
		case !found:
			continue // skipped with a reason, or judged as any other step
		case !ok:
			return journal.Refuse("not yet: %q does not hold any more (%s)", p.item.Text, text)
		}
		if every := p.do.ProofFor(); every > 0 && e.Now().Sub(at) > 2*every {
			return journal.Refuse("not yet: what %q says is %s old; it is being proved again", p.item.Text, e.Now().Sub(at).Round(time.Second))
		}
	}
	return nil
}

// provedFinding proves a step again for the soak.
func (e *Engine) provedFinding(ctx context.Context, id string) checks.Finding {
	f := checks.Finding{Check: "step", Key: id, Level: checks.Unknown}
	s := e.Plan.Step(id)
	if s == nil {
		f.Text = fmt.Sprintf("no step has the id %q", id)
		return f
	}
	do, ok := s.Do.(steps.Prover)
	if !ok {
		f.Text = fmt.Sprintf("step %q proves nothing", s.Title)
		return f
	}
	if st := e.Log.State().Step(id); st.Status != journal.PassedStatus {
		f.Text = fmt.Sprintf("step %q is %s", s.Title, st.Status)
		return f
	}
	text, err := do.Prove(ctx, e.env(s, hostsOf(s)[0], true))
	switch _, no := errors.AsType[*steps.Disproof](err); {
	case no:
		f.Level, f.Text, f.Detail = checks.Block, firstLine(err.Error()), err.Error()
	case err != nil:
		f.Text = firstLine(err.Error())
	default:
		f.Level, f.Text = checks.Pass, text
	}
	return f
}

// firstLine is the beginning of a text of several lines.
func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
