package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"belay/steps/journal"
)

// errUnsigned says that a signature which the cutover rests on was voided.
var errUnsigned = errors.New("what was signed does not hold any more")

// goNeeds is what must come with a go.
func (e *Engine) goNeeds() string {
	if len(e.Plan.Approvers.Roles) > 0 {
		return "name role"
	}
	return "name"
}

// judgePerson tells why somebody's go does not count as that of one more
// person; nil when it does, or when they only take another role.
func (e *Engine) judgePerson(s *journal.State, a journal.Answer) error {
	role, err := e.Plan.RoleFor(s, a.By, a.Role)
	if err != nil {
		return err
	}
	for _, seat := range e.Plan.Seats(s) {
		if seat.Go == nil || !e.Plan.Approvers.Same(seat.Go.By, a.By) {
			continue
		}
		if seat.Role != role {
			return nil
		}
		return e.refuseTwice(seat.Go.By, a.By)
	}
	return nil
}

// refuseTwice says kindly that one person counts once.
func (e *Engine) refuseTwice(before, now journal.Author) error {
	need := e.Plan.Approvers.Need()
	if strings.EqualFold(strings.TrimSpace(before.Name), strings.TrimSpace(now.Name)) {
		return journal.Refuse("%s has said go already. %s", before.Who(), need)
	}
	by, how := "the login "+now.Person(), "distinct: name"
	if before.Person() != now.Person() {
		by = "the SSH key " + now.Key
	}
	return journal.Refuse("%s has said go already, under %s: two names there count as one person. %s Somebody else signs from a login of their own with: belay sign %s. Where people share a login, the plan can say approvers: {count: %d, %s}",
		before.Who(), by, need, e.Run, e.Plan.Approvers.Count, how)
}

// takeGo records a go. Who had said go for another role has moved.
func (e *Engine) takeGo(a journal.Answer) error {
	s := e.Log.State()
	role, err := e.Plan.RoleFor(s, a.By, a.Role)
	if err != nil {
		return nil // things changed since it was judged; it is asked on
	}
	if it := s.Items[journal.GoItem]; it != nil {
		why := "said go anew"
		if role != "" {
			why += ", for " + role
		}
		if err := e.void(journal.GoItem, it.Signed, why, func(b journal.Answer) bool { return e.Plan.Approvers.Same(a.By, b.By) }); err != nil {
			return err
		}
	}
	a.Role, a.Bound = role, s.Basis(true)
	return e.append(journal.Event{Type: journal.Signed, Key: journal.GoItem}, a)
}

// void records that some signatures of an item count no more.
func (e *Engine) void(item string, signed []journal.Answer, why string, which func(journal.Answer) bool) error {
	v := journal.Void{Why: why}
	for _, a := range signed {
		if which(a) {
			v.Signed = append(v.Signed, a.Seq)
		}
	}
	if len(v.Signed) == 0 {
		return nil
	}
	return e.append(journal.Event{Type: journal.Voided, Key: item}, v)
}

// unshaken tells whether everything that was signed rests on what there is.
func (e *Engine) unshaken(s *journal.State) bool {
	for _, it := range s.Items {
		if slices.ContainsFunc(it.Signed, func(a journal.Answer) bool { return len(s.Shaken(a.Bound)) > 0 }) {
			return false
		}
	}
	return true
}

// voidShaken voids what was signed upon something that is not so any more. A
// cutover that waits for its word is asked anew then. Callers hold e.filling.
func (e *Engine) voidShaken() error {
	s, voided := e.Log.State(), false
	if !s.Done[journal.Cutover].IsZero() || s.Rollback != nil || e.begun(e.Plan.Cutover) {
		return nil
	}
	for id, it := range s.Items {
		for _, a := range it.Signed {
			why := s.Shaken(a.Bound)
			if len(why) == 0 {
				continue
			}
			text := strings.Join(why[:min(len(why), 3)], "; ")
			if more := len(why) - 3; more > 0 {
				text += fmt.Sprintf("; and %d more", more)
			}
			if err := e.void(id, it.Signed, text, func(b journal.Answer) bool { return b.Seq == a.Seq }); err != nil {
				return err
			}
			voided = true
		}
	}
	if voided && e.anew != nil {
		e.anew(errUnsigned)
	}
	return nil
}

// tillVoided also ends a wait when a signature is voided meanwhile.
func (e *Engine) tillVoided(ctx context.Context, stop func()) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	e.filling.Lock()
	e.anew = cancel
	if e.missing(e.Log.State()) != "" {
		cancel(errUnsigned)
	}
	e.filling.Unlock()
	return ctx, func() {
		e.filling.Lock()
		e.anew = nil
		e.filling.Unlock()
		cancel(nil)
		stop()
	}
}

// signed has the sign-off passed again, as long as something voids it, and then
// the gate of the cutover.
func (e *Engine) signed(ctx context.Context) error {
	for {
		if err := e.evidence(); err != nil {
			return err
		}
		if e.missing(e.Log.State()) != "" {
			if err := e.signoff(ctx); err != nil {
				return err
			}
		}
		err := e.held(ctx)
		if !errors.Is(err, errUnsigned) {
			return err
		}
		if err := e.withdrawKind(journal.AskCutover, errUnsigned.Error()); err != nil {
			return err
		}
	}
}

// breakGlass is how somebody cuts over alone where the plan wants a second person.
const breakGlass = "break-glass"

// secondPerson adds the way around the second person to a question, where the
// plan wants one.
func (e *Engine) secondPerson(q journal.Question) journal.Question {
	if !e.Plan.Approvers.SecondPerson {
		return q
	}
	q.Text += "\nThe plan wants a second person to cut over: not who began the run or answered it until it was prepared, nor who said go."
	q.Options = slices.Insert(q.Options, 1, journal.Option{
		Choice: breakGlass, Label: "cut over alone (break glass)", Type: e.gateWord(), Needs: "name reason", Danger: true,
		Note: "Cuts over without the second person that the plan wants. Who did, and why, stands in the record.",
	})
	return q
}

// judgeStarter tells why an answer does not start the cutover: somebody signed
// nothing any more, or whoever gives it is not the second person.
func (e *Engine) judgeStarter(s *journal.State, a journal.Answer) error {
	if missing := e.missing(s); missing != "" {
		return journal.Refuse("not yet: %s", missing)
	}
	if why := e.Plan.Alone(s, a.By); why != "" && a.Choice != breakGlass {
		return journal.Refuse("%s. They can do so from their own login with: belay sign %s. Nobody else there? Choose %s, with a reason; it stands in the record", why, e.Run, breakGlass)
	}
	return nil
}

// missing says what the cutover waits for; "" when all who must have said go.
func (e *Engine) missing(s *journal.State) string {
	if !e.unshaken(s) {
		return errUnsigned.Error()
	}
	return e.Plan.StillWanted(s)
}
