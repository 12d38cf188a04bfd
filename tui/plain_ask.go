package tui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"belay/steps/journal"
	"belay/steps/run"
	"belay/tui/widget"
)

// errGone says that a question was answered elsewhere while somebody typed.
var errGone = errors.New("the question is closed")

// ask asks what is open now; nil when nothing is, or when it was answered.
func (p *plainView) ask(ctx context.Context) error {
	if pr := p.s.Prompt(); pr != nil && p.seen["prompt"] != pr.ID {
		return p.prompt(ctx, pr)
	}
	q := p.sc.question()
	if q == nil {
		return nil
	}
	err := p.question(ctx, *q)
	if errors.Is(err, errGone) {
		p.say("This question has been answered elsewhere or withdrawn. Nothing was sent from here.")
		return nil
	}
	return err
}

// put writes a line without a time: part of a question.
func (p *plainView) put(format string, args ...any) {
	fmt.Fprintf(p.out, "%s\n", strings.ReplaceAll(widget.Clean(fmt.Sprintf(format, args...)), "\n", "\n  "))
}

// read asks for one line; a lone ? is answered with the help page first, except
// where a secret is typed. open tells whether the question still stands.
func (p *plainView) read(ctx context.Context, label string, hidden bool, open func() bool) (string, error) {
	for {
		text, err := p.line(ctx, label, hidden, open)
		if err != nil || hidden || strings.TrimSpace(text) != "?" {
			return text, err
		}
		p.explain()
	}
}

// explain says the help page of the question that stands.
func (p *plainView) explain() {
	for _, l := range p.sc.pageText(p.page.name, p.page.q, p.page.keys, readWidth) {
		p.put("%s", strings.TrimRight(l, " "))
	}
}

// plainPage is the help page of what is asked now.
type plainPage struct {
	name string
	q    *journal.Question // nil for a prompt
	keys []string          // of its options
}

// numbers are the keys of a question's options in plain mode.
func numbers(opts []journal.Option) []string {
	keys := make([]string, len(opts))
	for i := range opts {
		keys[i] = strconv.Itoa(i + 1)
	}
	return keys
}

// line asks for one line; what happens meanwhile is said.
func (p *plainView) line(ctx context.Context, label string, hidden bool, open func() bool) (string, error) {
	fmt.Fprintf(p.out, "%s: ", widget.CleanLine(label))
	p.in.want <- hidden
	for {
		select {
		case l := <-p.in.got:
			if hidden {
				fmt.Fprintln(p.out)
			}
			return l.text, l.err
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-time.After(plainTick):
			p.look()
			if !open() {
				fmt.Fprintln(p.out)
				p.put("(press enter)")
				select {
				case l := <-p.in.got: // the line that was under way is not an answer to anything else
					if l.err != nil {
						return "", l.err
					}
				case <-ctx.Done():
					return "", context.Cause(ctx)
				}
				return "", errGone
			}
		}
	}
}

func (p *plainView) isOpen(id string) func() bool {
	return func() bool {
		for _, q := range p.sc.st.Questions {
			if q.ID == id {
				return true
			}
		}
		return false
	}
}

// question puts one question and sends what was typed.
func (p *plainView) question(ctx context.Context, q journal.Question) error {
	fmt.Fprintln(p.out)
	p.put("belay waits for you: %s", oneLine(q.Title))
	p.story(q)
	for i, o := range q.Options {
		p.put("  %d  %s%s", i+1, o.Label, plainNeeds(o))
	}
	p.put("  ?  explain this question and what each answer does")
	if only := p.sc.readOnly(); only != "" {
		p.put("  p  take the pen, to answer. %s", strings.TrimSuffix(only, " p takes it."))
	}
	p.page = plainPage{p.sc.askPage(q), &q, numbers(q.Options)}
	open := p.isOpen(q.ID)
	text, err := p.read(ctx, "Number", false, open)
	if err != nil {
		return err
	}
	switch strings.TrimSpace(text) {
	case "p":
		if shared, ok := p.s.(run.Shared); ok {
			return p.takePen(shared)
		}
	case "h": // the same letter as on the full screen
		if i := slices.IndexFunc(q.Options, holds); i >= 0 {
			text = strconv.Itoa(i + 1)
		}
	}
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || n < 1 || n > len(q.Options) {
		p.put("%q is not one of the numbers. Nothing was sent.", text)
		return nil
	}
	a, err := p.fill(ctx, q, q.Options[n-1], open)
	if err != nil || a == nil {
		return err
	}
	if err := p.s.Answer(ctx, *a); err != nil {
		p.put("%s", err)
		return ctx.Err()
	}
	p.say("answered: %s", q.Options[n-1].Label)
	// The engine takes a moment to write the answer down; asking again at once
	// would only confuse.
	for end := time.Now().Add(2 * time.Second); open() && a.Item == "" && time.Now().Before(end); time.Sleep(plainTick / 4) {
		p.look()
	}
	return nil
}

// takePen takes the pen; the question is put once more then.
func (p *plainView) takePen(shared run.Shared) error {
	if err := shared.TakePen(); err != nil {
		p.put("The pen was not taken: %s", oneLine(err.Error()))
		return nil
	}
	for end := time.Now().Add(2 * time.Second); !shared.Pen().Mine && time.Now().Before(end); {
		time.Sleep(plainTick / 4)
	}
	p.say("you hold the pen")
	return nil
}

