package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"belay/remote"
	"belay/steps/journal"
	"belay/steps/plan"
)

func (b *builder) gateEvent(i int, e journal.Event) {
	switch e.Type {
	case journal.Asked:
		var q journal.Question
		_ = json.Unmarshal(e.Data, &q)
		b.ask(i, q)
	case journal.Answered:
		b.answered(i, e)
		b.stopsCount(i, e)
	case journal.Accepted:
		b.say(i, e)
	case journal.Evidence:
		var it journal.ItemState
		_ = json.Unmarshal(e.Data, &it)
		b.touched[it.ID] = i
	case journal.Signed:
		b.say(i, e)
		b.touched[e.Key] = i
	}
}

func (b *builder) ask(i int, q journal.Question) *Question {
	b.asked[q.ID] = len(b.r.Questions)
	b.askedAt, b.options = append(b.askedAt, i), append(b.options, q)
	b.r.Questions = append(b.r.Questions, Question{
		ID: q.ID, Kind: q.Kind, Step: q.Step, Title: q.Title, Text: q.Text, Items: q.Items,
		Span: b.clock.open(i), Answers: []Saying{}, Open: true,
	})
	return &b.r.Questions[len(b.r.Questions)-1]
}

// say enters what was said under the question that it belongs to.
func (b *builder) say(i int, e journal.Event) *Question {
	a := b.saying(i, e)
	id := a.question
	if e.Type == journal.Answered {
		id = e.Key
	}
	at, known := b.asked[id]
	if !known {
		b.ask(i, journal.Question{ID: id}).Open = false
		at = b.asked[id]
	}
	q := &b.r.Questions[at]
	if o, ok := b.options[at].Option(a.Choice); ok {
		a.Label = o.Label
	}
	// The go that opens the sign-off is recorded twice: signed, and as the
	// answer that closes the question.
	if !slices.Contains(q.Answers, a.Saying) {
		q.Answers = append(q.Answers, a.Saying)
	}
	return q
}

func (b *builder) answered(i int, e journal.Event) {
	q := b.say(i, e)
	if q.Open {
		q.Open, q.Span = false, b.clock.span(b.askedAt[b.asked[e.Key]], i)
	}
	choice := q.Answers[len(q.Answers)-1].Choice
	switch {
	case q.Kind == journal.AskSignoff && (choice == "go" || choice == "no-go"):
		b.decided, b.verdict = i, choice
	case q.Kind == journal.AskRollback && choice != "back" && choice != "stop" && choice != "withdrawn":
		b.agreed = q.Items
	}
}

// said is a Saying and the question that it names.
type said struct {
	Saying
	question string
}

func (b *builder) saying(i int, e journal.Event) said {
	var a journal.Answer
	_ = json.Unmarshal(e.Data, &a)
	s := b.fromAnswer(a)
	if s.Time.IsZero() {
		s.Time = b.clock.time[i]
	}
	return said{s, a.Question}
}

func (b *builder) fromAnswer(a journal.Answer) Saying {
	return Saying{Choice: a.Choice, Item: a.Item, Text: a.Text, Reason: a.Reason, By: a.By, Time: utc(a.Time), Role: a.Role, Bound: bound(a.Bound)}
}

// finishFindings takes the last assessment, and who accepted what of it.
func (b *builder) finishFindings() {
	if b.looks == 0 {
		return
	}
	a := &Assessment{Time: utc(b.state.AssessedAt), Times: b.looks, Findings: []Finding{}}
	for _, f := range b.state.Findings {
		now := Finding{Finding: f}
		if said, ok := b.state.Accepted[f.ID]; ok {
			s := b.fromAnswer(said)
			now.Accepted = &s
		}
		a.Findings = append(a.Findings, now)
	}
	b.r.Assessment = a
}

// finishSignoff tells the checklist: the plan's items in its order, then what
// only the events know.
func (b *builder) finishSignoff() {
	if len(b.touched) == 0 && b.verdict == "" {
		return
	}
	s := &Signoff{Items: []Item{}, Go: []Saying{}, Decided: b.verdict}
	left := maps.Clone(b.state.Items)
	if b.plan != nil {
		s.Approvers = b.plan.Approvers.Count
		for _, seat := range plan.Missing(b.plan.Seats(b.state)) {
			s.Missing = append(s.Missing, seat.Wants())
		}
		for _, it := range b.plan.Signoff {
			now := left[it.ID]
			if now == nil {
				now = &journal.ItemState{Machine: it.Machine()}
			}
			s.Items = append(s.Items, b.item(it.ID, cmp.Or(now.Text, it.Text), now))
			delete(left, it.ID)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(left)) {
		now := left[id]
		if id != journal.GoItem {
			s.Items = append(s.Items, b.item(id, cmp.Or(now.Text, id), now))
			continue
		}
		for _, a := range now.Signed {
			s.Go = append(s.Go, b.fromAnswer(a))
		}
	}
	b.finishVoided(s)
	b.r.Signoff = s
}

// finishVoided tells which signatures counted for a while, and who did without
// a second person.
func (b *builder) finishVoided(s *Signoff) {
	for _, id := range slices.Sorted(maps.Keys(b.state.Items)) {
		it := b.state.Items[id]
		text := cmp.Or(it.Text, id)
		if id == journal.GoItem {
			text = "go"
		}
		for _, d := range it.Voided {
			s.Voided = append(s.Voided, Voided{b.fromAnswer(d.Answer), text, d.Why, utc(d.At)})
		}
	}
	slices.SortStableFunc(s.Voided, func(x, y Voided) int { return x.At.Compare(y.At) })
	for _, a := range b.state.Answers {
		if a.Choice == "break-glass" {
			s.Alone = append(s.Alone, b.fromAnswer(a))
		}
	}
}

// bound says what a signature was given upon.
func bound(b *journal.Bound) string {
	if b == nil {
		return ""
	}
	text := fmt.Sprintf("plan %.12s, %s", b.Plan, remote.Plural(len(b.Hosts), "host"))
	if b.Go {
		text += ", " + remote.Plural(len(b.Findings), "finding") + " that did not pass"
	}
	return text
}

func (b *builder) item(id, text string, now *journal.ItemState) Item {
	it := Item{ID: id, Text: text, Machine: now.Machine, OK: now.OK, Evidence: now.Evidence}
	for _, a := range now.Signed {
		it.Signed = append(it.Signed, b.fromAnswer(a))
	}
	if at, ok := b.touched[id]; ok {
		it.Time = b.clock.time[at]
		it.Age = b.clock.span(min(at, b.decided), b.decided).Seconds
	}
	return it
}
