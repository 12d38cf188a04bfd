package tui

import (
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"belay/steps/journal"
	"belay/steps/run"
	"belay/tui/widget"
)

// screen is one page of the wizard. It draws what the model's scene says.
type screen interface {
	name() string
	place() place
	settle(m *model) // after the scene or the size has changed
	press(m *model, do action, key string) tea.Cmd
	view(m *model, w, h int) ([]string, point)
}

// dialog stands in front of a screen and takes all keys.
type dialog interface {
	title() string
	place() place
	press(m *model, do action, msg tea.Msg) tea.Cmd
	view(sc *scene, w, h int) ([]string, point)
}

// model is the whole wizard, made by Run.
type model struct {
	s       run.Session
	o       Options
	sc      scene
	w, h    int
	dark    bool
	mouse   bool
	screens []screen
	at      int
	pinned  bool     // the reader chose the screen; else it goes with the run
	top     dialog   // nil: none
	below   []dialog // what top was put in front of, the lowest first
	logs    logView
	said    string // a passing remark
	saidAt  int    // the tick when it was made
	replied string // prompt that was answered; its successor is another
	left    error
	ticks   int
	wheeled time.Time
	known   map[string]bool // questions that have been announced
	ring    bool

	dirty  bool // what is on screen is old
	frame  string
	cursor point
}

// The smallest screen that is drawn.
const minW, minH = 60, 20

func newModel(s run.Session, o Options) *model {
	m := &model{s: s, o: o, dark: true, known: map[string]bool{}, dirty: true, cursor: nowhere,
		screens: []screen{&assessScreen{}, &stepsScreen{}, &signoffScreen{}, &cutoverScreen{}, &soakScreen{}, &rollbackScreen{}, &reportScreen{}}}
	m.logs.pane.Wrap = true
	m.sc = scene{plan: s.Plan(), steps: s.Plan().Steps(), lanes: lanesOf(s.Plan()), hostW: hostCols(s.Plan().Steps()), dir: s.Dir(), opt: o, name: o.Author.Name, th: o.theme(true)}
	m.look()
	return m
}

func (m *model) Init() tea.Cmd {
	cmds := []tea.Cmd{m.tick()}
	if m.o.Theme == "" || m.o.Theme == "auto" {
		cmds = append(cmds, tea.RequestBackgroundColor)
	}
	if m.o.env("NO_SYNC") == "" {
		// Over SSH Bubble Tea does not even ask for synchronized output, and
		// tmux does not answer; terminals that do not know it ignore it. So we
		// say that the terminal has said yes.
		cmds = append(cmds, func() tea.Msg {
			return tea.ModeReportMsg{Mode: ansi.ModeSynchronizedOutput, Value: ansi.ModeReset}
		})
	}
	return tea.Batch(cmds...)
}

// Update routes messages; it never waits.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tickMsg:
		return m, m.pulled()
	case tea.WindowSizeMsg:
		m.w, m.h = msg.Width, msg.Height
		m.settle()
	case tea.BackgroundColorMsg:
		m.dark = msg.IsDark()
		m.sc.th = m.o.theme(m.dark)
	case tea.KeyPressMsg:
		m.said = ""
		cmd := m.key(msg)
		m.look()
		return m, cmd
	case tea.PasteMsg:
		return m, m.typed(msg)
	case tea.MouseWheelMsg:
		m.wheel(msg)
	case answered:
		m.answeredWith(msg)
	case found:
		m.logs.arrived(m, msg)
	case remark:
		m.toast(string(msg))
	case pull:
		m.look()
	default:
		return m, nil
	}
	m.dirty = true
	return m, nil
}

// key finds out what a key means here and does it.
func (m *model) key(msg tea.KeyPressMsg) tea.Cmd {
	m.dirty = true
	key := msg.String()
	do := lookup(m.place(), key)
	switch do {
	case "redraw":
		return tea.ClearScreen
	case "quit":
		return m.quit()
	case "hold":
		if m.sc.st.Soak.Countdown != nil {
			return m.holdCountdown()
		}
		do = "" // then it is a key like any other
	}
	switch {
	case m.top != nil:
		return m.top.press(m, do, msg)
	case m.logs.typing:
		return m.logs.typed(do, msg)
	}
	return m.global(do, key)
}

