package tui

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/charmbracelet/x/term"

	"belay/steps/journal"
	"belay/steps/plan"
	"belay/steps/run"
	"belay/tui/widget"
)

// Plain is the wizard line by line, for screen readers, pipes and CI: it says
// what happens as it happens and asks by number. It returns as Run does;
// ErrDetached too when a question waits and in has come to its end. Of opts the
// first is taken: Author and Resume matter here.
func Plain(ctx context.Context, s run.Session, in io.Reader, out io.Writer, opts ...Options) error {
	var o Options
	if len(opts) > 0 {
		o = opts[0]
	}
	o.Input, o.Output = in, out
	o = o.filled(s.Dir())
	p := &plainView{s: s, o: o, out: out, seen: map[string]string{}, in: newReader(in),
		sc: scene{plan: s.Plan(), steps: s.Plan().Steps(), dir: s.Dir(), opt: o, name: o.Author.Name, th: widget.Theme{Name: "plain"}}}
	p.say("belay: %s. %s", oneLine(p.sc.plan.Name), environmentWord(p.sc.plan.Environment))
	if len(s.State().Rehearsal) > 0 {
		p.say("This is a rehearsal.")
	}
	p.say("The run directory is %s", s.Dir())
	for {
		p.look()
		if p.sc.live.Ended {
			p.end()
			return nil
		}
		err := p.ask(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, io.EOF):
			waits := "The run waits"
			if p.sc.st.Soak.Countdown != nil {
				waits = "The countdown goes on as long as belay does, and nobody is here to stop it"
			}
			p.say("There is nobody to answer. %s; take it up again with: %s", waits, o.Resume)
			return ErrDetached
		case err != nil:
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(plainTick):
		}
	}
}

// plainTick is how often the session is looked at.
const plainTick = 200 * time.Millisecond

func environmentWord(env string) string {
	if env == "" {
		return "The plan names no environment."
	}
	return "Environment: " + strings.ToUpper(oneLine(env)) + "."
}

type plainView struct {
	s    run.Session
	o    Options
	out  io.Writer
	in   *reader
	sc   scene
	seen map[string]string // what has been said about each thing
	page plainPage         // explains what is asked now
}

// say writes one line with the time.
func (p *plainView) say(format string, args ...any) {
	fmt.Fprintf(p.out, "%s  %s\n", p.o.Now().Format("15:04:05"), widget.CleanLine(fmt.Sprintf(format, args...)))
}

// once says something about a thing when it differs from what was said last.
func (p *plainView) once(thing, what string) {
	if p.seen[thing] != what {
		p.seen[thing] = what
		p.say("%s", what)
	}
}

// look says everything that has changed.
func (p *plainView) look() {
	p.sc.st, p.sc.live, p.sc.now = p.s.State(), p.s.Live(), p.o.Now()
	sc := &p.sc
	if shared, ok := p.s.(run.Shared); ok {
		pen := shared.Pen()
		sc.pen = &pen
	}
	sc.goingBack()
	if sc.st.Stage != "" {
		p.once("stage", "stage: "+string(sc.st.Stage))
	}
	for _, h := range sc.plan.Hosts {
		if l, ok := sc.live.Lights[h.Name]; ok {
			p.once("host "+h.Name, strings.TrimSpace("host "+h.Name+": "+l.String()+" "+oneLine(l.Reason)))
		}
	}
	if !sc.st.AssessedAt.IsZero() && p.seen["assessed"] != sc.st.AssessedAt.String() {
		p.seen["assessed"] = sc.st.AssessedAt.String()
		for _, f := range sc.findings() {
			line := "finding, " + sc.level(f) + ": "
			if f.Host != "" {
				line += oneLine(f.Host) + ": "
			}
			line += oneLine(f.Text)
			if f.Fix != "" {
				line += ". To do: " + oneLine(f.Fix)
			}
			p.say("%s", line)
		}
	}
	for _, s := range sc.steps {
		p.step(s)
	}
	p.clock()
	p.soak()
	p.signatures()
	p.countdown()
	if m := sc.measuring(); m != "" && p.seen["measuring"] == "" {
		p.seen["measuring"] = m
		p.say("%s", m)
	}
	if m := sc.st.Soak.Manual; m != nil {
		p.once("manual "+m.Question, "the countdown was stopped by "+oneLine(m.By.Who())+"; belay only asks from now on")
	}
	for _, n := range sc.st.Notes {
		p.once("note "+n.Time.String()+n.Text, "note: "+oneLine(n.Text))
	}
	for _, d := range sc.st.Debts {
		on := ""
		if d.Host != "" {
			on = " on " + d.Host
		}
		p.once("debt "+d.Step+d.Host, fmt.Sprintf("debt: %s%s is not undone: %s", d.Step, on, oneLine(d.Why)))
	}
}

