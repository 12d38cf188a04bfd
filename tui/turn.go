package tui

import (
	"cmp"

	"belay/steps/journal"
	"belay/tui/widget"
)

// TurnWords say how a soak goes on while somebody is asked about it.
func TurnWords(t journal.Turn) string {
	why := ""
	if t.Why != "" {
		why = ": " + oneLine(t.Why)
	}
	switch t.How {
	case journal.TurnWell:
		return "no limit is passed at this moment"
	case journal.TurnBack:
		return "back within the limits; what was asked stays asked until somebody answers"
	case journal.TurnAgain:
		return "over a limit again" + why
	case journal.TurnWorse:
		return "worse than when it was asked" + why
	}
	return oneLine(t.How) + why
}

// standing says how it is now, while somebody is asked what to make of the
// soak; none otherwise.
func (sc *scene) standing() []widget.Pair {
	if sc.question(journal.AskSoak) == nil || sc.live.Ended || sc.st.Soak.Countdown != nil {
		return nil
	}
	now := widget.Pair{Label: "now", Value: "no limit is passed at this moment", Role: widget.Dim, Max: 3}
	over := sc.trouble()
	if over != "" {
		now.Value, now.Role = "it is still so: "+over, widget.Fail
	}
	if t, turned := sc.st.Soak.Turn(); turned {
		at, bad := " since "+t.Time.In(sc.now.Location()).Format("15:04:05"), widget.Span(t.Bad)
		switch t.How {
		case journal.TurnWell:
			now.Value, now.Role = "no limit is passed"+at+", when this was asked. The question stays until somebody answers.", widget.OK
		case journal.TurnBack:
			now.Value, now.Role = "within the limits again"+at+", after "+bad+" over one. The question stays until somebody answers.", widget.OK
		case journal.TurnAgain:
			now.Value, now.Role = "over a limit AGAIN"+at+": "+cmp.Or(over, oneLine(t.Why)), widget.Fail
		case journal.TurnWorse:
			now.Value, now.Role = "WORSE"+at+": "+cmp.Or(over, oneLine(t.Why)), widget.Fail
		}
	}
	return []widget.Pair{now}
}
