package tui

import (
	"fmt"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"belay/steps/draft"
	"belay/tui/widget"
)

// foundRow is a line of the tree of what was found.
type foundRow struct {
	head string      // title of a group
	item *draft.Item // what can be chosen
	part string      // what belongs to the item above
	text string      // what cannot be chosen
	more string      // what to do about it
	warn bool
}

// foundPage lets people choose what goes along.
type foundPage struct {
	question
	rows   []foundRow
	cursor int
	filter line // only what has these letters is shown
	typing bool // into the filter
	page   int  // rows that were drawn last
}

func newFoundPage() *foundPage {
	return &foundPage{question: question{
		name: "what",
		title: func(iv *interview) string {
			if iv.a.To == "" {
				return "What shall be upgraded?"
			}
			return "What shall move?"
		},
		said: func(a *Answers) string {
			switch {
			case a.Move == nil:
				return "what belay advises"
			case len(a.Move) == 0:
				return "nothing"
			}
			return strings.Join(a.Move, ", ")
		},
	}}
}

func (p *foundPage) place() place {
	if p.typing {
		return inFilter
	}
	return inFound
}

func (p *foundPage) enter(iv *interview) tea.Cmd {
	p.filter, p.typing = line{}, false
	p.list(iv)
	return nil
}

// list makes the rows: all, or those that the filter lets through. The cursor
// stays on its row, if that is still there.
func (p *foundPage) list(iv *interview) {
	was := ""
	if p.cursor < len(p.rows) && p.rows[p.cursor].item != nil {
		was = p.rows[p.cursor].item.Key()
	}
	if want := p.wanted(); want == "" {
		p.rows = foundRows(iv.items(), iv.old, iv.now)
	} else if p.rows = itemRows(p.shown(iv), want); len(p.rows) == 0 {
		p.rows = []foundRow{{text: "Nothing that can be chosen has “" + want + "” in it.", more: "esc shows everything again."}}
	}
	p.cursor = max(0, slices.IndexFunc(p.rows, func(r foundRow) bool { return r.item != nil }))
	if i := slices.IndexFunc(p.rows, func(r foundRow) bool { return r.item != nil && r.item.Key() == was }); i >= 0 {
		p.cursor = i
	}
}

func (p *foundPage) wanted() string { return strings.ToLower(strings.TrimSpace(p.filter.Value())) }

// shown are the items that the filter lets through.
func (p *foundPage) shown(iv *interview) []draft.Item {
	want := p.wanted()
	return slices.DeleteFunc(iv.items(), func(it draft.Item) bool {
		return !strings.Contains(strings.ToLower(strings.Join(append(it.Whole(), it.Says, it.Key()), "\n")), want)
	})
}

// items are what could go along.
func (iv *interview) items() []draft.Item {
	if iv.old == nil {
		return nil
	}
	all := draft.Items(iv.old)
	if iv.a.To == "" {
		all = slices.DeleteFunc(all, func(it draft.Item) bool { return !it.Stays() })
	}
	return all
}

// moving are the items that are chosen.
func (iv *interview) moving() []draft.Item {
	return slices.DeleteFunc(iv.items(), func(it draft.Item) bool { return !it.Among(iv.a.Move) })
}

// rootAlready tells whether everything was looked at as root.
func (iv *interview) rootAlready() bool {
	return (iv.old == nil || iv.old.Root) && (iv.now == nil || iv.now.Root)
}

func (p *foundPage) press(iv *interview, do action, msg tea.Msg) tea.Cmd {
	switch do {
	case "enter":
		if p.typing {
			p.typing = false
			return nil
		}
		return iv.forward()
	case "back":
		if p.typing || p.wanted() != "" {
			p.filter, p.typing = line{}, false
			p.list(iv)
			return nil
		}
		return iv.back()
	case "search":
		p.typing = true
	case "":
		if p.typing {
			p.narrow(iv, msg)
		}
	case "pick":
		if p.cursor < len(p.rows) {
			p.pick(iv, p.rows[p.cursor])
		}
	case "pick-all", "pick-none":
		p.pickAll(iv, do == "pick-all")
	case "pick-advised":
		iv.a.Move, iv.touched, iv.said = nil, true, "What belay advises is chosen."
	case "details":
		if p.cursor < len(p.rows) {
			p.details(iv, p.rows[p.cursor])
		}
	case "as-root":
		if !iv.a.Sudo {
			iv.a.Sudo, iv.tried = true, true
			return iv.show("look")
		}
	case "recheck":
		iv.old = nil
		clear(iv.have)
		return iv.show("look")
	default:
		p.move(do)
	}
	return nil
}

// narrow gives a key or a paste to the filter.
func (p *foundPage) narrow(iv *interview, msg tea.Msg) {
	if paste, ok := msg.(tea.PasteMsg); ok {
		paste.Content = widget.CleanLine(paste.Content)
		msg = paste
	}
	p.filter.update(msg)
	p.list(iv)
}

// move takes the cursor to the next row that can be read by itself.
func (p *foundPage) move(do action) {
	for p.cursor = moved(do, p.cursor, len(p.rows), max(5, p.page-1)); p.cursor < len(p.rows) && p.rows[p.cursor].still(); {
		next := p.cursor + 1
		if do == "up" || do == "page-up" || do == "first" {
			next = p.cursor - 1
		}
		if next < 0 || next >= len(p.rows) {
			p.cursor = max(0, slices.IndexFunc(p.rows, func(r foundRow) bool { return !r.still() }))
			break
		}
		p.cursor = next
	}
}

