package tui

import (
	"fmt"
	"strings"

	bubble "charm.land/bubbles/v2/key"

	"belay/tui/widget"
)

// action is what a key means.
type action string

// place is where a key works.
type place string

const (
	anywhere place = "everywhere"
	inSteps  place = "steps and logs"
	inAssess place = "assessment"
	inSigns  place = "sign-off"
	inList   place = "cutover, soak, rollback, report"
	inAsk    place = "question: choosing"
	inForm   place = "question: typing"
	inPrompt place = "secret or host key"
	inDetail place = "details"
	inPage   place = "help"
	inHelp   place = "all keys"
	inQuit   place = "leaving"
	inSearch place = "search"

	inTyping  place = "belay init: typing"
	inChoice  place = "belay init: choosing"
	inLooking place = "belay init: looking"
	inFound   place = "belay init: what was found"
	inFilter  place = "belay init: filter of what was found"
	inPreview place = "belay init: the plan"
	inWritten place = "belay init: written"
	inLeaving place = "belay init: leaving"
)

// interview tells the places of belay init from those of a run.
func (p place) interview() bool { return strings.HasPrefix(string(p), "belay init") }

// places in the order of the manual.
var places = []place{anywhere, inSteps, inAssess, inSigns, inList, inAsk, inForm, inPrompt, inDetail, inPage, inHelp, inQuit, inSearch,
	inTyping, inChoice, inLooking, inFound, inFilter, inPreview, inWritten, inLeaving}

// binding is one line of the one list of keys.
type binding struct {
	in    place
	keys  bubble.Binding // as tea names them
	show  string         // for people; "" = the first key
	do    action
	label string // for the footer, which shows bindings that have one, in this order
	help  string
}

func on(keys ...string) bubble.Binding { return bubble.NewBinding(bubble.WithKeys(keys...)) }

// pressed lets a key's name be matched.
type pressed string

func (p pressed) String() string { return string(p) }

