package journal

import (
	"fmt"
	"strings"
)

// RefusedError says why an answer is not taken. The question stays open and
// nothing has changed.
type RefusedError struct{ Why string }

func (e *RefusedError) Error() string { return e.Why }

// Refuse makes a RefusedError.
func Refuse(format string, args ...any) error { return &RefusedError{fmt.Sprintf(format, args...)} }

// Option returns the option of that choice.
func (q Question) Option(choice string) (Option, bool) {
	for _, o := range q.Options {
		if o.Choice == choice {
			return o, true
		}
	}
	return Option{}, false
}

// Check tells whether a answers q in full: one of its options, with what that
// option needs, and typed exactly where something must be typed.
func (q Question) Check(a Answer) error {
	o, ok := q.Option(a.Choice)
	if !ok {
		var all []string
		for _, o := range q.Options {
			all = append(all, o.Choice)
		}
		return Refuse("%q is not an answer to this question; choose one of: %s", a.Choice, strings.Join(all, ", "))
	}
	if o.Type != "" && strings.TrimSpace(a.Text) != o.Type {
		return Refuse("type %s, exactly, to %s; nothing was done", o.Type, o.Label)
	}
	missing := map[string]bool{
		"reason": strings.TrimSpace(a.Reason) == "",
		"text":   strings.TrimSpace(a.Text) == "",
		"name":   strings.TrimSpace(a.By.Name) == "",
	}
	for need := range strings.FieldsSeq(o.Needs) {
		if missing[need] {
			return Refuse("%q needs a %s", o.Label, map[string]string{
				"reason": "word of reason", "text": "word of evidence", "name": "name of who answers",
			}[need])
		}
	}
	return nil
}

// Open returns the open question of that kind about that step.
func (s *State) Open(kind, step string) (Question, bool) {
	for _, q := range s.Questions {
		if q.Kind == kind && q.Step == step {
			return q, true
		}
	}
	return Question{}, false
}

// FindingID names what a finding judged, the same over re-checks.
func FindingID(check, host, key string) string { return check + "/" + host + "/" + key }

// Standing returns the findings that still forbid to go on: blocks, and
// warnings and unknowns that nobody has accepted.
func (s *State) Standing() (blocks, open []Finding) {
	for _, f := range s.Findings {
		_, accepted := s.Accepted[f.ID]
		switch {
		case f.Level == "block":
			blocks = append(blocks, f)
		case f.Level != "pass" && !accepted:
			open = append(open, f)
		}
	}
	return blocks, open
}
