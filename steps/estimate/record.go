package estimate

import (
	"encoding/json"

	"belay/steps/journal"
)

// Document is e for a journal. Who reads that elsewhere, without the earlier runs
// that e was learned from, has it by Recorded.
func (e Estimates) Document() json.RawMessage {
	b, err := json.Marshal(e)
	if err != nil {
		return nil // of our own types: it never is
	}
	return b
}

// Recorded are the estimates that a run began with; ok is false where its
// journal has none, as that of an older belay.
func Recorded(s *journal.State) (e Estimates, ok bool) {
	if len(s.Estimates) == 0 || json.Unmarshal(s.Estimates, &e) != nil {
		return Estimates{}, false
	}
	return e, true
}
