package tui

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	tea "charm.land/bubbletea/v2"

	"belay/steps/draft"
	"belay/steps/plan"
	"belay/tui/widget"
)

// answersPage lists what was answered; each answer can be changed.
type answersPage struct {
	question
	cursor int // the number of questions: go on
}

func newAnswersPage() *answersPage {
	return &answersPage{question: question{name: "answers", title: always("Is this right?")}, cursor: -1}
}

func (p *answersPage) place() place { return inChoice }

func (p *answersPage) enter(iv *interview) tea.Cmd {
	iv.detour = false
	p.cursor = len(iv.answered())
	return nil
}

// answered are the pages that have an answer.
func (iv *interview) answered() (at []int) {
	for i, p := range iv.pages {
		if q := p.about(); q.said != nil && q.wanted(iv) {
			at = append(at, i)
		}
	}
	return at
}

func (p *answersPage) press(iv *interview, do action, _ tea.Msg) tea.Cmd {
	all := iv.answered()
	switch do {
	case "enter":
		if p.cursor == len(all) {
			return iv.forward()
		}
		cmd := iv.turn(all[p.cursor])
		iv.detour = true
		return cmd
	case "back":
		return iv.back()
	default:
		p.cursor = moved(do, p.cursor, len(all)+1, 5)
	}
	return nil
}

func (p *answersPage) view(iv *interview, w, h int) ([]string, point) {
	th, lines, at := iv.th, []string{""}, nowhere
	all := iv.answered()
	for n, i := range append(all, -1) {
		lead, role := "  ", widget.Text
		if n == p.cursor {
			lead, role, at = th.Paint(widget.Accent, "▌ "), widget.Strong, rowAt(len(lines))
		}
		if i < 0 {
			lines = append(lines, "")
			if n == p.cursor {
				at.y++
			}
			lines = append(lines, lead+th.Paint(role, "It is right: show the plan"))
			continue
		}
		q := iv.pages[i].about()
		said := q.said(&iv.a)
		if q.name == "what" {
			said = movingText(iv.moving())
		}
		for j, text := range widget.Wrap(oneLine(said), min(w, 110)-16) {
			if j > 1 {
				break
			}
			name := q.name
			if j > 0 {
				lead, name = "  ", ""
			}
			lines = append(lines, lead+th.Paint(widget.Dim, widget.Fit(name, 10))+"  "+th.Paint(role, text))
		}
	}
	return windowed(lines, at, h)
}

