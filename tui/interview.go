package tui

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"belay/checks/inspect"
	"belay/remote"
	"belay/steps/draft"
	"belay/steps/run"
	"belay/tui/widget"
)

// Drafter is what an interview needs of the world around it.
type Drafter interface {
	// Look inspects hosts, typed as in Answers, all at once and without changing
	// anything on them; as root when sudo is set. What comes back is in their
	// order; one that was not reached says why. What it needs to know for a login
	// it asks, and how it does it tells. The error is that none was looked at.
	Look(ctx context.Context, hosts []string, sudo bool, by Onlooker) ([]*inspect.Host, error)
	// Write puts a plan into a file. fs.ErrExist when there is one already,
	// unless it shall be replaced.
	Write(file string, plan []byte, replace bool) error

	// Kept are the interviews that ended before their end, the latest first.
	Kept() []Kept
	// Keep puts one down, in place of what was kept of the same servers.
	Keep(k Kept) error
	// Drop forgets what was kept of its servers.
	Drop(k Kept) error
}

// Onlooker is the screen, or the terminal, of whoever waits for a look.
type Onlooker interface {
	Ask(ctx context.Context, p run.Prompt) (text string, ok bool)
	Light(host string, l remote.Light, why string)
	Seen(h *inspect.Host) // as soon as it has been looked at
}

// Answers are what an interview finds out. Given to one, they are what it
// proposes.
type Answers struct {
	From string // host as it is now: a name that ~/.ssh/config knows, or USER@HOST
	To   string // where it goes; "": it stays, and is upgraded
	Sudo bool   // look as root, by a sudo that asks for no password
	File string // where the plan goes; "": its name.yaml
	draft.Wish
}

// Wished is what the draft is made from.
func (a Answers) Wished() draft.Wish {
	w := a.Wish
	w.Old, w.New = draft.EndOf(a.From, a.Sudo), nil
	if a.To != "" {
		to := draft.EndOf(a.To, a.Sudo)
		w.New = &to
	}
	w.Name = w.Called()
	return w
}

// file is where the plan goes.
func (a Answers) file() string {
	if a.File != "" || a.From == "" {
		return a.File
	}
	return a.Wished().Name + ".yaml"
}

// where is the whole path of the plan.
func (iv *interview) where() string {
	file := iv.a.file()
	if dir := iv.o.env("PWD"); filepath.IsAbs(dir) && !filepath.IsAbs(file) {
		file = filepath.Join(dir, file)
	}
	return oneLine(file)
}

// ErrUnwritten says that an interview was left before it had written a plan.
var ErrUnwritten = errors.New("left before the end; nothing was written")

// Interview asks full-screen what a plan needs to know, shows the plan and
// writes it. It returns what was answered, and ErrUnwritten when somebody left
// before the plan was written.
func Interview(ctx context.Context, d Drafter, a Answers, o Options) (Answers, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	iv := newInterview(ctx, d, a, o.filled(""))
	err := iv.o.show(ctx, iv)
	iv.finish()
	switch {
	case ctx.Err() != nil:
		return iv.a, context.Cause(ctx)
	case errors.Is(err, tea.ErrProgramPanic):
		return iv.a, fmt.Errorf("the screen broke; nothing was changed on any server: %w", err)
	case iv.written:
		return iv.a, nil
	}
	return iv.a, errors.Join(ErrUnwritten, err)
}

// leaf is one question, or one thing to look at.
type leaf interface {
	about() *question
	place() place
	enter(iv *interview) tea.Cmd
	press(iv *interview, do action, msg tea.Msg) tea.Cmd
	view(iv *interview, w, h int) ([]string, point)
}

// overlay stands in front of a page and takes all keys.
type overlay interface {
	title() string
	place() place
	press(iv *interview, do action, msg tea.Msg) tea.Cmd
	view(iv *interview, w, h int) ([]string, point)
}

