package tui

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"belay/checks/inspect"
	"belay/tui/widget"
)

// PlainInterview is Interview line by line: the same questions, on any
// terminal. What a look needs to know for a login it asks there by itself.
func PlainInterview(ctx context.Context, d Drafter, a Answers, in io.Reader, out io.Writer) (Answers, error) {
	iv := newInterview(ctx, d, a, Options{Input: in, Output: out}.filled(""))
	iv.plain = true
	p := &plainInterview{ctx: ctx, iv: iv, lines: bufio.NewScanner(in), out: out}
	p.prose("", "belay drafts a plan from what your servers show. It only looks: nothing is changed on them, and no plan is written before the end.")
	p.prose("", "< goes back to the question before, ? explains, Ctrl-C leaves.")
	for !iv.written {
		err := p.turn(ctx)
		iv.finish()
		p.passing(iv.said)
		if err == nil {
			continue
		}
		if errors.Is(err, errNobody) && ctx.Err() == nil {
			err = ErrUnwritten
		}
		return iv.a, err
	}
	return iv.a, nil
}

// passing says what a screen would say in passing.
func (p *plainInterview) passing(text string) {
	if text != "" {
		p.say("%s", oneLine(text))
	}
	p.iv.said = ""
}

// What a line can be besides an answer.
var (
	errNobody = errors.New("nobody answers any more")
	errBack   = errors.New("back")
)

type plainInterview struct {
	ctx   context.Context
	iv    *interview
	lines *bufio.Scanner
	out   io.Writer
}

// prose says a text in lines that no terminal has to break.
func (p *plainInterview) prose(lead, text string) {
	for _, l := range widget.Wrap(text, 78-len(lead)) {
		p.say("%s%s", lead, l)
	}
}

func (p *plainInterview) say(format string, a ...any) { fmt.Fprintf(p.out, format+"\n", a...) }

// turn asks one page, and goes to the next or the one before.
func (p *plainInterview) turn(ctx context.Context) error {
	iv, err := p.iv, error(nil)
	switch q := iv.page().(type) {
	case *earlierPage:
		return p.earlier(q)
	case *typing:
		err = p.typing(q)
	case *lookPage:
		err = p.look(ctx)
	case *foundPage:
		err = p.found(q)
	case *choosing:
		err = p.choosing(q)
	case *previewPage:
		return p.preview(q)
	}
	switch {
	case errors.Is(err, errBack):
		iv.goal = ""
		for i := iv.at - 1; i >= 0; i-- {
			if q := iv.pages[i].about(); q.wanted(iv) && q.name != "look" {
				iv.at = i
				break
			}
		}
		return nil
	case err != nil:
		return err
	case iv.goal != "" && iv.page().about().name == "look":
		iv.arrive()
		return nil
	}
	for iv.at++; !iv.page().about().wanted(iv); iv.at++ {
	}
	return nil
}

// read takes the next line, unless whoever should type it has left. It reads no
// further than that: what comes next may be a password, for somebody else.
func (p *plainInterview) read() error {
	got := make(chan bool, 1)
	go func() { got <- p.lines.Scan() }()
	select {
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	case ok := <-got:
		if !ok {
			return errors.Join(p.lines.Err(), errNobody)
		}
		return nil
	}
}

// ask returns what was typed, without spaces around it.
func (p *plainInterview) ask(prompt string) (string, error) {
	for {
		fmt.Fprint(p.out, prompt+"> ")
		if err := p.read(); err != nil {
			p.say("")
			return "", err
		}
		switch text := clean(strings.TrimSpace(p.lines.Text())); text {
		case "<":
			return "", errBack
		case "?":
			p.say("")
			for _, l := range p.iv.reader().pageText(p.iv.pageName(), nil, nil, 80) {
				p.say("%s", ansi.Strip(l))
			}
			p.say("")
		default:
			return text, nil
		}
	}
}

// earlier offers to go on with an interview that ended before its end.
func (p *plainInterview) earlier(q *earlierPage) error {
	iv := p.iv
	p.head(&q.question)
	for i, k := range iv.earlier {
		what, when := k.says(iv.o.Now())
		p.say("  %d  go on with %s. %s", i+1, what, when)
	}
	for {
		text, err := p.ask("A number; or just Enter: begin anew")
		if errors.Is(err, errBack) {
			continue
		}
		if err != nil {
			return err
		}
		if n, err := strconv.Atoi(text); err == nil && n >= 1 && n <= len(iv.earlier) {
			k := iv.earlier[n-1]
			iv.earlier, iv.a, iv.goal, iv.touched, iv.keeping.as = nil, k.Answers, k.Page, true, k
			if k.Page == "servers" {
				iv.goal = ""
				iv.show("servers")
				return nil
			}
			iv.at = slices.IndexFunc(iv.pages, func(l leaf) bool { return l.about().name == "look" })
			return nil
		}
		if text == "" {
			iv.earlier = nil
			iv.show("servers")
			return nil
		}
		p.say("%q is no number from 1 to %d", text, len(iv.earlier))
	}
}

func (p *plainInterview) head(q *question) {
	p.say("\n%s", q.title(p.iv))
	if q.more != nil {
		p.prose("  ", q.more(p.iv))
	}
	for _, such := range q.such {
		p.prose("    ", such.Label+": "+such.Value)
	}
}

