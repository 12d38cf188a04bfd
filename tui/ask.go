package tui

import (
	"strings"

	tea "charm.land/bubbletea/v2"

	"belay/steps/journal"
	"belay/tui/widget"
)

// ask is the dialog of one question: first a letter chooses, then the form
// takes what the choice needs, then ctrl-y sends.
type ask struct {
	q      journal.Question
	item   string // the finding or checklist item that it is about; "" for none
	keys   []string
	chosen int // index into q.Options; -1: none yet
	form   form
	tail   []string // last lines of the failed step's log
	say    string   // what went wrong with sending
	filled string   // the choice that the form is for
	stale  bool
	sent   bool
	scroll int
	room   int  // lines for the story
	free   bool // not a question of the engine's: what is chosen is a Request
}

func newAsk(q journal.Question, item string, tail []string) *ask {
	return &ask{q: q, item: item, keys: letters(q.Options), chosen: -1, tail: tail}
}

// usual letters of the usual choices, so that fingers learn them; no letter
// means one thing here and its opposite there.
var usual = map[string]string{
	"retry": "r", "mend": "m", "recheck": "c", "skip": "s", "on": "g", "rollback": "b", "stop": "x", "go": "g", "no-go": "n",
	"extend": "k", "hold": "h", "close": "l", "back": "n", "cancel": "e", "sign": "i", "done": "o", "accept": "a", "keep": "k", "break-glass": "t",
}

// letters gives every option a key of its own.
func letters(opts []journal.Option) []string {
	taken, out := map[string]bool{"p": true}, make([]string, len(opts)) // p takes the pen
	for i, o := range opts {
		candidates := usual[o.Choice] + strings.ToLower(o.Choice+o.Label) + "123456789"
		for _, r := range candidates {
			k := string(r)
			if (r >= 'a' && r <= 'z' || r >= '1' && r <= '9') && !taken[k] {
				out[i], taken[k] = k, true
				break
			}
		}
	}
	return out
}

func (a *ask) place() place {
	if a.chosen >= 0 {
		return inForm
	}
	return inAsk
}

// press handles a named action; raw is the key itself, for letters and typing.
func (a *ask) press(m *model, do action, msg tea.Msg) tea.Cmd {
	switch do {
	case "back":
		if a.chosen < 0 || a.stale {
			m.close()
			return nil
		}
		a.chosen, a.say = -1, ""
	case "down", "up", "page-down", "page-up":
		a.move(do)
	case "send":
		return a.send(m)
	case "pen":
		return m.takePen()
	case "help":
		m.explain()
	case "":
		return a.typed(m, msg)
	}
	return nil
}

func (a *ask) move(do action) {
	step := map[action]int{"down": 1, "up": -1, "page-down": 10, "page-up": -10}[do]
	if a.chosen >= 0 && (step == 1 || step == -1) {
		a.form.focus(a.form.at + step)
		return
	}
	a.scroll = max(0, a.scroll+step)
}

// type1 is a key without a meaning of its own: a letter that chooses, or text.
func (a *ask) typed(m *model, msg tea.Msg) tea.Cmd {
	if a.chosen >= 0 {
		a.say = ""
		a.form.update(msg)
		return nil
	}
	k, ok := msg.(tea.KeyPressMsg)
	if !ok || a.stale || a.sent {
		return nil
	}
	for i, letter := range a.keys {
		switch {
		case letter != k.String():
		case m.sc.readOnly() != "":
			m.toast(m.sc.readOnly())
		case a.off(&m.sc, i) == "":
			a.choose(&m.sc, i)
		}
	}
	return nil
}

