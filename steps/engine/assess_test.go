package engine

import (
	"context"
	"strings"
	"testing"

	"belay/checks"
)

// awaiting finds what is given to it.
type awaiting []checks.Finding

func (a awaiting) Assess(context.Context, checks.World) ([]checks.Finding, error) { return a, nil }

// TestAssessKnowsWhatComes: nobody is asked about what an earlier step brings,
// and about everything else.
func TestAssessKnowsWhatComes(t *testing.T) {
	found, err := titled{awaiting{
		{Text: "nobody listens", Fix: "accept", Awaits: "port 5432 of db"},
		{Text: "nobody listens", Fix: "accept", Awaits: "port 5433 of db"},
		{Text: "nobody knows", Fix: "look"},
		{Text: "no", Fix: "mend", Level: checks.Block, Awaits: "port 5432 of db"},
	}, "title", map[string]string{"port 5432 of db": "Run PostgreSQL", "": "Nothing"}}.Assess(t.Context(), checks.World{})
	if err != nil {
		t.Fatal(err)
	}
	var levels []string
	for _, f := range found {
		levels = append(levels, f.Level.String())
	}
	if got := strings.Join(levels, " "); got != "pass unknown unknown block" {
		t.Errorf("levels: %s", got)
	}
	if f := found[0]; !strings.Contains(f.Text, `"Run PostgreSQL"`) || f.Fix != "" || found[1].Fix == "" {
		t.Errorf("%+v", found)
	}
}