// typed gives pasted text to whatever is typed into; elsewhere it is dropped,
// so that a paste never presses keys.
func (m *model) typed(msg tea.PasteMsg) tea.Cmd {
	m.dirty = true
	switch {
	case m.logs.typing:
		m.logs.form.update(msg)
		return nil
	case m.top != nil && (m.place() == inForm || m.place() == inPrompt || m.place() == inHelp):
		return m.top.press(m, "", msg)
	}
	return nil
}

// global handles what works on every screen, and leaves the rest to the screen.
func (m *model) global(do action, key string) tea.Cmd {
	switch do {
	case "":
	case "answer":
		m.enter()
	case "next-screen", "prev-screen":
		d := 1
		if do == "prev-screen" {
			d = len(m.screens) - 1
		}
		m.at, m.pinned = (m.at+d)%len(m.screens), true
	case "details":
		m.details()
	case "intervene":
		m.intervene()
	case "pen":
		return m.takePen()
	case "help":
		m.explain()
	case "mouse":
		m.mouse = !m.mouse
		m.toast(map[bool]string{true: "the mouse scrolls; m gives it back to the terminal", false: "the mouse selects text again"}[m.mouse])
	case "suspend":
		return tea.Suspend
	case "copy":
		return m.copyView()
	default:
		if do == "back" {
			m.pinned = false
		}
		return m.screen().press(m, do, key)
	}
	return nil
}

// enter opens the question that waits, else the details.
func (m *model) enter() {
	if q := m.waiting(); q != nil {
		item := ""
		if s, ok := m.screen().(interface{ item(*scene) string }); ok {
			item = s.item(&m.sc)
		}
		m.open(*q, item)
		return
	}
	m.details()
}

// waiting is the question that enter opens: that of the chosen step or of this
// screen first, else the oldest.
func (m *model) waiting() *journal.Question {
	if s, ok := m.screen().(*stepsScreen); ok && len(m.sc.steps) > 0 {
		for i := range m.sc.st.Questions {
			if m.sc.st.Questions[i].Step == m.sc.steps[s.cursor].ID {
				return &m.sc.st.Questions[i]
			}
		}
	}
	for i := range m.sc.st.Questions {
		if screenOf(m.sc.st.Questions[i].Kind) == m.screen().name() {
			return &m.sc.st.Questions[i]
		}
	}
	return m.sc.question()
}

// open shows the dialog of a question, on the screen that belongs to it.
func (m *model) open(q journal.Question, item string) *ask {
	if name := screenOf(q.Kind); name != m.screen().name() {
		m.show(name)
		item = ""
		if s, ok := m.screen().(interface{ item(*scene) string }); ok {
			item = s.item(&m.sc)
		}
	}
	var tail []string
	if q.Step != "" {
		log := m.s.Log(q.Step, "")
		n := log.Len()
		for _, l := range log.Lines(max(0, n-6), min(n, 6)) {
			tail = append(tail, widget.CleanLine(l.Text))
		}
	}
	a := newAsk(q, item, tail)
	m.top = a
	return a
}

func (m *model) quit() tea.Cmd {
	if m.sc.live.Ended {
		return tea.Quit
	}
	if _, already := m.top.(quit); !already {
		m.push(quit{})
	}
	return nil
}

func (m *model) screen() screen { return m.screens[m.at] }

func (m *model) place() place {
	switch {
	case m.top != nil:
		return m.top.place()
	case m.logs.typing && m.screen().name() == "steps":
		return inSearch
	}
	return m.screen().place()
}

// toast shows a remark for a few seconds, or until the next key.
func (m *model) toast(s string) { m.said, m.saidAt = s, m.ticks }

// toastTicks is how long a remark stays.
const toastTicks = 40
