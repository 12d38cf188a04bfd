package journal

import (
	"encoding/json"
	"testing"
	"time"
)

// TestPastSafe: whoever begins the cutover, alone or not, has decided about the
// moments that had passed by then.
func TestPastSafe(t *testing.T) {
	at := time.Date(2026, 11, 21, 22, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		kind, choice string
		past         bool
	}{{AskCutover, "go", true}, {AskCutover, "break-glass", true}, {AskCutover, "no-go", false}, {AskLastSafe, "on", true}, {AskLastSafe, "stop", false}, {AskSignoff, "go", false}} {
		s := NewState()
		apply := func(what Type, data any) {
			b, err := json.Marshal(data)
			if err != nil {
				t.Fatal(err)
			}
			s.Apply(Event{Seq: s.Seq + 1, Type: what, Key: "q1", Data: b})
		}
		apply(Asked, Question{ID: "q1", Kind: c.kind})
		apply(Answered, Answer{Question: "q1", Choice: c.choice, Time: at})
		if got := s.PastSafe.Equal(at); got != c.past {
			t.Errorf("%s, %s: past %v", c.kind, c.choice, s.PastSafe)
		}
	}
}
