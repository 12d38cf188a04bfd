package tui

import (
	"fmt"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"belay/checks/inspect"
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

func (p *foundPage) place() place { return inFound }

func (p *foundPage) enter(iv *interview) tea.Cmd {
	p.rows = foundRows(iv.items(), iv.old, iv.now)
	p.cursor = max(0, slices.IndexFunc(p.rows, func(r foundRow) bool { return r.item != nil }))
	return nil
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

// groupOf is the title under which a kind of item stands.
var groupOf = map[string]string{
	draft.Compose: "programs", draft.Unit: "programs", draft.Database: "databases", draft.Files: "files", draft.Cron: "cron and timers", draft.Timer: "cron and timers",
	draft.ByHand: "only people know how these start: the plan asks them",
}

func foundRows(items []draft.Item, hosts ...*inspect.Host) (rows []foundRow) {
	for _, group := range []string{"programs", "databases", "files", "cron and timers", groupOf[draft.ByHand]} {
		head := false
		for i, it := range items {
			if groupOf[it.Kind] != group {
				continue
			}
			if !head {
				rows, head = append(rows, foundRow{head: group}), true
			}
			rows = append(rows, foundRow{item: &items[i]})
			for _, part := range it.Parts() {
				rows = append(rows, foundRow{part: part})
			}
		}
	}
	if len(items) == 0 {
		rows = append(rows, foundRow{text: "Nothing that belay could move was found; the draft will be nearly empty."})
	}
	for _, h := range hosts {
		if h == nil {
			continue
		}
		if !h.Root {
			rows = append(rows, foundRow{head: "on " + h.Name + " belay is not root"},
				foundRow{warn: true, text: "It looked as " + h.User + ": much is hidden.", more: "If sudo asks for no password there: s looks again as root."})
		}
		if len(h.Gaps) > 0 {
			rows = append(rows, foundRow{head: "not understood on " + h.Name})
		}
		for _, g := range h.Gaps {
			rows = append(rows, foundRow{warn: true, text: g.What, more: g.Do})
		}
	}
	if rest := draft.Rest(hosts[0], items); len(rest) > 0 {
		rows = append(rows, foundRow{head: "also on " + hosts[0].Name + ", and not offered: it came with the system, or belay cannot move it"})
		for _, text := range rest {
			rows = append(rows, foundRow{text: text})
		}
	}
	return rows
}

func (p *foundPage) press(iv *interview, do action, _ tea.Msg) tea.Cmd {
	switch do {
	case "enter":
		return iv.forward()
	case "back":
		return iv.back()
	case "pick":
		if p.cursor < len(p.rows) {
			p.pick(iv, p.rows[p.cursor])
		}
	case "pick-all":
		p.pickAll(iv)
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
		return iv.show("look")
	default:
		for p.cursor = moved(do, p.cursor, len(p.rows), 10); p.cursor < len(p.rows) && p.rows[p.cursor].still(); {
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
	return nil
}

// still tells a row that the cursor passes over.
func (r foundRow) still() bool { return r.head != "" || r.part != "" }

func (p *foundPage) pick(iv *interview, r foundRow) {
	if r.item == nil {
		iv.said = "this row cannot be chosen; d tells more"
		return
	}
	iv.touched = true
	keys := []string{}
	for _, it := range iv.items() {
		if it.Among(iv.a.Move) != (it.Key() == r.item.Key()) {
			keys = append(keys, it.Key())
		}
	}
	iv.a.Move = keys
}

// pickAll goes round: what is advised, everything, nothing.
func (p *foundPage) pickAll(iv *interview) {
	iv.touched = true
	all := iv.items()
	switch n := len(iv.moving()); {
	case iv.a.Move == nil, n > 0 && n < len(all):
		iv.a.Move, iv.said = []string{}, "everything is chosen"
		for _, it := range all {
			iv.a.Move = append(iv.a.Move, it.Key())
		}
	case n > 0:
		iv.a.Move, iv.said = []string{}, "nothing is chosen"
	default:
		iv.a.Move, iv.said = nil, "what belay advises is chosen"
	}
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
	th := iv.th
	var lines []string
	at := 0
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
			lines = append(lines, "  "+th.Paint(widget.Dim, clean(r.head)))
		case r.item != nil:
			mark := "[ ] "
			if r.item.Among(iv.a.Move) {
				mark = "[x] "
			}
			lines = append(lines, lead+mark+th.Paint(role, oneLine(r.item.Says)))
		case r.part != "":
			lines = append(lines, "        "+th.Paint(widget.Dim, "└ "+oneLine(r.part)))
		default:
			mark := "  "
			if r.warn {
				mark = th.Mark("unknown") + " "
			}
			lines = append(lines, lead+mark+th.Paint(role, oneLine(r.text)))
			if r.more != "" && i == p.cursor {
				lines = append(lines, "      "+th.Paint(widget.Dim, oneLine(r.more)))
			}
		}
	}
	room := h - 1
	from := widget.From(at, len(lines), room)
	if p.cursor == slices.IndexFunc(p.rows, func(r foundRow) bool { return !r.still() }) {
		from = 0 // the first title is in view, too
	}
	part := widget.Fill(lines[from:min(len(lines), from+room)], room)
	foot := fmt.Sprintf("  %d of %d chosen", len(iv.moving()), len(iv.items()))
	if rest := len(lines) - from - room; rest > 0 {
		foot += fmt.Sprintf("   ▼ %s", plural(rest, "more line"))
	}
	return append(part, th.Paint(widget.Accent, widget.Cut(foot, w))), rowAt(at - from)
}
