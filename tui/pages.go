package tui

import (
	"embed"
	"fmt"
	"strings"

	"belay/steps/journal"
	"belay/tui/widget"
)

// The help of every screen and every question, one file each, in plain words.
//
// A file begins with its title ("# …"); parts begin with "## …". A line
// "= word: text" explains the sign of a state, "@choice: text" what an answer
// does ("@*" stands for those that only the plan names), every other line is
// a paragraph. {leaving} and {detach} become what leaving this very run does.
//
//go:embed pages/*.md
var pageFiles embed.FS

// page is one help page.
type page struct {
	title string
	parts []pagePart
}

type pagePart struct {
	head  string
	lines []pageLine
}

// pageLine is a paragraph, or with a mark before it, what a word means.
type pageLine struct {
	mark byte // '=' a sign, '@' a choice, 0 neither
	word string
	text string
}

// pages by name: of a screen, "ask-" and a kind of question, or of a dialog.
var pages = readPages()

func readPages() map[string]page {
	out := map[string]page{}
	files, err := pageFiles.ReadDir("pages")
	if err != nil {
		panic(err) // they are part of the program
	}
	for _, f := range files {
		b, err := pageFiles.ReadFile("pages/" + f.Name())
		if err != nil {
			panic(err)
		}
		out[strings.TrimSuffix(f.Name(), ".md")] = readPage(string(b))
	}
	return out
}

func readPage(text string) page {
	var p page
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if head, ok := strings.CutPrefix(line, "# "); ok {
			p.title = head
			continue
		}
		if head, ok := strings.CutPrefix(line, "## "); ok {
			p.parts = append(p.parts, pagePart{head: head})
			continue
		}
		if line == "" || len(p.parts) == 0 {
			continue
		}
		last := &p.parts[len(p.parts)-1]
		last.lines = append(last.lines, readPageLine(line))
	}
	return p
}

func readPageLine(line string) pageLine {
	if line[0] == '=' || line[0] == '@' {
		if word, text, ok := strings.Cut(line[1:], ":"); ok {
			return pageLine{mark: line[0], word: strings.TrimSpace(word), text: strings.TrimSpace(text)}
		}
	}
	return pageLine{text: line}
}

// leaving says what a link that drops does to this run.
func (sc *scene) leaving() string {
	if sc.live.Ended {
		return "This run has ended; nothing goes on without you."
	}
	return "If you leave or the link drops: " + sc.opt.Detach + " Come back with: " + sc.opt.Resume
}

// readWidth is the most columns that a page takes: longer lines are hard to
// read.
const readWidth = 92

// pageText draws a page. Of the answers it explains those that q offers, under
// the keys given; all that there are, when q is nil.
func (sc *scene) pageText(name string, q *journal.Question, keys []string, w int) []string {
	w = min(w, readWidth)
	p := pages[name]
	out := []string{"  " + sc.th.Paint(widget.Strong, p.title)}
	for _, part := range p.parts {
		out = append(out, "", "  "+sc.th.Paint(widget.Accent, part.head))
		asked := false
		for _, l := range part.lines {
			switch {
			case l.mark == '=':
				out = append(out, sc.signLines(l, w)...)
			case l.mark == 0:
				out = append(out, sc.proseLines(l.text, "  ", w)...)
			case q == nil:
				out = append(out, sc.choiceLines("", l.word, l.text, w)...)
			case !asked:
				asked = true
				for i, o := range q.Options {
					out = append(out, sc.choiceLines(keys[i], oneLine(o.Label), part.explains(o), w)...)
				}
			}
		}
	}
	return out
}

// explains is what a part says of an option.
func (p pagePart) explains(o journal.Option) string {
	other := oneLine(o.Note)
	for _, l := range p.lines {
		switch {
		case l.mark != '@':
		case l.word == o.Choice:
			return l.text
		case l.word == "*":
			other = l.text
		}
	}
	return other
}

func (sc *scene) proseLines(text, lead string, w int) []string {
	text = strings.NewReplacer("{leaving}", sc.leaving(), "{detach}", sc.opt.Detach).Replace(text)
	var out []string
	for _, l := range widget.Wrap(clean(text), w-len(lead)-2) {
		out = append(out, lead+sc.keysIn(l))
	}
	return out
}

// keysIn paints what stands between backticks as keys.
func (sc *scene) keysIn(line string) string {
	parts := strings.Split(line, "`")
	for i := range parts {
		if i%2 == 1 {
			parts[i] = sc.th.Paint(widget.Accent, parts[i])
		}
	}
	return strings.Join(parts, "")
}

// signCols is the room for a sign and its word.
const signCols = 19

func (sc *scene) signLines(l pageLine, w int) []string {
	mk := widget.MarkOf(l.word)
	head := "  " + sc.th.Paint(mk.Role, mk.Glyph+" "+l.word)
	text := sc.proseLines(l.text, strings.Repeat(" ", signCols+2), w)
	text[0] = widget.Fit(head, signCols+2) + strings.TrimLeft(text[0], " ")
	return text
}

func (sc *scene) choiceLines(key, label, text string, w int) []string {
	if key != "" {
		key = fmt.Sprintf("%-3s", key)
	}
	head := "  " + sc.th.Paint(widget.Accent, key) + sc.th.Paint(widget.Strong, label)
	out := []string{widget.Cut(head, w)}
	if text == "" {
		text = "The plan and belay's manual say what it does."
	}
	return append(out, sc.proseLines(text, "     ", w)...)
}

// pageKeys lists the keys of a place, as one more part of a page.
func (sc *scene) pageKeys(at place, w int) []string {
	out := []string{"", "  " + sc.th.Paint(widget.Accent, "The keys here")}
	for _, b := range bindings {
		if b.in == at {
			out = append(out, sc.keyLines(b, min(w, readWidth))...)
		}
	}
	return out
}

func (sc *scene) keyLines(b binding, w int) []string {
	lead := strings.Repeat(" ", 14)
	text := sc.proseLines(b.help, lead, w)
	text[0] = "  " + sc.th.Paint(widget.Accent, widget.Fit(b.name(), 12)) + strings.TrimLeft(text[0], " ")
	return text
}
