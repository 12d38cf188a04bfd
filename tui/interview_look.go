package tui

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"

	"belay/checks/inspect"
	"belay/remote"
	"belay/steps/run"
	"belay/tui/widget"
)

// looking is a look at the servers that goes on: it is written by those who
// look, and read by the screen on its tick.
type looking struct {
	cancel func()
	begun  time.Time

	mu       sync.Mutex
	lights   map[string]run.Light
	prompts  []*run.Prompt
	asked    int
	done     bool
	old, now *inspect.Host
	err      error
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

// start begins a look; one that goes on is ended.
func (iv *interview) start() tea.Cmd {
	if iv.look != nil {
		iv.look.cancel()
	}
	ctx, cancel := context.WithCancel(iv.ctx)
	l := &looking{cancel: cancel, begun: iv.o.Now(), lights: map[string]run.Light{}}
	iv.look, iv.old, iv.now = l, nil, nil
	a := iv.a
	return func() tea.Msg {
		old, now, err := iv.d.Look(ctx, a, l)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.old, l.now, l.err, l.done = old, now, err, true
		return nil
	}
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
	state := fmt.Sprint(l.lights, len(l.prompts), l.done, int(iv.o.Now().Sub(l.begun).Seconds()))
	done, old, now, err := l.done, l.old, l.now, l.err
	l.mu.Unlock()
	if state != iv.shown && !(done && err != nil && iv.shown == "over") {
		iv.shown, iv.dirty = state, true
	}
	if !done || iv.top != nil {
		return nil
	}
	if err != nil {
		iv.shown = "over"
		return nil
	}
	return iv.found(old, now)
}

// found takes what a look has shown.
func (iv *interview) found(old, now *inspect.Host) tea.Cmd {
	iv.tried = false
	iv.take(old, now)
	iv.dirty, iv.detour = true, false
	return iv.forward()
}

// take keeps what a look has shown. What was chosen on another server is not
// here; what flags named beforehand is.
func (iv *interview) take(old, now *inspect.Host) {
	if iv.seen.From != "" && (iv.seen.From != iv.a.From || (iv.seen.To == "") != (iv.a.To == "")) {
		iv.a.Move = nil
	}
	iv.old, iv.now, iv.seen = old, now, iv.a
}

// ask opens the dialog of a secret or host key, and closes it when nobody
// wants to know any more.
func (iv *interview) ask(p *run.Prompt) {
	o, open := iv.top.(*promptOver)
	switch {
	case open && (p == nil || p.ID != o.x.p.ID):
		iv.top, iv.dirty = nil, true
	case !open && p != nil && iv.top == nil:
		iv.top, iv.dirty = &promptOver{newPrompt(p)}, true
	}
}

// promptOver asks for what is never written down.
type promptOver struct{ x *prompt }

func (o *promptOver) title() string { return o.x.title() }
func (o *promptOver) place() place  { return inPrompt }
func (o *promptOver) press(iv *interview, do action, msg tea.Msg) tea.Cmd {
	text, ok, done := o.x.key(do, msg)
	if !done {
		return nil
	}
	iv.look.answered(o.x.p)
	iv.top = nil
	o.x.p.Reply(text, ok)
	return nil
}
func (o *promptOver) view(iv *interview, w, _ int) ([]string, point) { return o.x.draw(iv.th, w) }

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
	switch do {
	case "recheck":
		if iv.look.over() {
			return iv.start()
		}
	case "back":
		iv.look.cancel()
		if iv.tried { // else nobody could look without sudo again
			iv.a.Sudo, iv.tried = false, false
		}
		return iv.back()
	}
	return nil
}

func (p *lookPage) view(iv *interview, w, _ int) ([]string, point) {
	l, th := iv.look, iv.th
	if l == nil {
		return nil, nowhere
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := []string{""}
	for _, typed := range []string{iv.a.From, iv.a.To} {
		if typed == "" {
			continue
		}
		light := l.light(typed)
		says := map[remote.Light]string{remote.Unlit: "is asked for", remote.Connecting: "connecting", remote.Up: "reached; belay reads what runs there",
			remote.Reconnecting: "the connection broke; trying again", remote.Down: "not reached"}[light.Light]
		if l.done && l.err == nil {
			says = "looked at"
		}
		if light.Reason != "" && light.Light != remote.Up {
			says += ": " + oneLine(light.Reason)
		}
		for i, text := range widget.Wrap(says, max(20, w-30)) {
			head := strings.Repeat(" ", 26)
			if i == 0 {
				head = "  " + th.Mark(light.String()) + " " + widget.Fit(oneLine(typed), 20) + "  "
			}
			lines = append(lines, head+text)
		}
	}
	lines = append(lines, "")
	if !l.done {
		took := iv.o.Now().Sub(l.begun).Truncate(time.Second)
		return append(lines, "  "+th.Paint(widget.Dim, "for "+cmp.Or(took, time.Second).String()+" now")), nowhere
	}
	if l.err != nil {
		for _, text := range widget.Wrap(clean(l.err.Error()), w-4) {
			lines = append(lines, "  "+th.Paint(widget.Warn, text))
		}
	}
	return lines, nowhere
}
