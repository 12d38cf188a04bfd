package tui

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"

	"belay/checks/inspect"
	"belay/remote"
	"belay/steps/draft"
	"belay/steps/run"
	"belay/tui/widget"
)

// sight is one server, looked at in one way.
type sight struct {
	host string
	sudo bool
}

// servers are those of the answers, as they were typed.
func (a Answers) servers() []string {
	if a.To == "" {
		return []string{a.From}
	}
	return []string{a.From, a.To}
}

// looking is a look at the servers that goes on: it is written by those who
// look, and read by the screen on its tick.
type looking struct {
	cancel func()
	begun  time.Time
	hosts  []string

	mu      sync.Mutex
	lights  map[string]run.Light
	prompts []*run.Prompt
	asked   int
	done    bool
	seen    map[string]*inspect.Host // what has come back so far
	took    map[string]time.Duration
	err     error
	now     func() time.Time
}

// Ask waits for a person, or for the end of the look.
func (l *looking) Ask(ctx context.Context, p run.Prompt) (string, bool) {
	type reply struct {
		text string
		ok   bool
	}
	got := make(chan reply, 1)
	p.Reply = func(text string, ok bool) {
		select {
		case got <- reply{text, ok}:
		default:
		}
	}
	l.mu.Lock()
	l.asked++
	p.ID = fmt.Sprint(l.asked)
	l.prompts = append(l.prompts, &p)
	l.mu.Unlock()
	defer l.answered(&p)
	select {
	case r := <-got:
		return r.text, r.ok
	case <-ctx.Done():
		return "", false
	}
}

func (l *looking) answered(p *run.Prompt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, q := range l.prompts {
		if q == p {
			l.prompts = append(l.prompts[:i:i], l.prompts[i+1:]...)
			return
		}
	}
}

// Light tells how the connection to a host does.
func (l *looking) Light(host string, now remote.Light, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lights[host] = run.Light{Light: now, Reason: why}
}

// Seen takes what one of the hosts has shown.
func (l *looking) Seen(h *inspect.Host) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen[h.Name], l.took[h.Name] = h, l.now().Sub(l.begun)
}

func (l *looking) over() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.done }

// prompt is what is asked now; nil: nothing.
func (l *looking) prompt() *run.Prompt {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.prompts) == 0 {
		return nil
	}
	return l.prompts[0]
}

// light is how the connection to a host does that was typed so.
func (l *looking) light(typed string) run.Light {
	_, host, ok := strings.Cut(typed, "@")
	if !ok {
		host = typed
	}
	if got, ok := l.lights[typed]; ok {
		return got
	}
	return l.lights[host]
}

