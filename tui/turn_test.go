package tui

import (
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
	} {
		f := verdictMoment()
		if turn != nil {
			f.st.Soak.Turns = []journal.Turn{{Time: at, How: journal.TurnWell}, *turn}
		}
		drive(t, f, 100, 30, Options{}).shows(want).press("enter").shows(want, "keep watching").press("esc").shows(want).hides("keep watching")
	}
}