// holds tells the option that stops a countdown: it only keeps things as they
// are, and there is no time to lose.
func holds(o journal.Option) bool { return o.Choice == "hold" }

func plainNeeds(o journal.Option) string {
	switch {
	case holds(o):
		return " (h does it at once)"
	case o.Type != "":
		return " (you have to type " + o.Type + ")"
	case o.Needs != "":
		return " (asks for: " + o.Needs + ")"
	}
	return ""
}

// story is what the full screen shows around a question.
func (p *plainView) story(q journal.Question) {
	a := newAsk(q, "", nil)
	a.room = 40
	if q.Step != "" {
		log := p.s.Log(q.Step, "")
		n := log.Len()
		for _, l := range log.Lines(max(0, n-10), min(n, 10)) {
			a.tail = append(a.tail, widget.CleanLine(l.Text))
		}
	}
	for _, l := range a.story(&p.sc, 200)[1:] {
		if l = strings.TrimRight(l, " "); l != "" {
			p.put("%s", l)
		}
	}
}

// fill asks for what an option needs; nil when somebody changed their mind.
func (p *plainView) fill(ctx context.Context, q journal.Question, o journal.Option, open func() bool) (*journal.Answer, error) {
	a := &journal.Answer{Question: q.ID, Choice: o.Choice, By: p.o.Author}
	a.By.Name = p.sc.name
	item, err := p.item(ctx, q, o, open)
	if err != nil || item == nil {
		return nil, err
	}
	a.Item = *item
	dlg := newAsk(q, a.Item, nil)
	for i := range q.Options {
		if q.Options[i] == o {
			dlg.choose(&p.sc, i) // the same fields as on the full screen
		}
	}
	for i := range dlg.form.fields {
		f := &dlg.form.fields[i]
		label := f.label
		if v := f.in.Value(); v != "" {
			label += " [" + v + "]"
		}
		text, err := p.read(ctx, label, false, open)
		if err != nil {
			return nil, err
		}
		if text = strings.TrimSpace(text); text != "" {
			f.in.SetValue(widget.CleanLine(text))
		}
	}
	if say := dlg.form.problem(); say != "" {
		p.put("%s", say)
		return nil, nil
	}
	if o.Type == "" && !holds(o) {
		text, err := p.read(ctx, "Type yes to send “"+o.Label+"”", false, open)
		if err != nil {
			return nil, err
		}
		if strings.TrimSpace(text) != "yes" {
			p.put("Nothing was sent.")
			return nil, nil
		}
	}
	a.Text, a.Reason, a.Role, a.Time = dlg.form.value("text"), dlg.form.value("reason"), dlg.form.value("role"), p.o.Now()
	if o.Type != "" {
		a.Text = dlg.form.value("type")
	}
	if n := dlg.form.value("name"); n != "" {
		a.By.Name, p.sc.name = n, n
	}
	return a, nil
}

// item asks which finding or checklist item an answer is about.
func (p *plainView) item(ctx context.Context, q journal.Question, o journal.Option, open func() bool) (*string, error) {
	var ids, texts []string
	switch o.Choice {
	case "accept":
		for _, f := range p.sc.findings() {
			if l := p.sc.level(f); l == "warn" || l == "unknown" {
				ids, texts = append(ids, f.ID), append(texts, l+": "+oneLine(f.Host+" "+f.Text))
			}
		}
	case "sign":
		for _, it := range p.sc.plan.Signoff {
			if c := p.sc.checkItem(it); !it.Machine() && c.State != "passed" {
				ids, texts = append(ids, it.ID), append(texts, c.Text)
			}
		}
	}
	none := ""
	switch len(ids) {
	case 0:
		return &none, nil
	case 1:
		return &ids[0], nil
	}
	for i, t := range texts {
		p.put("  %d  %s", i+1, t)
	}
	text, err := p.read(ctx, "Which one", false, open)
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || n < 1 || n > len(ids) {
		p.put("%q is not one of the numbers. Nothing was sent.", text)
		return nil, nil
	}
	return &ids[n-1], nil
}

// prompt asks for a secret or a host key.
func (p *plainView) prompt(ctx context.Context, pr *run.Prompt) error {
	p.seen["prompt"] = pr.ID
	fmt.Fprintln(p.out)
	p.put("belay waits for you: %s", oneLine(pr.Title))
	p.put("  %s", pr.Text)
	p.page = plainPage{name: "ask-" + pr.Kind}
	label := "Answer"
	if pr.Type != "" {
		label = "Type " + pr.Type + " to accept"
	}
	text, err := p.read(ctx, label, pr.Hidden, func() bool {
		now := p.s.Prompt()
		return now != nil && now.ID == pr.ID
	})
	switch {
	case errors.Is(err, errGone):
		return nil
	case errors.Is(err, io.EOF):
		pr.Reply("", false)
		return err
	case err != nil:
		return err
	}
	ok := pr.Type == "" || strings.TrimSpace(text) == pr.Type
	if !ok {
		p.put("Refused.")
		text = ""
	}
	pr.Reply(text, ok)
	return nil
}
