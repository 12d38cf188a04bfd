package tui

import (
	"strings"

	tea "charm.land/bubbletea/v2"
)

// help explains what is in front: the question, or the dialog, which stays as
// it is.
func (iv *interview) help() tea.Cmd {
	if o, already := iv.top.(*pageOver); already {
		iv.top = &helpOver{newHelp(o.from), iv.top}
		return nil
	}
	iv.top = &pageOver{name: iv.pageName(), from: iv.place(), under: iv.top}
	return nil
}

// pageName is the name of the page that explains what is in front.
func (iv *interview) pageName() string {
	switch o := iv.top.(type) {
	case *promptOver:
		return "ask-" + o.x.p.Kind
	case *replacing:
		return "init-replace"
	case *leaving:
		return "init-leave"
	case *readOver:
		return "init-details"
	}
	return helpOf(iv.page())
}

// helpOf is the name of the page of a question.
func helpOf(p leaf) string { return "init-" + strings.ReplaceAll(p.about().name, " ", "-") }

// reader is what the pages need to be drawn without a run.
func (iv *interview) reader() *scene {
	return &scene{th: iv.th, opt: Options{
		Detach: "No server is changed by that. What you have answered is kept on this machine, and the next belay init offers to go on.",
		Resume: "belay init",
	}}
}

// pageOver is a help page, in front of what it explains.
type pageOver struct {
	name   string
	from   place
	scroll int
	under  overlay
}

func (o *pageOver) title() string { return "help" }
func (o *pageOver) place() place  { return inPage }
func (o *pageOver) press(iv *interview, do action, _ tea.Msg) tea.Cmd {
	switch do {
	case "back":
		iv.top = o.under
	case "all-keys":
		return iv.help()
	case "", "copy":
	default:
		o.scroll = moved(do, o.scroll, 1<<20, 10)
	}
	return nil
}

func (o *pageOver) view(iv *interview, w, h int) ([]string, point) {
	sc := iv.reader()
	lines := append(sc.pageText(o.name, nil, nil, w), sc.pageKeys(o.from, w)...)
	return scrolled(iv.th, lines, &o.scroll, w, h), rowAt(1)
}