func (p *plainInterview) typing(t *typing) error {
	p.head(&t.question)
	a := p.iv.a
	for i := 0; i < len(t.blanks); {
		b := t.blanks[i]
		now := b.get(&a)
		label := b.label
		if now != "" {
			label += " [" + now + "]"
		}
		text, err := p.ask(label)
		switch {
		case err != nil:
			return err
		case text == "":
			text = now
		case text == "-" && b.optional:
			text = ""
		}
		problem := "An answer is needed here."
		if text != "" || b.optional {
			problem = b.set(&a, text)
		}
		if problem != "" {
			p.say("%s", problem)
			continue
		}
		i++
	}
	p.iv.a = a
	return nil
}

func (p *plainInterview) look(ctx context.Context) error {
	iv := p.iv
	for !iv.fresh() {
		if left := iv.unseen(); len(left) > 0 {
			p.say("\nLooking at %s, a minute at most; Ctrl-C leaves …", oneLine(strings.Join(left, " and ")))
			found, err := iv.d.Look(ctx, left, iv.a.Sudo, nil)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				p.say("%s", clean(err.Error()))
			}
			for _, h := range found {
				if h.Unreached == "" {
					iv.have[sight{h.Name, iv.a.Sudo}] = h
				} else {
					p.say("%s was not looked at: %s", oneLine(h.Name), oneLine(h.Unreached))
				}
			}
		}
		if len(iv.unseen()) == 0 {
			iv.take()
			return nil
		}
		if err := p.unreached(); err != nil {
			return err
		}
	}
	return nil
}

// unreached asks what to do about a look that did not reach everything.
func (p *plainInterview) unreached() error {
	iv := p.iv
	says, left := "Enter looks again; < names other servers or another login", iv.unseen()
	if iv.a.Sudo {
		says += "; u looks without root"
	}
	if iv.spared() {
		says += "; w goes on as if nothing were on " + oneLine(left[0]) + " yet"
	}
	for {
		switch text, err := p.ask(says); {
		case err != nil || text == "":
			return err
		case text == "u" && iv.a.Sudo:
			iv.a.Sudo = false
			return nil
		case text == "w" && iv.spared():
			iv.have[sight{iv.a.To, iv.a.Sudo}] = &inspect.Host{Name: iv.a.To, Unreached: "belay could not look at it"}
			return nil
		default:
			p.say("%q is none of them", text)
		}
	}
}

// found lets people choose by numbers.
func (p *plainInterview) found(q *foundPage) error {
	p.head(&q.question)
	items := p.iv.items()
	for i, it := range items {
		mark := " "
		if it.Among(p.iv.a.Move) {
			mark = "*"
		}
		p.say("  %2d %s %s", i+1, mark, oneLine(it.Says))
	}
	for _, r := range foundRows(items, p.iv.old, p.iv.now) {
		switch {
		case r.head != "" && !strings.HasPrefix(r.head, "not understood") && !strings.HasPrefix(r.head, "also on"):
		case r.head != "":
			p.say("  %s:", clean(r.head))
		case r.text != "":
			p.say("     %s", oneLine(strings.TrimSuffix(r.text+": "+r.more, ": ")))
		}
	}
	for {
		text, err := p.ask("Numbers, such as 1 3-5; all; 0 for nothing; or just Enter: those with a *")
		if err != nil || text == "" {
			return err
		}
		keys, err := chosenBy(items, text)
		if err == nil {
			p.iv.a.Move = keys
			return nil
		}
		p.say("%v", err)
	}
}

func (p *plainInterview) choosing(c *choosing) error {
	p.head(&c.question)
	now := 1
	for i, o := range c.choices {
		p.say("  %d  %s. %s", i+1, o.label, o.note)
		if o.value == c.get(&p.iv.a) {
			now = i + 1
		}
	}
	for {
		text, err := p.ask(fmt.Sprintf("A number [%d]", now))
		if err != nil {
			return err
		}
		if text == "" {
			text = strconv.Itoa(now)
		}
		if n, err := strconv.Atoi(text); err == nil && n >= 1 && n <= len(c.choices) {
			c.set(&p.iv.a, c.choices[n-1].value)
			return nil
		}
		p.say("%q is no number from 1 to %d", text, len(c.choices))
	}
}

// preview shows the plan when somebody wants to see it, and writes it.
func (p *plainInterview) preview(v *previewPage) error {
	iv := p.iv
	v.enter(iv)
	p.say("\nThe plan is ready, and not written yet.")
	for _, text := range v.checked() {
		p.say("  %s", clean(text))
	}
	text, err := p.ask("Type write (it goes to " + iv.a.file() + "), show, or another file name")
	switch {
	case errors.Is(err, errBack):
		iv.show("file")
		return nil
	case err != nil:
		return err
	case text == "":
		return nil
	case text == "show":
		p.say("%s", strings.Join(v.lines, "\n"))
		return nil
	case text != "write":
		iv.a.File = text
		return nil
	}
	err = iv.d.Write(iv.a.file(), v.text, false)
	if errors.Is(err, fs.ErrExist) {
		p.say("%s is there already and was left as it is. Its name, typed, replaces it; what it holds is lost then.", iv.a.file())
		again, asked := p.ask("Its name, or just Enter: it stays")
		if asked != nil && !errors.Is(asked, errBack) {
			return asked
		}
		if again != iv.a.file() {
			return nil
		}
		err = iv.d.Write(iv.a.file(), v.text, true)
	}
	if err != nil {
		p.say("not written: %s", clean(err.Error()))
		return nil
	}
	iv.a.File, iv.written = iv.a.file(), true
	return nil
}