// still tells a row that the cursor passes over.
func (r foundRow) still() bool { return r.head != "" || r.part != "" }

func (p *foundPage) pick(iv *interview, r foundRow) {
	if r.item == nil {
		iv.said = "This row cannot be chosen; d tells more."
		return
	}
	p.choose(iv, func(it draft.Item) bool { return it.Among(iv.a.Move) != (it.Key() == r.item.Key()) })
}

// pickAll chooses all that is shown, or none of it.
func (p *foundPage) pickAll(iv *interview, all bool) {
	shown := p.shown(iv)
	p.choose(iv, func(it draft.Item) bool {
		if slices.ContainsFunc(shown, func(s draft.Item) bool { return s.Key() == it.Key() }) {
			return all
		}
		return it.Among(iv.a.Move)
	})
	what := "Everything"
	if !all {
		what = "Nothing"
	}
	if p.wanted() != "" {
		what += " that is shown"
	}
	iv.said = what + " is chosen."
}

func (p *foundPage) choose(iv *interview, chosen func(draft.Item) bool) {
	iv.touched = true
	keys := []string{}
	for _, it := range iv.items() {
		if chosen(it) {
			keys = append(keys, it.Key())
		}
	}
	iv.a.Move = keys
}

func (p *foundPage) details(iv *interview, r foundRow) {
	name := r.text
	if r.item != nil {
		name = r.item.Name
	}
	iv.top = &readOver{name: widget.Cut(oneLine(name), 40), lines: func(w int) (out []string) {
		add := func(text string) {
			for _, l := range widget.Wrap(clean(text), w-4) {
				out = append(out, "  "+l)
			}
		}
		out = append(out, "")
		if r.item == nil {
			add(r.text)
			add(r.more)
			return out
		}
		add(r.item.Says)
		for _, line := range r.item.Whole() {
			add("  " + line)
		}
		return out
	}}
}

func (p *foundPage) view(iv *interview, w, h int) ([]string, point) {
	lines, at := p.lines(iv, w)
	room := h - 1
	var top []string
	if p.typing || p.wanted() != "" {
		text, x := p.filter.view(max(8, min(w, 80)-14))
		top = []string{"  " + iv.th.Paint(widget.Accent, "only with ") + underlined(iv.th, text, 24)}
		room--
		if p.typing {
			return append(append(top, widget.Fill(lines[:min(len(lines), room)], room)...), p.foot(iv, 0, len(lines)-room, w)), point{x: 12 + x, y: 0}
		}
	}
	p.page = room
	from := widget.From(at, len(lines), room)
	if at < room && p.cursor <= slices.IndexFunc(p.rows, func(r foundRow) bool { return r.item != nil }) {
		from = 0 // what stands above the first is in view, too
	}
	part := widget.Fill(lines[from:min(len(lines), from+room)], room)
	return append(append(top, part...), p.foot(iv, from, len(lines)-from-room, w)), rowAt(at - from + len(top))
}

// lines draws the rows; at is where the cursor is.
func (p *foundPage) lines(iv *interview, w int) (lines []string, at int) {
	th := iv.th
	for i, r := range p.rows {
		lead, role := "  ", widget.Text
		if i == p.cursor {
			lead, role, at = th.Paint(widget.Accent, "▌ "), widget.Strong, len(lines)
		}
		switch {
		case r.head != "":
			if len(lines) > 0 {
				lines = append(lines, "")
			}
			lines = append(lines, "  "+th.Paint(widget.Dim, oneLine(r.head)))
		case r.item != nil:
			mark := "[ ] "
			if r.item.Among(iv.a.Move) {
				mark = "[x] "
			}
			says := r.item.Says
			if r.item.Kind == draft.ByHand { // the title of the group says the rest
				says, _, _ = strings.Cut(says, ": started in a way")
			}
			lines = append(lines, lead+mark+th.Paint(role, oneLine(says)))
		case r.part != "":
			lines = append(lines, "        "+th.Paint(widget.Dim, "└ "+oneLine(r.part)))
		default:
			mark := "  "
			if r.warn {
				mark = th.Mark("unknown") + " "
			}
			lines = append(lines, lead+mark+th.Paint(role, oneLine(r.text)))
			if r.more != "" && i == p.cursor {
				for _, l := range widget.Wrap(oneLine(r.more), w-8) {
					lines = append(lines, "      "+th.Paint(widget.Dim, l))
				}
			}
		}
	}
	return lines, at
}

// foot counts what is chosen, and says what is out of view.
func (p *foundPage) foot(iv *interview, above, below, w int) string {
	text := fmt.Sprintf("  %d of %d chosen", len(iv.moving()), len(iv.items()))
	if p.wanted() != "" {
		text += fmt.Sprintf(", %d shown", len(p.shown(iv)))
	}
	if above > 0 {
		text += "   ▲ " + plural(above, "line")
	}
	if below > 0 {
		text += "   ▼ " + plural(below, "line")
	}
	return iv.th.Paint(widget.Accent, widget.Cut(text, w))
}