// choose opens the form of option i; what was typed for it before is kept.
func (a *ask) choose(sc *scene, i int) {
	o := a.q.Options[i]
	a.chosen, a.say = i, ""
	if a.filled == o.Choice {
		return
	}
	a.form, a.filled = form{}, o.Choice
	if o.Type != "" {
		f := newField("type", "Type “"+oneLine(o.Type)+"”")
		f.want = o.Type
		a.form.add(f)
	}
	if strings.Contains(o.Needs, "text") {
		label := "Evidence"
		if a.q.Kind != journal.AskManual {
			label = "Text"
		}
		a.form.add(newField("text", label))
	}
	if strings.Contains(o.Needs, "reason") {
		a.form.add(newField("reason", "Reason"))
	}
	if strings.Contains(o.Needs, "role") {
		f := newField("role", "For the role")
		f.optional = true // one that can be for one role only needs none
		by := sc.opt.Author
		by.Name = sc.name
		if role, err := sc.plan.RoleFor(sc.st, by, ""); err == nil {
			f.in.SetValue(role)
		}
		a.form.add(f)
	}
	signs := strings.Contains(o.Needs, "name")
	if signs || !a.free && sc.name == "" && (o.Needs != "" || o.Type != "" || o.Danger) {
		f := newField("name", "Your name")
		f.in.SetValue(sc.name)
		a.form.add(f)
	}
	if signs && a.q.Kind == journal.AskSignoff && !strings.Contains(o.Needs, "reason") {
		f := newField("reason", "Remark, if any")
		f.optional = true
		a.form.add(f)
	}
	a.form.focus(a.form.empty())
}

// off says why an option cannot be chosen now.
func (a *ask) off(sc *scene, i int) string {
	c := a.q.Options[i].Choice
	switch {
	case a.q.Kind == journal.AskFindings && c == "accept" && !sc.acceptable(a.item):
		return "choose a warning first: esc, then ↓"
	case a.q.Kind == journal.AskFindings && c == "go":
		return sc.inTheWay()
	case a.q.Kind == journal.AskSignoff && c == "go":
		return sc.unsigned()
	case a.q.Kind == journal.AskCutover && c == "go":
		by := sc.opt.Author
		by.Name = sc.name
		return sc.plan.Alone(sc.st, by)
	case a.q.Kind == journal.AskSignoff && c == "sign" && !sc.signable(a.item):
		return "choose a person's item first: esc, then ↓"
	}
	return ""
}

// send checks the form and sends the answer from the background.
func (a *ask) send(m *model) tea.Cmd {
	if a.sent || a.stale {
		return nil
	}
	if a.say = m.sc.readOnly(); a.say != "" {
		return nil
	}
	if a.say = a.form.problem(); a.say != "" {
		return nil
	}
	by := m.o.Author
	by.Name = m.sc.name
	if n := a.form.value("name"); n != "" {
		by.Name, m.sc.name = n, n
	}
	o := a.q.Options[a.chosen]
	if a.free {
		m.close()
		m.toast("asked: " + o.Label)
		return m.request(o.Choice, a.form.value("reason"))
	}
	text := a.form.value("text")
	if o.Type != "" {
		text = a.form.value("type")
	}
	a.sent = true
	return m.answer(journal.Answer{
		Question: a.q.ID, Choice: o.Choice, Item: a.itemFor(o.Choice), Text: text,
		Reason: a.form.value("reason"), Role: a.form.value("role"), By: by, Time: m.o.Now(),
	}, o.Label)
}

// itemFor leaves the item out of answers that are not about one.
func (a *ask) itemFor(choice string) string {
	if choice == "sign" && a.q.Kind == journal.AskSignoff || choice == "accept" && a.q.Kind == journal.AskFindings {
		return a.item
	}
	return ""
}

// failed shows that the answer did not arrive.
func (a *ask) failed(err error, stale bool) {
	a.sent, a.stale = false, stale
	if stale {
		a.chosen = -1
	}
	a.say = clean(err.Error())
}

func (a *ask) title() string {
	if a.free {
		return "ask belay"
	}
	return "belay waits for YOU"
}

