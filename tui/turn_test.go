package tui

import (
	"strings"
	"testing"
	"time"

	"belay/steps/journal"
)

// Whoever is asked what to make of the soak sees how it is now, in the question
// and on the screen behind it.
func TestHowItIsNowIsShown(t *testing.T) {
	at := noon.Add(-time.Minute)
	for want, turn := range map[string]*journal.Turn{
		"it is still so": nil,
		"within the limits again since " + at.Format("15:04:05") + ", after 4:10": {Time: at, How: journal.TurnBack, Bad: 250 * time.Second},
		"WORSE since " + at.Format("15:04:05"):                                    {Time: at, How: journal.TurnWorse, Why: "tcp: 90% of the looks failed"},
		"over a limit AGAIN since":                                                {Time: at, How: journal.TurnAgain},
		"no limit is passed since " + at.Format("15:04:05") + ", when this":       {Time: at, How: journal.TurnWell},
	} {
		f := verdictMoment()
		if turn != nil {
			f.st.Soak.Turns = []journal.Turn{{Time: at, How: journal.TurnWell}, *turn}
		}
		drive(t, f, 100, 30, Options{}).shows(want).press("enter").shows(want, "keep watching").press("esc").shows(want).hides("keep watching")
	}
}

// TestReportTellsWhatFailed: a step that failed and was undone is not one that
// was merely undone; and long titles keep the end that tells them apart.
func TestReportTellsWhatFailed(t *testing.T) {
	f := rollbackMoment()
	f.st.Status, f.live.Ended = journal.RolledBack, true
	st := f.st.Steps["start"]
	st.Failed = true
	f.plan.Step("start").Title = "Bring the new chat server up on its old address, database of tenant one"
	f.plan.Step("stop").Title = "Bring the new chat server up on its old address, database of tenant two"
	r := drive(t, f, 80, 34, Options{})
	for _, screen := range []string{"report", "rollback"} {
		for i := 0; i < 9 && !strings.Contains(r.screen(), "▐ "+screen); i++ {
			r.press("]")
		}
		r.shows("▐ "+screen, "tenant one", "tenant two", "…")
		if screen == "report" {
			r.shows("failed, undone")
		}
	}
}
