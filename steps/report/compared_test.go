package report

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"belay/steps/compare"
	"belay/steps/journal"
	"belay/steps/plan"
)

// TestCompared: what a comparison came to is told as a table, with hostile
// names made harmless, and with what differs.
func TestCompared(t *testing.T) {
	p, err := plan.Load("p.yaml", []byte(`belay: 1
name: p
hosts: {a: {}, b: {}}
prepare:
  - step: Equal
    compare:
      pairs: [{name: shop, files: {old: {host: a, path: /x}, new: {host: b, path: /x}}}]
`), plan.All())
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 12, 1, 22, 0, 0, 0, time.UTC)
	remembered := func(o compare.Outcome) journal.Event {
		b, err := json.Marshal(compare.Result{Begun: at, Took: time.Second, Pairs: []compare.Outcome{o}})
		if err != nil {
			t.Fatal(err)
		}
		return journal.Event{Type: journal.Remembered, Step: "equal", Key: "compare", Data: b, Time: at}
	}
	one := compare.Tally{Objects: 1, Tables: 1, Rows: 12, Kind: "directory"}
	events := []journal.Event{
		{Type: journal.RunOpened, Time: at, Data: json.RawMessage(`{"run":"r1","plan":"p"}`)},
		{Type: journal.StepStarted, Step: "equal", Time: at, Data: json.RawMessage(`{"attempt":1}`)},
		remembered(compare.Outcome{Name: "shop", What: "files", Old: one, New: one}),
		remembered(compare.Outcome{Name: "shop", What: "files", Old: one, New: one, Differs: []compare.Differs{
			{How: compare.Missing, Kind: "directory", Object: "/x", Key: "a`b|c<script>"}}}),
		{Type: journal.StepFailed, Step: "equal", Time: at, Err: "old and new are not equal"},
	}
	md := string(Markdown(p, events, Options{}))
	for _, want := range []string{"the last of 2 times", "| shop", "12 entries", "✗ MISMATCH", "missing    directory /x  a`b|c<script>"} {
		if !strings.Contains(md, want) {
			t.Errorf("no %q in\n%s", want, md)
		}
	}
	if html := string(mustHTML(t, p, events, Options{})); !strings.Contains(html, "✗ MISMATCH") || strings.Contains(html, "<script>") {
		t.Errorf("html:\n%s", html)
	}
	if c := Build(p, events, Options{}).Steps[0].Compared; c == nil || c.Times != 2 || c.Equal() {
		t.Errorf("%+v", c)
	}
}