// view draws the question above its options or its form.
func (a *ask) view(sc *scene, w, h int) ([]string, point) {
	bottom, at := a.bottom(sc, w)
	room := max(1, h-len(bottom)-1)
	a.room = room
	top := a.story(sc, w)
	if len(top) > room {
		a.scroll = min(a.scroll, len(top)-room+1)
		rest := len(top) - a.scroll - room + 1
		top = top[a.scroll:min(len(top), a.scroll+room-1)]
		more := sc.th.Paint(widget.Accent, "  ▼ "+plural(max(rest, 0), "more line")+": pgdn")
		if rest <= 0 {
			more = ""
		}
		top = append(top, more)
	} else {
		a.scroll = 0
	}
	if at.y >= 0 {
		at.y += len(top) + 1
	}
	lines := append(append(top, ""), bottom...)
	return lines, at
}

// bottom is the options, or the form of the chosen one.
func (a *ask) bottom(sc *scene, w int) ([]string, point) {
	th := sc.th
	if a.stale {
		return append(widget.Pairs(th, []widget.Pair{{Label: "too late", Value: a.say, Role: widget.Warn, Max: 3}}, w),
			"", "  "+th.Paint(widget.Dim, "esc closes this question.")), nowhere
	}
	if a.chosen < 0 {
		return a.options(sc, w), nowhere
	}
	o := a.q.Options[a.chosen]
	role := widget.Accent
	if o.Danger {
		role = widget.Fail
	}
	lines := []string{"  " + th.Paint(role, "▸ "+oneLine(o.Label)), ""}
	fields, at := a.form.lines(th, w)
	if at.y >= 0 {
		at.y += len(lines)
	}
	lines = append(lines, fields...)
	if len(fields) > 0 {
		lines = append(lines, "")
	}
	switch {
	case a.sent:
		lines = append(lines, "  "+th.Paint(widget.Dim, "sending …"))
	case sc.readOnly() != "":
		lines = append(lines, widget.Pairs(th, []widget.Pair{{Label: "◆", Value: strings.TrimSuffix(sc.readOnly(), " p takes it.") + " What you typed stays: esc, p, then choose again.", Role: widget.Warn, Max: 3}}, w)...)
	case a.say != "":
		lines = append(lines, widget.Pairs(th, []widget.Pair{{Label: "✗", Value: a.say, Role: widget.Fail, Max: 4}}, w)...)
	default:
		as := " sends this answer as " + sc.signature(a.form.value("name"))
		if a.form.lacks("name") {
			as = " sends this answer, signed with your name (" + clean(sc.opt.Author.Login) + ")"
		}
		lines = append(lines, "  "+th.Paint(widget.Accent, "ctrl-y")+as)
	}
	return lines, at
}

func (a *ask) options(sc *scene, w int) []string {
	cs, only := make([]widget.Choice, len(a.q.Options)), sc.readOnly()
	for i, o := range a.q.Options {
		cs[i] = widget.Choice{Key: a.keys[i], Label: oneLine(o.Label), Danger: o.Danger}
		var needs []string
		if o.Type != "" {
			needs = append(needs, "the word “"+oneLine(o.Type)+"”")
		}
		for _, n := range []string{"reason", "text", "name", "role"} {
			if strings.Contains(o.Needs, n) {
				needs = append(needs, map[string]string{"reason": "a reason", "text": "evidence", "name": "your name", "role": "your role"}[n])
			}
		}
		if len(needs) > 0 {
			cs[i].Note = "asks for " + strings.Join(needs, ", ")
		}
		if off := a.off(sc, i); off != "" {
			cs[i].Off, cs[i].Note = true, off
		}
		if only != "" {
			cs[i].Off = true
		}
	}
	out := widget.Choices(sc.th, cs, w)
	if only != "" {
		out = append(out, "")
		out = append(out, widget.Pairs(sc.th, []widget.Pair{{Label: "◆", Value: only, Role: widget.Warn, Max: 3}}, w)...)
	}
	return out
}

// signature is how an answer will be signed: the typed name and the login.
func (sc *scene) signature(typed string) string {
	name, login := typed, sc.opt.Author.Login
	if name == "" {
		name = sc.name
	}
	switch {
	case name == "" && login == "":
		return "nobody by name"
	case name == "":
		return clean(login)
	case login == "":
		return clean(name)
	}
	return clean(name + " (" + login + ")")
}