// interview is the model of belay init.
type interview struct {
	ctx  context.Context
	d    Drafter
	o    Options
	a    Answers
	th   widget.Theme
	w, h int
	dark bool

	draft    func(w draft.Wish, old, now *inspect.Host) []byte
	old, now *inspect.Host
	seen     Answers                 // what old and now were found for
	have     map[sight]*inspect.Host // what has been looked at so far
	look     *looking                // the look that goes on, or the last one
	pages    []leaf
	at, far  int
	detour   bool // one answer is changed; then back to the list of them
	top      overlay
	tried    bool // sudo was only asked for here, and is not known to do
	touched  bool // there is something to lose
	written  bool
	plain    bool // line by line: nothing stands half typed in a form

	earlier []Kept // interviews that one could go on with
	keeping keeping
	last    string // as last put down
	saves   int
	unkept  bool     // the disk takes nothing
	forget  bool     // nobody wants to go on with it
	goal    string   // the question at which an earlier one stopped
	typed   []string // and what stood there

	said   string
	shown  string // of the look, as last drawn
	dirty  bool
	frame  string
	cursor point
}

func newInterview(ctx context.Context, d Drafter, a Answers, o Options) *interview {
	iv := &interview{ctx: ctx, d: d, o: o, a: a, th: o.theme(true), dark: true, dirty: true, cursor: nowhere,
		draft: draft.Plan, have: map[sight]*inspect.Host{}, keeping: keeping{d: d}}
	if a.From == "" { // else somebody has begun anew already
		kept := d.Kept()
		iv.earlier = kept[:min(len(kept), mostEarlier)]
	}
	iv.pages = interviewPages()
	for !iv.page().about().wanted(iv) {
		iv.at++
	}
	iv.page().enter(iv)
	return iv
}

func (iv *interview) Init() tea.Cmd {
	cmds := []tea.Cmd{iv.tick()}
	if iv.o.Theme == "" || iv.o.Theme == "auto" {
		cmds = append(cmds, tea.RequestBackgroundColor)
	}
	return tea.Batch(cmds...)
}

// tick is the clock of a look: while nothing is looked at there is nothing to
// tell, and what is unchanged is not drawn.
func (iv *interview) tick() tea.Cmd {
	d := 100 * time.Millisecond
	if iv.o.Slow {
		d *= 2
	}
	return tea.Tick(d, func(time.Time) tea.Msg { return tickMsg{} })
}

// Update routes messages; it never waits.
func (iv *interview) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tickMsg:
		return iv, tea.Batch(iv.watch(), iv.tick())
	case tea.WindowSizeMsg:
		iv.w, iv.h = msg.Width, msg.Height
	case tea.BackgroundColorMsg:
		iv.dark = msg.IsDark()
		iv.th = iv.o.theme(iv.dark)
	case tea.KeyPressMsg:
		iv.said, iv.dirty = "", true
		return iv, tea.Batch(iv.key(msg), iv.keep())
	case tea.PasteMsg:
		switch iv.place() {
		case inTyping, inPrompt, inHelp, inForm, inFilter:
			iv.dirty = true
			return iv, tea.Batch(iv.give("", msg), iv.keep())
		}
		return iv, nil // a paste never presses keys
	case savedMsg:
		iv.saved(msg.err)
	case wrote:
		iv.wrote(msg)
	default:
		return iv, nil
	}
	iv.dirty = true
	return iv, nil
}

func (iv *interview) key(msg tea.KeyPressMsg) tea.Cmd {
	switch do := lookup(iv.place(), msg.String()); do {
	case "redraw":
		return tea.ClearScreen
	case "quit":
		return iv.leave()
	case "help":
		return iv.help()
	default:
		return iv.give(do, msg)
	}
}

// give hands a key to whatever is in front.
func (iv *interview) give(do action, msg tea.Msg) tea.Cmd {
	if iv.top != nil {
		return iv.top.press(iv, do, msg)
	}
	return iv.page().press(iv, do, msg)
}

func (iv *interview) page() leaf { return iv.pages[iv.at] }

func (iv *interview) place() place {
	if iv.top != nil {
		return iv.top.place()
	}
	return iv.page().place()
}