// step says how a step stands, when that has changed.
func (p *plainView) step(s *plan.Step) {
	sc := &p.sc
	word := sc.status(s.ID)
	if word == journal.WaitingYou { // the question comes next; first what led to it
		word = sc.st.Step(s.ID).Status
	}
	if word == journal.Pending || word == journal.WaitingYou {
		return
	}
	st := sc.st.Step(s.ID)
	line := fmt.Sprintf("%s: %s%s", word, oneLine(s.Title), onWhere(s))
	if word == journal.Undone {
		line = fmt.Sprintf("%s: %s%s", sc.ended(s.ID), oneLine(s.Title), onWhere(s))
	}
	switch word {
	case journal.Running:
		if st.Attempt > 1 {
			line += fmt.Sprintf(", attempt %d", st.Attempt)
		}
		if _, back := undo(s); !back {
			line += ". NO WAY BACK"
		}
	case journal.PassedStatus, journal.Undone:
		if st.Already {
			line += ", it was found done"
		} else if d := sc.took(s.ID); d > 0 {
			line += ", took " + widget.Span(d)
		}
	case journal.FailedStatus, journal.Unknown, journal.UndoFailedSt:
		line += ": " + oneLine(st.Err)
	}
	p.once("step "+s.ID, line)
}

// clock says when the cutover ends, whenever a step of it begins or ends, and
// at once when the last safe moment has passed.
func (p *plainView) clock() {
	sc := &p.sc
	if ends, at := sc.ends(), fmt.Sprint(sc.forecast(journal.Cutover).Steps, sc.running()); ends != "" && p.seen["clock"] != at {
		p.seen["clock"] = at
		p.say("cutover %s", ends)
	}
	if text, role := sc.safe(); role == widget.Fail {
		p.once("safe", text)
	}
}

// signatures says who said go, who is missing, and which signature is void.
func (p *plainView) signatures() {
	sc := &p.sc
	if it := sc.st.Items[journal.GoItem]; it == nil {
		return
	}
	for _, l := range sc.approvals() {
		p.once("go "+l, "sign-off: "+l)
	}
	for _, it := range sc.plan.Signoff {
		if st := sc.st.Items[it.ID]; st != nil {
			for _, d := range st.Voided {
				p.once(fmt.Sprint("void ", it.ID, d.Seq), fmt.Sprintf("void: what %s signed, %s: %s", d.By.Who(), oneLine(it.Text), oneLine(d.Why)))
			}
		}
	}
}

// soak says the verdict when its words change; counts would never end.
func (p *plainView) soak() {
	sc := &p.sc
	if sc.st.Stage != journal.Soak || sc.st.Soak.Begun.IsZero() {
		return
	}
	for _, t := range sc.st.Soak.Turns {
		if t.How != journal.TurnEnd && sc.question(journal.AskSoak) != nil {
			p.once("turn "+t.Time.String(), "soak, while you are asked: "+TurnWords(t))
		}
	}
	text, _ := sc.verdict()
	word, _, _ := strings.Cut(text, ":")
	if p.seen["soak"] != word {
		p.seen["soak"] = word
		p.say("soak, %s: %s", soakTime(sc), text)
	}
}

// countdown says how long it is until a rollback begins by itself, every ten
// seconds.
func (p *plainView) countdown() {
	c := p.sc.st.Soak.Countdown
	if c == nil || p.sc.live.Ended {
		return
	}
	left := int(c.Until.Sub(p.sc.now).Seconds())
	p.once("countdown "+c.Question, fmt.Sprintf("COUNTDOWN: belay rolls back by itself in about %d s. Any answer to the question stops it.", max(0, (left+9)/10*10)))
}

// end says what the run has come to.
func (p *plainView) end() {
	p.say("%s", p.sc.outcome())
	if p.sc.live.Err != nil {
		p.say("why: %s", oneLine(p.sc.live.Err.Error()))
	}
	if !p.sc.st.Over() {
		p.say("resume with: %s", p.o.Resume)
	}
}

// reader gives lines when they are asked for and not before, so that a secret
// can be read from a terminal without showing it.
type reader struct {
	src  io.Reader
	buf  *bufio.Reader
	want chan bool // true: hidden
	got  chan typedLine
}

type typedLine struct {
	text string
	err  error
}

func newReader(src io.Reader) *reader {
	r := &reader{src: src, buf: bufio.NewReader(src), want: make(chan bool), got: make(chan typedLine, 1)}
	go func() {
		for hidden := range r.want {
			text, err := r.read(hidden)
			r.got <- typedLine{text, err}
		}
	}()
	return r
}

func (r *reader) read(hidden bool) (string, error) {
	if f, ok := r.src.(*os.File); ok && hidden && term.IsTerminal(f.Fd()) {
		b, err := term.ReadPassword(f.Fd())
		return string(b), err
	}
	text, err := r.buf.ReadString('\n')
	if errors.Is(err, io.EOF) && text != "" {
		err = nil
	}
	return strings.TrimRight(text, "\r\n"), err
}