// start begins a look at the servers that have not been looked at yet; a look
// that goes on is ended.
func (iv *interview) start() tea.Cmd {
	if iv.look != nil {
		iv.look.cancel()
	}
	ctx, cancel := context.WithCancel(iv.ctx)
	l := &looking{cancel: cancel, begun: iv.o.Now(), now: iv.o.Now, lights: map[string]run.Light{}, seen: map[string]*inspect.Host{}, took: map[string]time.Duration{}}
	l.hosts = iv.unseen()
	iv.look, iv.old, iv.now = l, nil, nil
	if len(l.hosts) == 0 {
		return iv.found()
	}
	sudo := iv.a.Sudo
	return func() tea.Msg {
		found, err := iv.d.Look(ctx, l.hosts, sudo, l)
		for _, h := range found {
			l.Seen(h)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.err, l.done = err, true
		return nil
	}
}

// unseen are the servers that have not been looked at.
func (iv *interview) unseen() (names []string) {
	for _, name := range iv.a.servers() {
		if iv.have[sight{name, iv.a.Sudo}] == nil {
			names = append(names, name)
		}
	}
	return names
}

// watch is one tick: it opens and closes the dialog of what a look asks, and
// goes on when it is over.
func (iv *interview) watch() tea.Cmd {
	l := iv.look
	if l == nil || iv.page().about().name != "look" {
		return nil
	}
	iv.ask(l.prompt())
	l.mu.Lock()
	state := fmt.Sprint(l.lights, len(l.seen), len(l.prompts), l.done, int(iv.o.Now().Sub(l.begun).Seconds()))
	done := l.done
	if done {
		state = "over"
		for name, h := range l.seen {
			if h.Unreached == "" {
				iv.have[sight{name, iv.a.Sudo}] = h
			}
		}
	}
	l.mu.Unlock()
	if state != iv.shown {
		iv.shown, iv.dirty = state, true
	}
	if !done || iv.top != nil || len(iv.unseen()) > 0 {
		return nil
	}
	return tea.Batch(iv.found(), iv.keep())
}

// found takes what a look has shown.
func (iv *interview) found() tea.Cmd {
	iv.tried, iv.dirty = false, true
	iv.take()
	if iv.goal != "" {
		return iv.arrive()
	}
	return iv.show("what")
}

// take keeps what a look has shown. What was chosen on another server is not
// here; what flags named beforehand is.
func (iv *interview) take() {
	if iv.seen.From != "" && (iv.seen.From != iv.a.From || (iv.seen.To == "") != (iv.a.To == "")) && iv.a.Move != nil {
		iv.a.Move, iv.said = nil, "Other servers, other things: what belay advises is chosen again."
	}
	iv.old, iv.now, iv.seen = iv.have[sight{iv.a.From, iv.a.Sudo}], nil, iv.a
	if iv.a.To != "" {
		iv.now = iv.have[sight{iv.a.To, iv.a.Sudo}]
	}
	var gone []string
	all := iv.items()
	iv.a.Move = slices.DeleteFunc(slices.Clone(iv.a.Move), func(key string) bool {
		lost := !slices.ContainsFunc(all, func(it draft.Item) bool { return it.Key() == key })
		if lost {
			gone = append(gone, key)
		}
		return lost
	})
	if len(gone) > 0 {
		iv.said = "Chosen before, and not there any more: " + strings.Join(gone, ", ")
	}
}

// lookPage shows how a look goes on.
type lookPage struct{ question }

func newLookPage() *lookPage {
	return &lookPage{question{name: "look", title: always("Looking at the servers")}}
}

func (p *lookPage) place() place { return inLooking }

// enter looks, unless these very servers have been looked at.
func (p *lookPage) enter(iv *interview) tea.Cmd {
	if iv.fresh() {
		return iv.forward()
	}
	return iv.start()
}

func (p *lookPage) press(iv *interview, do action, _ tea.Msg) tea.Cmd {
	over := iv.look != nil && iv.look.over()
	switch {
	case do == "recheck" && over:
		return iv.start()
	case do == "without" && over && iv.without():
		return iv.found()
	case do == "no-root" && over && iv.a.Sudo:
		iv.a.Sudo, iv.tried = false, false
		return iv.start()
	case do == "login":
		return p.names(iv)
	case do == "back":
		if iv.tried { // else nobody could look without sudo again
			iv.a.Sudo, iv.tried = false, false
		}
		return p.names(iv)
	}
	return nil
}

// names goes back to the names of the servers, at the one that was not reached.
func (p *lookPage) names(iv *interview) tea.Cmd {
	iv.look.cancel()
	left, over := iv.unseen(), iv.look.over()
	cmd := iv.show("servers")
	if t, ok := iv.page().(*typing); ok && over && len(left) == 1 && left[0] == iv.a.To {
		t.form.focus(1)
	}
	return cmd
}

// spared tells whether the only server that was not reached is one that a draft
// can do without: where it goes.
func (iv *interview) spared() bool {
	left := iv.unseen()
	return len(left) == 1 && iv.a.To != "" && left[0] == iv.a.To
}

// without goes on without having looked at the new server.
func (iv *interview) without() bool {
	if !iv.spared() {
		return false
	}
	why := "belay could not look at it"
	if h := iv.look.sawOf(iv.a.To); h != nil {
		why = h.Unreached
	}
	iv.have[sight{iv.a.To, iv.a.Sudo}] = &inspect.Host{Name: iv.a.To, Unreached: why}
	return true
}

func (l *looking) sawOf(name string) *inspect.Host {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen[name]
}

// state is how the look at one server does: a word that has a mark, and a text.
func (iv *interview) sightState(name string) (mark, says string) {
	l := iv.look
	if h := iv.have[sight{name, iv.a.Sudo}]; h != nil {
		return "passed", "looked at: " + plural(len(h.Programs), "program")
	}
	light := l.light(name)
	if h := l.seen[name]; h != nil && h.Unreached != "" {
		return "failed", "not looked at: " + oneLine(h.Unreached)
	} else if h != nil {
		return "passed", "looked at: " + plural(len(h.Programs), "program")
	}
	if l.done {
		return "failed", "not looked at"
	}
	says = map[remote.Light]string{remote.Unlit: "is asked for", remote.Connecting: "belay logs in", remote.Up: "reached; belay reads what runs there",
		remote.Reconnecting: "the connection broke; belay tries again", remote.Down: "not reached"}[light.Light]
	if light.Reason != "" && light.Light != remote.Up {
		says += ": " + oneLine(light.Reason)
	}
	return light.String(), says
}

func (p *lookPage) view(iv *interview, w, h int) ([]string, point) {
	l, th := iv.look, iv.th
	if l == nil {
		return nil, nowhere
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := []string{""}
	for _, typed := range iv.a.servers() {
		mark, says := iv.sightState(typed)
		for i, text := range widget.Wrap(says, max(20, min(w, 100)-28)) {
			head := strings.Repeat(" ", 26)
			if i == 0 {
				head = "  " + th.Mark(mark) + " " + widget.Fit(oneLine(typed), 20) + "  "
			}
			lines = append(lines, head+text)
		}
	}
	lines = append(lines, "")
	if !l.done {
		took := iv.o.Now().Sub(l.begun).Truncate(time.Second)
		text := "For " + cmp.Or(took, time.Second).String() + " now. It takes seconds, on a busy server up to a minute. Only what is there is read. esc stops it."
		for _, l := range widget.Wrap(text, min(w, 100)-4) {
			lines = append(lines, "  "+th.Paint(widget.Dim, l))
		}
		return lines, nowhere
	}
	if l.err != nil {
		for _, text := range widget.Wrap(clean(l.err.Error()), w-4) {
			lines = append(lines, "  "+th.Paint(widget.Warn, text))
		}
		lines = append(lines, "")
	}
	return append(lines, p.ways(iv, w)...), nowhere
}

// ways are what can be done about a look that did not reach everything.
func (p *lookPage) ways(iv *interview, w int) []string {
	left := iv.unseen()
	if len(left) == 0 {
		return nil
	}
	name := oneLine(strings.Join(left, " and "))
	pairs := []widget.Pair{
		{Label: "r  look again", Value: "at " + name + "; what was seen elsewhere stays.", Max: 2},
		{Label: "l  another name or login", Value: "such as USER@HOST; ~/.ssh/config knows ports and jumps.", Max: 3},
	}
	if iv.a.Sudo {
		pairs = append(pairs, widget.Pair{Label: "u  without root", Value: "as the login itself: less is seen.", Max: 2})
	}
	if iv.spared() {
		pairs = append(pairs, widget.Pair{Label: "w  go on without it", Value: "The plan is drafted as if nothing were on " + name + " yet; belay plan looks there before anything is done.", Max: 4})
	}
	return widget.Pairs(iv.th, pairs, min(w, 100))
}