func movingText(items []draft.Item) string {
	var names []string
	for _, it := range items {
		names = append(names, it.Title())
	}
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

// previewPage shows the plan before it is written, and what belay check says
// of it.
type previewPage struct {
	question
	text     []byte
	lines    []string
	read     *plan.Plan // nil: it has problems
	problems error
	notes    []plan.Note
	scroll   int
}

func newPreviewPage() *previewPage {
	return &previewPage{question: question{name: "plan", title: func(iv *interview) string { return "The plan, not written yet: " + oneLine(iv.a.file()) }}}
}

func (p *previewPage) place() place { return inPreview }

func (p *previewPage) enter(iv *interview) tea.Cmd {
	w := iv.a.Wished()
	w.Move = []string{}
	for _, it := range iv.moving() {
		w.Move = append(w.Move, it.Key())
	}
	p.text, p.scroll, p.notes = iv.draft(w, iv.old, iv.now), 0, nil
	p.lines = strings.Split(strings.TrimRight(clean(string(p.text)), "\n"), "\n")
	if p.read, p.problems = plan.Load(iv.a.file(), p.text, plan.All()); p.problems == nil {
		p.notes = p.read.Notes(iv.o.Now())
	}
	return nil
}

func (p *previewPage) press(iv *interview, do action, _ tea.Msg) tea.Cmd {
	switch do {
	case "send":
		return iv.write(p.text, false)
	case "back":
		return iv.back()
	case "details":
		iv.top = &readOver{name: "what belay check says", lines: func(w int) (out []string) {
			for _, text := range p.checked() {
				for _, l := range widget.Wrap(clean(text), w-4) {
					out = append(out, "  "+l)
				}
			}
			return out
		}}
	default:
		p.scroll = moved(do, p.scroll, 1<<20, 15)
	}
	return nil
}

// checked is what belay check says: the first line for all of it.
func (p *previewPage) checked() (all []string) {
	if p.problems != nil {
		return append([]string{"belay check finds problems, to be mended by hand once it is written:"}, strings.Split(p.problems.Error(), "\n")...)
	}
	head := fmt.Sprintf("belay check: no problems. %s, %s, %s", plural(len(p.read.Hosts), "host"), plural(len(p.read.Steps()), "step"), plural(len(p.lines), "line"))
	all = append(all, head)
	for _, n := range p.notes {
		text := n.Text
		if n.Line > 0 {
			text = fmt.Sprintf("line %d: %s", n.Line, text)
		}
		all = append(all, text)
	}
	return all
}

// fewNotes is how many lines of what belay check says stand above the plan.
const fewNotes = 3

func (p *previewPage) view(iv *interview, w, h int) ([]string, point) {
	th := iv.th
	checked := p.checked()
	role, mark := widget.OK, th.Mark("passed")
	if p.problems != nil {
		role, mark = widget.Warn, th.Mark("warn")
	}
	out := []string{"  " + mark + " " + th.Paint(role, oneLine(checked[0]))}
	for i, text := range checked[1:] {
		if rest := len(checked) - 1 - i; i+1 == fewNotes && rest > 1 {
			out = append(out, "    "+th.Paint(widget.Dim, fmt.Sprintf("and %d more: d", rest)))
			break
		}
		role := widget.Dim
		if p.problems != nil {
			role = widget.Warn
		}
		out = append(out, "    "+th.Paint(role, oneLine(text)))
	}
	out = append(out, "")
	var lines []string
	for _, l := range p.lines {
		lines = append(lines, planLines(th, l, w)...)
	}
	return append(out, scrolled(th, lines, &p.scroll, w, h-len(out))...), rowAt(len(out))
}

// planLines draws one line of a plan; what is too long goes on under it.
func planLines(th widget.Theme, l string, w int) (out []string) {
	text, note := l, ""
	if i := strings.Index(l, "# "); i == 0 || i > 0 && l[i-1] == ' ' {
		text, note = l[:i], l[i:]
	}
	if widget.Width(l) < w {
		return []string{" " + paintKey(th, text) + th.Paint(widget.Dim, note)}
	}
	indent := strings.Repeat(" ", len(l)-len(strings.TrimLeft(l, " ")))
	for i, part := range widget.Wrap(strings.TrimRight(text, " "), w-len(indent)-6) {
		if i == 0 {
			out = append(out, " "+paintKey(th, indent+strings.TrimLeft(part, " ")))
			continue
		}
		out = append(out, " "+indent+"    "+strings.TrimLeft(part, " "))
	}
	if note == "" {
		return out
	}
	if strings.TrimSpace(text) == "" {
		out, indent = nil, " "+indent
	} else {
		indent += "     "
	}
	for i, part := range widget.Wrap(strings.TrimPrefix(note, "# "), w-len(indent)-3) {
		lead := "# "
		if i > 0 {
			lead = "  "
		}
		out = append(out, indent+th.Paint(widget.Dim, lead+part))
	}
	return out
}

// paintKey shows the sections of a plan, and where a step begins.
func paintKey(th widget.Theme, l string) string {
	trimmed := strings.TrimLeft(l, " ")
	switch {
	case trimmed == l && strings.Contains(l, ":"):
		key, rest, _ := strings.Cut(l, ":")
		return th.Paint(widget.Accent, key+":") + rest
	case strings.HasPrefix(trimmed, "- step:"):
		return th.Paint(widget.Strong, l)
	}
	return l
}

// wrote says how writing went.
type wrote struct {
	file string
	text []byte
	err  error
}

func (iv *interview) write(text []byte, replace bool) tea.Cmd {
	file := iv.a.file()
	return func() tea.Msg {
		err := iv.d.Write(file, text, replace)
		if err == nil {
			iv.keeping.drop()
		}
		return wrote{file, text, err}
	}
}

func (iv *interview) wrote(msg wrote) {
	switch {
	case iv.written: // the key was pressed twice: it is written once
	case errors.Is(msg.err, fs.ErrExist):
		f := newField("type", "Its name")
		f.want = oneLine(filepath.Base(msg.file))
		r := &replacing{text: msg.text}
		r.form.add(f)
		iv.top = r
	case msg.err != nil:
		iv.said = "not written: " + msg.err.Error()
	default:
		iv.written, iv.top = true, nil
		iv.a.File = msg.file
		iv.show("written")
	}
}

// replacing asks whether a file that is there may go.
type replacing struct {
	form form
	text []byte
	say  string
}

func (r *replacing) title() string { return "there is such a file already" }
func (r *replacing) place() place  { return inForm }
func (r *replacing) press(iv *interview, do action, msg tea.Msg) tea.Cmd {
	switch do {
	case "send":
		if r.say = r.form.problem(); r.say == "" {
			return iv.write(r.text, true)
		}
		r.say = "It has to be typed exactly; nothing was written."
	case "back":
		iv.top = nil
		cmd := iv.show("file")
		iv.detour = true
		return cmd
	case "":
		r.say = ""
		r.form.update(msg)
	}
	return nil
}

func (r *replacing) view(iv *interview, w, _ int) ([]string, point) {
	th := iv.th
	lines := []string{""}
	for _, l := range widget.Wrap(oneLine(iv.a.file())+" is there already and was left as it is. To replace it by the new plan, type its name without directories; what it holds is lost then. Or esc, and name another file.", w-4) {
		lines = append(lines, "  "+l)
	}
	fields, at := r.form.lines(th, w)
	lines = append(lines, "")
	at.y += len(lines)
	lines = append(append(lines, fields...), "")
	if r.say != "" {
		lines = append(lines, "  "+th.Paint(widget.Warn, r.say))
	}
	return lines, at
}

// writtenPage says what to do next.
type writtenPage struct{ question }

func newWrittenPage() *writtenPage {
	return &writtenPage{question{name: "written", title: always("Written"), asked: func(iv *interview) bool { return iv.written }}}
}

func (p *writtenPage) place() place                              { return inWritten }
func (p *writtenPage) enter(*interview) tea.Cmd                  { return nil }
func (p *writtenPage) press(*interview, action, tea.Msg) tea.Cmd { return nil }
func (p *writtenPage) view(iv *interview, w, h int) ([]string, point) {
	if lines := p.lines(iv, w, true); len(lines) <= h {
		return lines, nowhere
	}
	return p.lines(iv, w, false), nowhere
}

func (p *writtenPage) lines(iv *interview, w int, airy bool) (lines []string) {
	th := iv.th
	add := func(lead, text string, role widget.Role) {
		for _, l := range widget.Wrap(text, min(w, 100)-len(lead)-2) {
			lines = append(lines, lead+th.Paint(role, l))
		}
	}
	add("  ", "The plan is in "+iv.where()+". Read it in an editor, and change it where you know better than belay. Then:", widget.Text)
	for _, n := range NextSteps(oneLine(iv.a.file())) {
		if airy {
			lines = append(lines, "")
		}
		add("  ", n[0], widget.Strong)
		add("      ", n[1], widget.Dim)
	}
	return lines
}

// NextSteps are the commands that come after a draft, and what each is for.
func NextSteps(file string) [][2]string {
	return [][2]string{
		{"belay check " + file, "after each change of it: is it still a plan? contacts nobody"},
		{"belay plan " + file, "what would it do? asks the servers, changes nothing"},
		{"belay rehearse " + file + " --with staging.yaml", "try it on other hosts, there and back; staging.yaml says which"},
		{"belay run " + file, "carry it out; it asks before it switches anything"},
	}
}