// No ctrl-letter that tmux (b), screen (a) or flow control (s, q) eats.
var bindings = []binding{
	{anywhere, on("enter"), "", "answer", "answer", "open the question that waits, or the details; never changes anything"},
	{anywhere, on("h"), "", "hold", "stop the countdown", "stop a rollback that would begin by itself; then belay only asks"},
	{anywhere, on("down", "j"), "↓ j", "down", "", "next row, or one line down in a log"},
	{anywhere, on("up", "k"), "↑ k", "up", "", "previous row, or one line up in a log"},
	{anywhere, on("pgdown", "space"), "pgdn space", "page-down", "", "one page down"},
	{anywhere, on("pgup"), "pgup", "page-up", "", "one page up"},
	{anywhere, on("g", "home"), "g", "first", "", "to the beginning"},
	{anywhere, on("G", "end"), "G", "last", "", "to the end; a log follows from there"},
	{anywhere, on("]"), "", "next-screen", "", "next screen"},
	{anywhere, on("["), "", "prev-screen", "", "previous screen"},
	{anywhere, on("esc"), "", "back", "", "back to what happens now"},
	{anywhere, on("d"), "", "details", "details", "everything about the chosen row: commands, diffs, evidence"},
	{anywhere, on("y"), "", "copy", "", "copy what is in view to the clipboard (OSC 52) and to a file in the run directory"},
	{anywhere, on("m"), "", "mouse", "", "mouse on and off; off, the terminal selects text as usual"},
	{anywhere, on("ctrl+l"), "ctrl-l", "redraw", "", "draw the whole screen again"},
	{anywhere, on("ctrl+z"), "ctrl-z", "suspend", "", "back to the shell; fg returns"},
	{anywhere, on("x"), "", "intervene", "stop, turn back", "stop after this step, end the running commands, or ask to roll back"},
	{anywhere, on("p"), "", "pen", "", "take the pen, when another screen of the run has it: who has it may answer"},
	{anywhere, on("q", "ctrl+c"), "q", "quit", "leave", "leave this screen, or stop the run after this step: it asks"},

	{inSteps, on("tab", "shift+tab"), "tab", "focus", "steps/log", "move between the steps and the log"},
	{inSteps, on("f"), "", "follow", "follow", "follow the end of the log, or hold still"},
	{inSteps, on("/"), "", "search", "search", "search the log; a capital letter makes it exact"},
	{inSteps, on("n"), "", "next-hit", "", "next hit"},
	{inSteps, on("N"), "", "prev-hit", "", "previous hit"},
	{inSteps, on("z"), "", "zoom", "zoom", "the log over the whole screen, and back"},
	{inSteps, on("w"), "", "wrap", "", "wrap long lines, or cut them"},
	{inSteps, on("right"), "→", "right", "", "scroll a log that does not wrap to the right"},
	{inSteps, on("left"), "←", "left", "", "and to the left"},
	{inSteps, on("e"), "", "next-failure", "", "next line that tells of trouble"},
	{inSteps, on("E"), "", "prev-failure", "", "previous line that tells of trouble"},
	{inSteps, on("1", "2", "3", "4", "5", "6", "7", "8", "9"), "1–9", "host", "", "the log of one host only, in the order of the header"},
	{inSteps, on("0"), "", "all-hosts", "", "the logs of all hosts, merged by time"},
	{inSteps, on("a"), "", "all-steps", "", "the log of this step only, or of the whole run"},
	{inSteps, on("t"), "", "times", "", "show the time of each line"},

	{inAssess, on("r"), "", "recheck", "check again", "read all hosts and judge again"},
	{inAssess, on("a"), "", "accept", "accept", "accept the chosen warning, with a reason"},

	{inSigns, on("1", "2", "3", "4", "5", "6", "7", "8", "9"), "1–9", "nth", "choose", "the item of that number on this page; enter answers, d tells all of it"},
	{inSigns, on("right"), "→", "page-down", "page", "the next items, nine a page at most; pgdn does so, too"},
	{inSigns, on("left"), "←", "page-up", "", "the items before"},

	{inAsk, on("esc"), "", "back", "not now", "leave the question open"},
	{inAsk, on("down"), "↓", "down", "", "scroll the text"},
	{inAsk, on("up"), "↑", "up", "", "scroll the text"},
	{inAsk, on("pgdown", "space"), "pgdn", "page-down", "", "scroll the text by a page"},
	{inAsk, on("pgup"), "", "page-up", "", "scroll the text by a page"},
	{inAsk, on("h"), "", "hold", "stop the countdown", "stop a rollback that would begin by itself"},
	{inAsk, on("p"), "", "pen", "", "take the pen, when another screen has it"},
	{inAsk, on("?", "f1"), "", "help", "help", "what this question is, and what each answer does"},
	{inAsk, on("ctrl+l"), "ctrl-l", "redraw", "", "draw the whole screen again"},
	{inAsk, on("ctrl+c"), "ctrl-c", "quit", "", "leave this screen: it asks"},

	{inForm, on("ctrl+y"), "ctrl-y", "send", "send this answer", "yes: send the answer"},
	{inForm, on("tab", "enter", "down"), "tab", "down", "next field", "next field"},
	{inForm, on("pgdown"), "pgdn", "page-down", "", "scroll the text by a page"},
	{inForm, on("pgup"), "", "page-up", "", "scroll the text by a page"},
	{inForm, on("shift+tab", "up"), "shift-tab", "up", "", "previous field"},
	{inForm, on("esc"), "", "back", "choose again", "back to the choices; nothing is sent"},
	{inForm, on("f1"), "", "help", "help", "what this question is, and what each answer does"},
	{inForm, on("ctrl+l"), "ctrl-l", "redraw", "", "draw the whole screen again"},
	{inForm, on("ctrl+c"), "ctrl-c", "quit", "", "leave this screen: it asks"},

	{inPrompt, on("ctrl+y"), "ctrl-y", "send", "send", "send what was typed"},
	{inPrompt, on("enter"), "", "enter", "", "send a secret; a host key takes ctrl-y"},
	{inPrompt, on("esc", "alt+esc"), "", "back", "refuse (press twice)", "refuse; it has to be pressed twice"},
	{inPrompt, on("f1"), "", "help", "help", "what this question is, and what to do"},
	{inPrompt, on("ctrl+l"), "ctrl-l", "redraw", "", "draw the whole screen again"},
	{inPrompt, on("ctrl+c"), "ctrl-c", "quit", "", "leave this screen: it asks"},

	{inDetail, on("esc", "d", "q", "enter"), "esc", "back", "close", "back"},
	{inDetail, on("down", "j"), "↓ j", "down", "scroll", "one line down"},
	{inDetail, on("up", "k"), "↑ k", "up", "", "one line up"},
	{inDetail, on("pgdown", "space"), "pgdn", "page-down", "page", "one page down"},
	{inDetail, on("pgup"), "", "page-up", "", "one page up"},
	{inDetail, on("g", "home"), "g", "first", "", "to the beginning"},
	{inDetail, on("G", "end"), "G", "last", "", "to the end"},
	{inDetail, on("h"), "", "hold", "stop the countdown", "stop a rollback that would begin by itself"},
	{inDetail, on("y"), "", "copy", "copy", "copy all of it"},
	{inDetail, on("?", "f1"), "", "help", "help", "what is shown here"},
	{inDetail, on("ctrl+l"), "ctrl-l", "redraw", "", "draw the whole screen again"},
	{inDetail, on("ctrl+c"), "ctrl-c", "quit", "", "leave this screen: it asks"},

	{inPage, on("esc", "q", "enter"), "esc", "back", "close", "back"},
	{inPage, on("down", "j"), "↓ j", "down", "scroll", "one line down"},
	{inPage, on("up", "k"), "↑ k", "up", "", "one line up"},
	{inPage, on("pgdown", "space"), "pgdn", "page-down", "page", "one page down"},
	{inPage, on("pgup"), "", "page-up", "", "one page up"},
	{inPage, on("g", "home"), "g", "first", "", "to the beginning"},
	{inPage, on("G", "end"), "G", "last", "", "to the end"},
	{inPage, on("y"), "", "copy", "", "copy the page"},
	{inPage, on("?", "f1"), "", "all-keys", "all keys", "all keys that there are; type to filter them"},
	{inPage, on("ctrl+l"), "ctrl-l", "redraw", "", "draw the whole screen again"},
	{inPage, on("ctrl+c"), "ctrl-c", "quit", "", "leave this screen: it asks"},

	{inHelp, on("esc", "enter"), "esc", "back", "close", "back"},
	{inHelp, on("down"), "↓", "down", "scroll", "one line down"},
	{inHelp, on("up"), "↑", "up", "", "one line up"},
	{inHelp, on("ctrl+c"), "ctrl-c", "quit", "", "leave this screen: it asks"},

	{inQuit, on("d"), "", "detach", "detach", "leave the screen; the run goes on"},
	{inQuit, on("s"), "", "stop", "stop after this step", "ask the engine to stop after the step that runs"},
	{inQuit, on("?", "f1"), "", "help", "help", "what leaving means"},
	{inQuit, on("esc", "n"), "esc", "back", "stay", "stay"},

	{inSearch, on("enter"), "", "find", "find", "find it"},
	{inSearch, on("esc"), "", "back", "give up", "give up"},

	{inTyping, on("enter"), "", "enter", "next", "next field, then the next question"},
	{inTyping, on("tab", "down"), "tab", "down", "", "next field"},
	{inTyping, on("shift+tab", "up"), "shift-tab", "up", "", "previous field"},
	{inTyping, on("esc"), "", "back", "question before", "back to the question before; what was answered stays"},
	{inTyping, on("ctrl+l"), "ctrl-l", "redraw", "", "draw the whole screen again"},
	{inTyping, on("ctrl+c"), "ctrl-c", "quit", "leave", "leave: it asks"},
	{inTyping, on("?", "f1"), "", "help", "help", "what this is about, what you can do, and what happens if you do nothing; once more: all keys"},

	{inChoice, on("enter"), "", "enter", "take it", "take the row and go on"},
	{inChoice, on("down", "j", "tab"), "↓ j", "down", "", "next row"},
	{inChoice, on("up", "k", "shift+tab"), "↑ k", "up", "", "previous row"},
	{inChoice, on("esc"), "", "back", "question before", "back to the question before; what was answered stays"},
	{inChoice, on("ctrl+l"), "ctrl-l", "redraw", "", "draw the whole screen again"},
	{inChoice, on("q", "ctrl+c"), "q", "quit", "leave", "leave: it asks"},
	{inChoice, on("?", "f1"), "", "help", "help", "what this is about, what you can do, and what happens if you do nothing; once more: all keys"},

	{inLooking, on("r"), "", "recheck", "look again", "look again at what was not reached"},
	{inLooking, on("l"), "", "login", "another login", "another name or login for a server"},
	{inLooking, on("u"), "", "no-root", "without root", "look without sudo"},
	{inLooking, on("w"), "", "without", "without it", "go on without having looked at the new server"},
	{inLooking, on("esc"), "", "back", "stop", "stop looking, and name other servers"},
	{inLooking, on("ctrl+l"), "ctrl-l", "redraw", "", "draw the whole screen again"},
	{inLooking, on("q", "ctrl+c"), "q", "quit", "leave", "leave: it asks"},
	{inLooking, on("?", "f1"), "", "help", "help", "what this is about, what you can do, and what happens if you do nothing; once more: all keys"},

	{inFound, on("enter"), "", "enter", "go on", "go on with what is chosen"},
	{inFound, on("space", "x"), "space", "pick", "choose", "choose the row, or leave it where it is"},
	{inFound, on("d"), "", "details", "details", "everything about the row"},
	{inFound, on("a"), "", "pick-all", "all", "choose everything that is shown"},
	{inFound, on("n"), "", "pick-none", "none", "choose nothing of what is shown"},
	{inFound, on("b"), "", "pick-advised", "", "choose what belay advises"},
	{inFound, on("/"), "", "search", "filter", "show only what has the letters that you type"},
	{inFound, on("s"), "", "as-root", "look as root", "look again as root, by a sudo that asks for no password"},
	{inFound, on("r"), "", "recheck", "", "look again"},
	{inFound, on("down", "j"), "↓ j", "down", "", "next row"},
	{inFound, on("up", "k"), "↑ k", "up", "", "previous row"},
	{inFound, on("pgdown"), "pgdn", "page-down", "", "one page down"},
	{inFound, on("pgup"), "", "page-up", "", "one page up"},
	{inFound, on("g", "home"), "g", "first", "", "to the beginning"},
	{inFound, on("G", "end"), "G", "last", "", "to the end"},
	{inFound, on("esc"), "", "back", "question before", "back to the question before; what was answered stays"},
	{inFound, on("ctrl+l"), "ctrl-l", "redraw", "", "draw the whole screen again"},
	{inFound, on("q", "ctrl+c"), "q", "quit", "leave", "leave: it asks"},
	{inFound, on("?", "f1"), "", "help", "help", "what this is about, what you can do, and what happens if you do nothing; once more: all keys"},

	{inFilter, on("enter"), "", "enter", "done", "go on with what is left; choose as usual"},
	{inFilter, on("esc"), "", "back", "everything", "show everything again"},
	{inFilter, on("ctrl+l"), "ctrl-l", "redraw", "", "draw the whole screen again"},
	{inFilter, on("ctrl+c"), "ctrl-c", "quit", "leave", "leave: it asks"},
	{inFilter, on("f1"), "", "help", "help", "what this is about"},

	{inPreview, on("ctrl+y"), "ctrl-y", "send", "write it", "write the plan into its file"},
	{inPreview, on("down", "j", "enter"), "↓ j", "down", "scroll", "one line down"},
	{inPreview, on("up", "k"), "↑ k", "up", "", "one line up"},
	{inPreview, on("pgdown", "space"), "pgdn", "page-down", "page", "one page down"},
	{inPreview, on("pgup"), "", "page-up", "", "one page up"},
	{inPreview, on("g", "home"), "g", "first", "", "to the beginning"},
	{inPreview, on("G", "end"), "G", "last", "", "to the end"},
	{inPreview, on("d"), "", "details", "", "what belay check says of the draft, in full"},
	{inPreview, on("esc"), "", "back", "answers", "back to the answers"},
	{inPreview, on("ctrl+l"), "ctrl-l", "redraw", "", "draw the whole screen again"},
	{inPreview, on("q", "ctrl+c"), "q", "quit", "leave", "leave: it asks"},
	{inPreview, on("?", "f1"), "", "help", "help", "what this is about, what you can do, and what happens if you do nothing; once more: all keys"},

	{inWritten, on("q", "enter", "esc", "ctrl+c"), "q", "quit", "leave", "leave; the plan is written"},
	{inWritten, on("?", "f1"), "", "help", "help", "what this is about, what you can do, and what happens if you do nothing; once more: all keys"},

	{inLeaving, on("l"), "", "leave", "leave", "leave; no plan is written, the answers are kept"},
	{inLeaving, on("f"), "", "forget", "forget", "leave, and keep nothing"},
	{inLeaving, on("?", "f1"), "", "help", "help", "what leaving means"},
	{inLeaving, on("esc", "n"), "esc", "back", "stay", "stay"},

	// Last, because the footer keeps its last hint on any width.
	{anywhere, on("?", "f1"), "", "help", "help", "what you see here, what you can do, and what that does to the servers; once more: all keys"},
}

