package tui

import (
	"reflect"
	"time"

	tea "charm.land/bubbletea/v2"

	"belay/steps/journal"
	"belay/steps/run"
)

// Messages of our own.
type (
	tickMsg  struct{}
	pull     struct{} // look at the session now
	remark   string
	answered struct {
		question, label string
		err             error
	}
)

// tick is the one clock of the wizard: ten a second, five when slow. The log is
// looked at every tick, the state every fifth, the time every tenth; what has
// not changed is not drawn.
func (m *model) tick() tea.Cmd {
	d := 100 * time.Millisecond
	if m.o.Slow {
		d *= 2
	}
	return tea.Tick(d, func(time.Time) tea.Msg { return tickMsg{} })
}

// pulled is one tick.
func (m *model) pulled() tea.Cmd {
	m.ticks++
	if m.said != "" && m.ticks-m.saidAt > toastTicks {
		m.said, m.dirty = "", true
	}
	if m.ticks%5 == 0 {
		m.look()
	}
	if m.ticks%10 == 0 && !m.sc.live.Ended {
		// Only what shows a clock is drawn differently; an equal frame costs
		// the terminal nothing.
		m.sc.now, m.dirty = m.o.Now(), true
	}
	if m.screen().name() == "steps" && m.logs.pane.Refresh() {
		m.dirty = true
	}
	if m.ring {
		m.ring = false
		return tea.Batch(m.tick(), tea.Raw("\a"))
	}
	return m.tick()
}

// look takes a snapshot of the session.
func (m *model) look() {
	st, live := m.s.State(), m.s.Live()
	first, seq := m.sc.st == nil, uint64(0)
	if !first {
		seq = m.sc.st.Seq
	}
	if first || st.Seq != m.sc.st.Seq || !reflect.DeepEqual(live, m.sc.live) {
		m.sc.now, m.dirty = m.o.Now(), true
	}
	m.sc.st, m.sc.live = st, live
	m.pen()
	m.sc.goingBack()
	if first || m.sc.counts == nil || seq != st.Seq {
		m.sc.tally()
	}
	m.news(first)
	m.prompt()
	m.withdrawn()
	if !m.pinned && m.top == nil && !m.logs.typing {
		m.show(m.home())
	}
	m.settle()
}

// pen looks who may answer, where several screens share the run, and says so
// when that changes hands.
func (m *model) pen() {
	shared, ok := m.s.(run.Shared)
	if !ok {
		return
	}
	now, was := shared.Pen(), m.sc.pen
	if was == nil || *was != now {
		m.dirty = true
	}
	if was != nil && was.Mine != now.Mine {
		if now.Mine {
			m.toast("you hold the pen now: you may answer")
		} else if now.By.Login != "" {
			m.toast(holder(now) + " has taken the pen; you only read. p takes it back")
		}
	}
	m.sc.pen = &now
}

// holder is who holds the pen, in words.
func holder(p run.Pen) string { return clean(p.By.WhoFrom()) }

// readOnly says why this screen may not answer now; "" when it may.
func (sc *scene) readOnly() string {
	p := sc.pen
	if p == nil || p.Mine || p.Screens == 0 || sc.live.Ended {
		return ""
	}
	if p.By.Login == "" && p.By.Name == "" {
		return "You only read: nobody holds the pen. p takes it."
	}
	return "You only read: " + holder(*p) + " holds the pen since " + p.Since.Local().Format("15:04") + ". p takes it."
}

// takePen takes the pen from whoever holds it.
func (m *model) takePen() tea.Cmd {
	shared, ok := m.s.(run.Shared)
	switch {
	case !ok:
		m.toast("this run has only this screen; you may answer")
	case m.sc.pen != nil && m.sc.pen.Mine:
		m.toast("you hold the pen already")
	default:
		return func() tea.Msg {
			if err := shared.TakePen(); err != nil {
				return remark("the pen was not taken: " + clean(err.Error()))
			}
			return pull{}
		}
	}
	return nil
}

// news rings the terminal's bell once for every question that comes up while
// somebody looks on: they may be looking at another window by now.
func (m *model) news(first bool) {
	for _, q := range m.sc.st.Questions {
		if !m.known[q.ID] {
			m.known[q.ID] = true
			m.ring = !first
			m.said = "" // nothing stands in front of a new question
		}
	}
}

// prompt opens the dialog of a secret or host key that is asked for, in front
// of everything, and closes it when it is withdrawn.
func (m *model) prompt() {
	p := m.s.Prompt()
	x := opened[*prompt](m)
	switch {
	case x != nil && (p == nil || p.ID != x.p.ID):
		m.drop(x)
		m.dirty = true
	case x == nil && p != nil && p.ID != m.replied:
		if _, leaving := m.top.(quit); leaving {
			return
		}
		m.push(newPrompt(p))
		m.dirty = true
	}
}

// withdrawn marks an open dialog whose question was answered elsewhere.
func (m *model) withdrawn() {
	a := opened[*ask](m)
	if a == nil || a.stale || a.sent || a.free {
		return
	}
	for _, q := range m.sc.st.Questions {
		if q.ID == a.q.ID {
			return
		}
	}
	a.stale, a.chosen, m.dirty = true, -1, true
	a.say = "This question has been answered elsewhere or withdrawn. Nothing was sent from here."
}

// settle brings screens and log in line with scene and size.
func (m *model) settle() {
	if m.w == 0 || m.sc.st == nil {
		return
	}
	m.screen().settle(m)
	if m.screen().name() == "steps" && m.logs.pane.Refresh() {
		m.dirty = true
	}
}

// show goes to a screen by name.
func (m *model) show(name string) {
	for i, s := range m.screens {
		if s.name() == name && m.at != i {
			m.at, m.dirty = i, true
			m.settle()
		}
	}
}

// screenOf is where a kind of question belongs.
func screenOf(kind string) string {
	switch kind {
	case journal.AskFindings:
		return "assessment"
	case journal.AskSignoff:
		return "sign-off"
	case journal.AskCutover:
		return "cutover"
	case journal.AskSoak:
		return "soak"
	case journal.AskRollback:
		return "rollback"
	}
	return "steps"
}

// home is the screen of what happens now.
func (m *model) home() string {
	sc := &m.sc
	switch q := sc.question(); {
	case sc.live.Ended:
		return "report"
	case q != nil:
		return screenOf(q.Kind)
	case sc.st.Rollback != nil:
		return "rollback"
	case sc.st.Stage == journal.Soak:
		return "soak"
	case sc.st.Stage == journal.Signoff:
		return "sign-off"
	case sc.st.Stage == journal.Assess, sc.st.Stage == "":
		return "assessment"
	}
	return "steps"
}

// thin tells of wheel turns that come faster than anybody can see.
func (m *model) thin(msg tea.Msg) bool {
	if _, ok := msg.(tea.MouseWheelMsg); !ok {
		return false
	}
	now := time.Now()
	if now.Sub(m.wheeled) < 16*time.Millisecond {
		return true
	}
	m.wheeled = now
	return false
}

func (m *model) wheel(msg tea.MouseWheelMsg) {
	do := action("down")
	if msg.Button == tea.MouseWheelUp {
		do = "up"
	}
	if m.top != nil {
		if m.place() != inForm {
			m.top.press(m, do, nil)
		}
		return
	}
	if m.screen().name() == "steps" {
		for range 3 {
			m.logs.move(do)
		}
		return
	}
	m.screen().press(m, do, "")
}
