package tui

import (
	"strings"
	"unicode"

	tea "charm.land/bubbletea/v2"

	"belay/tui/widget"
)

// maxTyped is how many characters a typed line takes.
const maxTyped = 1000

// line is a line that somebody types. It is our own because the one of Bubbles
// runs clipboard programs on the bastion when ctrl-v is pressed.
type line struct {
	text []rune
	at   int // where the next character goes
}

func (l *line) Value() string     { return string(l.text) }
func (l *line) SetValue(s string) { l.text = []rune(s); l.at = len(l.text) }

// update takes a key or a paste. What cannot be typed is left out.
func (l *line) update(msg tea.Msg) {
	switch msg := msg.(type) {
	case tea.PasteMsg:
		l.insert(msg.Content)
	case tea.KeyPressMsg:
		if msg.Text != "" && msg.Mod&(tea.ModCtrl|tea.ModAlt) == 0 {
			l.insert(msg.Text)
			return
		}
		l.edit(msg.String())
	}
}

func (l *line) insert(s string) {
	for _, r := range s {
		if unicode.IsPrint(r) && len(l.text) < maxTyped {
			l.text = append(l.text[:l.at:l.at], append([]rune{r}, l.text[l.at:]...)...)
			l.at++
		}
	}
}

func (l *line) edit(key string) {
	switch key {
	case "left":
		l.at = max(0, l.at-1)
	case "right":
		l.at = min(len(l.text), l.at+1)
	case "home":
		l.at = 0
	case "end", "ctrl+e":
		l.at = len(l.text)
	case "backspace", "ctrl+h":
		if l.at > 0 {
			l.cut(l.at-1, l.at)
		}
	case "delete":
		if l.at < len(l.text) {
			l.cut(l.at, l.at+1)
		}
	case "ctrl+u":
		l.cut(0, l.at)
	case "ctrl+k":
		l.cut(l.at, len(l.text))
	case "ctrl+w":
		from := l.at
		for from > 0 && l.text[from-1] == ' ' {
			from--
		}
		for from > 0 && l.text[from-1] != ' ' {
			from--
		}
		l.cut(from, l.at)
	}
}

func (l *line) cut(from, to int) {
	l.text = append(l.text[:from:from], l.text[to:]...)
	l.at = from
}

// view shows as much as fits in w cells around the place of typing, and says
// in which cell that is.
func (l *line) view(w int) (text string, x int) {
	from := 0
	for from < l.at && widget.Width(string(l.text[from:l.at])) >= w {
		from++
	}
	shown := widget.CleanLine(string(l.text[from:]))
	if from > 0 {
		shown = "…" + strings.TrimPrefix(shown, string(l.text[from:from+1]))
	}
	return widget.Cut(shown, w), min(widget.Width(string(l.text[from:l.at])), w-1)
}
