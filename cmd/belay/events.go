package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"belay/steps/journal"
	"belay/steps/plan"
	"belay/tui"
)

// eventLine says an event in one line; "" when it is not worth one.
func eventLine(p *plan.Plan, e journal.Event) string {
	title := e.Step
	if s := p.Step(e.Step); s != nil {
		title = s.Title
	}
	first, _, _ := strings.Cut(e.Err, "\n")
	switch e.Type {
	case journal.RunOpened:
		return fmt.Sprintf("run opened: %s", p.Name)
	case journal.RunResumed:
		return "run resumed"
	case journal.StageEntered:
		return "== " + e.Key + " =="
	case journal.Assessed:
		return findingsLine(e.Data)
	case journal.StepStarted:
		return "   start   " + title
	case journal.StepPassed:
		return "   passed  " + title
	case journal.StepFailed:
		return "   FAILED  " + title + ": " + first
	case journal.StepUnknown:
		return "   UNKNOWN " + title + ": " + first
	case journal.StepSkipped:
		return "   skipped " + title
	case journal.UndoDone:
		return "   undone  " + title + " " + e.Host
	case journal.UndoFailed:
		return "   UNDO FAILED " + title + ": " + first
	case journal.Asked:
		var q journal.Question
		_ = json.Unmarshal(e.Data, &q)
		return "   asked   " + q.Title
	case journal.RollbackBegun:
		if e.Key != "" {
			return "== rollback: " + e.Key + " =="
		}
		return "== rollback =="
	case journal.Answered, journal.Signed, journal.Accepted:
		return answerLine(e)
	case journal.Voided:
		var v journal.Void
		_ = json.Unmarshal(e.Data, &v)
		return "   VOID    what was signed for " + e.Key + ": " + v.Why
	case journal.Verdict:
		return "   verdict " + e.Key + ": " + first
	case journal.Counting:
		return countLine(e)
	case journal.Turned:
		if e.Key == journal.TurnEnd {
			return ""
		}
		return "   soak    " + tui.TurnWords(journal.Turn{Time: e.Time, How: e.Key, Why: first})
	case journal.RunEnded:
		return "run ended: " + e.Key
	case journal.Noted:
		return "   note    " + e.Key
	}
	return ""
}

func countLine(e journal.Event) string {
	var c journal.Countdown
	_ = json.Unmarshal(e.Data, &c)
	switch e.Key {
	case journal.CountBegun:
		return fmt.Sprintf("   COUNTDOWN belay rolls back by itself in %s unless somebody answers: %s", c.Length, c.Why)
	case journal.CountRanOut:
		return "   COUNTDOWN ran out: nobody stopped it"
	}
	return "   countdown " + e.Key
}

func findingsLine(data json.RawMessage) string {
	var fs []journal.Finding
	_ = json.Unmarshal(data, &fs)
	n := map[string]int{}
	var bad strings.Builder
	for _, f := range fs {
		n[f.Level]++
		if f.Level != "pass" {
			at := ""
			if f.Host != "" {
				at = f.Host + ": "
			}
			fmt.Fprintf(&bad, "\n            %-7s %s%s", f.Level, at, f.Text)
		}
	}
	return fmt.Sprintf("   findings: %d pass, %d warn, %d block, %d unknown", n["pass"], n["warn"], n["block"], n["unknown"]) + bad.String()
}

func answerLine(e journal.Event) string {
	var a journal.Answer
	_ = json.Unmarshal(e.Data, &a)
	line := fmt.Sprintf("   answer  %s by %s", a.Choice, a.By.Who())
	if a.Item != "" {
		line += " for " + a.Item
	}
	if a.Reason != "" {
		line += ": " + a.Reason
	}
	return line
}
