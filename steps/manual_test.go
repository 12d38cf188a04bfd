package steps

import (
	"strings"
	"testing"

	"belay/remote"
)

func TestManual(t *testing.T) {
	m := &manual{Text: "Point the domain at the new server.\nThen wait.", Evidence: "the change number", Match: `^CHG-\d+$`}
	if err := m.Validate(); err != nil {
		t.Fatal(err)
	}
	if text, evidence := m.Instruction(); text != m.Text || evidence != "the change number" {
		t.Errorf("instruction %q, %q", text, evidence)
	}
	e, log := runEnv(remote.Host{})
	todo, err := m.Pending(t.Context(), e)
	if err != nil || len(todo) != 1 || todo[0].Text != "by hand: Point the domain at the new server. …" {
		t.Errorf("pending: %v, %v", todo, err)
	}
	for answer, want := range map[string]string{
		"  ":   "proof is missing: the change number",
		"done": `proof "done" does not look like the change number`,
	} {
		e.Answer = answer
		if err := m.Apply(t.Context(), e); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v", answer, err)
		}
		if err := m.Verify(t.Context(), e); err == nil {
			t.Errorf("%q: verify passes", answer)
		}
	}
	e.Answer = " CHG-12 "
	mustApply(t, m, e)
	if todo, err := m.Pending(t.Context(), e); err != nil || len(todo) != 0 {
		t.Errorf("pending afterwards: %v, %v", todo, err)
	}
	if log.String() != "-- the change number: CHG-12\n" {
		t.Errorf("log %q", log)
	}
}

func TestManualWithoutProof(t *testing.T) {
	m := &manual{Text: "Tell the team."}
	e, _ := runEnv(remote.Host{})
	mustApply(t, m, e)
}

func TestManualValidate(t *testing.T) {
	for want, m := range map[string]manual{
		"text: it is empty":           {Text: " "},
		"match: say under evidence":   {Text: "x", Match: "y"},
		"match: error parsing regexp": {Text: "x", Evidence: "y", Match: "("},
	} {
		if err := m.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