// shadows tells whether keys that work everywhere are out of reach at p:
// a dialog takes all keys.
func (p place) shadows() bool { return p != inSteps && p != inAssess && p != inSigns && p != inList }

// lookup says what a key means at a place.
func lookup(p place, key string) action {
	for _, b := range bindings {
		if b.in != p && (b.in != anywhere || p.shadows()) {
			continue
		}
		if bubble.Matches(pressed(key), b.keys) {
			return b.do
		}
	}
	return ""
}

func (b binding) name() string {
	if b.show != "" {
		return b.show
	}
	return b.keys.Keys()[0]
}

// hints are the footer's keys at a place, except those that do not apply.
func hints(p place, off map[action]bool) []widget.Hint {
	var own, shared []widget.Hint
	for _, b := range bindings {
		h := widget.Hint{Key: b.name(), Label: b.label}
		switch {
		case b.label == "" || off[b.do]:
		case b.in == p:
			own = append(own, h)
		case b.in == anywhere && !p.shadows():
			shared = append(shared, h)
		}
	}
	// What answers a question comes first, all others after the screen's own.
	for i, h := range shared {
		if h.Label == "answer" {
			return append(append([]widget.Hint{h}, own...), append(shared[:i:i], shared[i+1:]...)...)
		}
	}
	return append(own, shared...)
}

// KeysMarkdown is the manual of the keys: one table a place.
func KeysMarkdown() string {
	var b strings.Builder
	for _, p := range places {
		fmt.Fprintf(&b, "### %s\n\n| key | what it does |\n|---|---|\n", strings.ToUpper(string(p[:1]))+string(p[1:]))
		for _, k := range bindings {
			if k.in == p {
				fmt.Fprintf(&b, "| `%s` | %s |\n", k.name(), k.help)
			}
		}
		b.WriteString("\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}