// leave asks, when there is something to lose.
func (iv *interview) leave() tea.Cmd {
	if iv.written || !iv.touched {
		return iv.end()
	}
	if _, already := iv.top.(*leaving); !already {
		iv.top = &leaving{under: iv.top}
	}
	return nil
}

func (iv *interview) end() tea.Cmd {
	if iv.look != nil {
		iv.look.cancel()
	}
	return tea.Quit
}

// forward goes to the next question; a detour ends where it began.
func (iv *interview) forward() tea.Cmd {
	iv.touched = true
	if iv.detour && iv.fresh() { // other servers are looked at first
		iv.detour = false
		return iv.show("answers")
	}
	for i := iv.at + 1; i < len(iv.pages); i++ {
		if iv.pages[i].about().wanted(iv) {
			return iv.turn(i)
		}
	}
	return nil
}

// back goes to the question before; from a detour to the list of answers.
func (iv *interview) back() tea.Cmd {
	if iv.detour && iv.fresh() {
		iv.detour = false
		return iv.show("answers")
	}
	for i := iv.at - 1; i >= 0; i-- {
		if q := iv.pages[i].about(); q.wanted(iv) && q.name != "look" {
			iv.goal = ""
			return iv.turn(i)
		}
	}
	return iv.leave()
}

// show turns to a page by its name.
func (iv *interview) show(name string) tea.Cmd {
	for i, p := range iv.pages {
		if p.about().name == name {
			return iv.turn(i)
		}
	}
	return nil
}

func (iv *interview) turn(i int) tea.Cmd {
	iv.at, iv.far = i, max(iv.far, i)
	return iv.pages[i].enter(iv)
}

// fresh tells whether the servers that are named are those that were looked at.
func (iv *interview) fresh() bool {
	return iv.old != nil && iv.a.From == iv.seen.From && iv.a.To == iv.seen.To && iv.a.Sudo == iv.seen.Sudo
}

// View draws the frame anew only when something has changed.
func (iv *interview) View() tea.View {
	if iv.dirty || iv.frame == "" {
		iv.frame, iv.cursor = iv.draw()
		iv.dirty = false
	}
	v := tea.NewView(iv.frame)
	v.AltScreen = true
	v.WindowTitle = "belay init"
	if _, ok := iv.top.(*promptOver); ok {
		v.WindowTitle = "belay waits for you"
	}
	if iv.cursor.y >= 0 {
		v.Cursor = tea.NewCursor(iv.cursor.x, iv.cursor.y)
		v.Cursor.Blink = false
	}
	return v
}

func (iv *interview) draw() (string, point) {
	if iv.w == 0 {
		return "", nowhere
	}
	if iv.w < minW || iv.h < minH {
		text := fmt.Sprintf("belay needs %d×%d, has %d×%d; keys work", minW, minH, iv.w, iv.h)
		return iv.ascii(strings.Join(widget.Fill([]string{iv.th.Paint(widget.Strong, widget.Cut(text, iv.w))}, iv.h), "\n")), nowhere
	}
	lines := iv.header()
	title, note := iv.page().about().title(iv), iv.counted()
	h := iv.h - len(lines) - 1 - foot
	var body []string
	var at point
	if iv.top != nil {
		title, note = iv.top.title(), ""
		body, at = iv.top.view(iv, iv.w, h)
	} else {
		body, at = iv.page().view(iv, iv.w, h)
	}
	lines = append(lines, widget.Rule(iv.th, title, note, iv.w))
	if at.y >= 0 {
		at.y += len(lines)
	}
	lines = append(append(lines, widget.Fill(body, h)...), iv.footer()...)
	for i, l := range lines {
		lines[i] = widget.Cut(strings.ReplaceAll(l, "\n", " "), iv.w)
	}
	return iv.ascii(strings.Join(lines, "\n")), at
}

func (iv *interview) ascii(s string) string {
	if iv.th.ASCII {
		return widget.ASCII(s)
	}
	return s
}
