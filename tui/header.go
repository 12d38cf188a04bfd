package tui

import (
	"fmt"
	"sort"
	"strings"

	"belay/remote"
	"belay/steps/journal"
	"belay/tui/widget"
)

// banner says where this is real: colour and word.
func (sc *scene) banner() string {
	env := strings.ToUpper(oneLine(sc.plan.Environment))
	role := widget.Calm
	if len(sc.st.Rehearsal) > 0 {
		return sc.th.Paint(widget.Caution, strings.TrimRight(" REHEARSAL "+widget.Cut(env, 20), " ")+" ")
	}
	switch env {
	case "":
		return sc.th.Paint(widget.Dim, " no environment named ")
	case "PRODUCTION", "PROD", "LIVE":
		role = widget.Danger
	case "STAGING", "STAGE", "TEST", "TESTING", "QA":
		role = widget.Caution
	}
	return sc.th.Paint(role, " "+widget.Cut(env, 20)+" ")
}

// clock is the last safe moment, where it is near, and the window; where both
// have no room, the moment alone, unless it is but a guess.
func (sc *scene) clock(room int) string {
	text, role := sc.safe()
	window := sc.window()
	switch {
	case text == "", role != widget.Fail && role != widget.Warn && widget.Width(text) > room:
		return window
	case widget.Width(text)+2+widget.Width(window) > room:
		return sc.th.Paint(role, text)
	}
	return sc.th.Paint(role, text) + "  " + window
}

// window is how long until it opens, how long it lasts, or by how much it is
// over; without a window, how long the run has lasted.
func (sc *scene) window() string {
	th, win := sc.th, sc.plan.Window
	if sc.live.Ended {
		return ""
	}
	if win == nil {
		if sc.st.Begun.IsZero() {
			return ""
		}
		return th.Paint(widget.Dim, "begun "+widget.Ago(sc.now.Sub(sc.st.Begun)))
	}
	end := win.Start.Add(win.Length)
	switch {
	case sc.now.Before(win.Start):
		return th.Paint(widget.Dim, "window opens in "+widget.Rough(win.Start.Sub(sc.now)))
	case sc.now.Before(end):
		left, role := end.Sub(sc.now), widget.Text
		if left < win.Length/4 {
			role = widget.Warn
		}
		return th.Paint(role, "window "+widget.Rough(left)+" left")
	}
	return th.Paint(widget.Fail, "window over by "+widget.Rough(sc.now.Sub(end)))
}

// lights are the hosts, what is broken first, each with a mark and, when it is
// not simply up, a word; what has no room is counted.
func (sc *scene) lights(w int) string {
	hosts := append(sc.plan.Hosts[:0:0], sc.plan.Hosts...)
	sort.SliceStable(hosts, func(i, j int) bool {
		return worst(sc.live.Lights[hosts[i].Name].Light) < worst(sc.live.Lights[hosts[j].Name].Light)
	})
	out, used := "", 0
	for i, h := range hosts {
		word := sc.lightWord(h.Name)
		mk := widget.MarkOf(word)
		one := sc.th.Paint(mk.Role, mk.Glyph) + " " + oneLine(h.Name)
		if l := sc.live.Lights[h.Name].Light; l != remote.Up && l != remote.Unlit {
			one += " " + sc.th.Paint(mk.Role, word)
		}
		if i > 0 {
			one = "  " + one
		}
		rest := 4 // room to count the others
		if i == len(hosts)-1 {
			rest = 0
		}
		if used += widget.Width(one); used+rest > w {
			return out + sc.th.Paint(widget.Dim, fmt.Sprintf("  +%d", len(hosts)-i))
		}
		out += one
	}
	return out
}

// minLights is what the lights of two hosts need.
const minLights = 20

// header is two lines: where we are and which plan; the stages and how it goes.
func (sc *scene) header(w int) []string {
	sc.forecast(journal.Cutover) // the stopwatch goes on whatever screen is shown
	left := sc.banner() + " " + sc.th.Paint(widget.Strong, oneLine((sc.plan.Name)))
	clock := sc.clock(w - widget.Width(left) - minLights)
	lights := sc.lights(max(10, w-widget.Width(left)-widget.Width(clock)-4))
	status := sc.th.MarkWord(string(sc.headStatus()))
	return []string{
		widget.Spread(left, strings.TrimSpace(clock+"   "+lights), w),
		widget.Spread(" "+widget.Rail(sc.th, sc.stops(), w-widget.Width(status)-3), status, w),
	}
}

// headStatus is the run's status, except that an open question goes first.
func (sc *scene) headStatus() journal.Status {
	if len(sc.st.Questions) > 0 && !sc.live.Ended {
		return journal.NeedsYou
	}
	if sc.st.Status == "" {
		return journal.Assessing
	}
	return sc.st.Status
}

// stops are the stages as the rail shows them.
func (sc *scene) stops() []widget.Stop {
	var out []widget.Stop
	for _, stage := range journal.Stages {
		s := widget.Stop{Name: string(stage), State: "pending"}
		done, all := sc.count(stage)
		switch {
		case !sc.st.Done[stage].IsZero():
			s.State = "passed"
		case sc.st.Stage == stage && sc.st.Rollback != nil:
			s.State = "rolling back"
		case sc.st.Stage == stage && !sc.live.Ended:
			s.State = "running"
			if len(sc.st.Questions) > 0 {
				s.State = "waiting for you"
			}
		case sc.st.Stage == stage:
			s.State = string(sc.st.Status)
		}
		if all > 0 && s.State != "pending" && s.State != "passed" && sc.st.Rollback == nil {
			s.Note = fmt.Sprintf("%d/%d", done, all)
		}
		out = append(out, s)
	}
	return out
}
