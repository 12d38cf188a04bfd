package tui

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"belay/steps/journal"
	"belay/steps/plan"
	"belay/tui/widget"
)

// signoffScreen is the checklist before cutover.
type signoffScreen struct {
	cursor int
	roam   bool // the reader has moved; else the cursor is on the first open item
}

func (s *signoffScreen) name() string { return "sign-off" }
func (s *signoffScreen) place() place { return inList }

func (s *signoffScreen) settle(m *model) {
	for i, it := range m.sc.plan.Signoff {
		if !s.roam && m.sc.checkItem(it).State == "waiting for you" {
			s.cursor = i
			break
		}
	}
	s.cursor = max(0, min(s.cursor, len(m.sc.plan.Signoff)-1))
}

func (s *signoffScreen) press(m *model, do action, _ string) tea.Cmd {
	s.cursor, s.roam = moved(do, s.cursor, len(m.sc.plan.Signoff), 5), do != "back"
	return nil
}

func (s *signoffScreen) item(sc *scene) string {
	if s.cursor < len(sc.plan.Signoff) {
		return sc.plan.Signoff[s.cursor].ID
	}
	return ""
}

// signable tells whether the item is one that people sign.
func (sc *scene) signable(id string) bool {
	for _, it := range sc.plan.Signoff {
		if it.ID == id {
			return !it.Machine()
		}
	}
	return false
}

// checkItem is one line of the checklist as it stands: what the machine saw and
// when, or who signed.
func (sc *scene) checkItem(it plan.Item) widget.Item {
	out := widget.Item{Text: oneLine(it.Text), State: "pending", Role: widget.Dim}
	st := sc.st.Items[it.ID]
	switch {
	case it.Machine() && st == nil:
		out.Note = "belay fills this in by itself"
	case it.Machine():
		out.State = "failed"
		if st.OK {
			out.State = "passed"
		}
		out.Note = oneLine(st.Evidence) + " · seen " + widget.Ago(sc.now.Sub(st.Time))
	case st == nil || len(st.Signed) == 0:
		out.State, out.Role = "waiting for you", widget.Warn
		out.Note = "waits for a person to sign"
	default:
		out.Note = signatures(sc, st.Signed)
		out.State = "passed"
		if n := len(distinct(st.Signed)); n < sc.plan.Approvers {
			out.State, out.Role = "waiting for you", widget.Warn
			out.Note += fmt.Sprintf(" · waits for %s more", plural(sc.plan.Approvers-n, "person"))
		}
	}
	if st != nil && st.OK && !it.Machine() {
		out.State, out.Role = "passed", widget.Dim
	}
	return out
}

// unsigned says what of the checklist is still open; "" for nothing.
func (sc *scene) unsigned() string {
	n := 0
	for _, it := range sc.plan.Signoff {
		if sc.checkItem(it).State != "passed" {
			n++
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("not yet: %d of %s open", n, plural(len(sc.plan.Signoff), "item"))
}

func signatures(sc *scene, as []journal.Answer) string {
	var parts []string
	for _, a := range as {
		p := fmt.Sprintf("signed by %s (%s) at %s", oneLine(a.By.Name), oneLine(a.By.Login), a.Time.In(sc.now.Location()).Format("15:04"))
		if a.Reason != "" {
			p += ": " + oneLine(a.Reason)
		}
		parts = append(parts, p)
	}
	return strings.Join(parts, " · ")
}

func distinct(as []journal.Answer) map[string]bool {
	who := map[string]bool{}
	for _, a := range as {
		who[strings.ToLower(strings.TrimSpace(a.By.Name))] = true
	}
	return who
}

func (s *signoffScreen) view(m *model, w, h int) ([]string, point) {
	sc := &m.sc
	var items []widget.Item
	open := 0
	for _, it := range sc.plan.Signoff {
		c := sc.checkItem(it)
		if c.State != "passed" {
			open++
		}
		items = append(items, c)
	}
	note := sc.th.Paint(widget.OK, "✓ complete")
	if open > 0 {
		note = sc.th.Paint(widget.Warn, fmt.Sprintf("◆ %d of %d open", open, len(items)))
	}
	lines := []string{widget.Rule(sc.th, widget.Focused+"sign-off", note, w),
		"  " + sc.th.Paint(widget.Dim, "The signatures hold for this plan only: "+short(sc.plan.Hash)+" · "+plural(sc.plan.Approvers, "approver")), ""}
	if it := sc.st.Items[journal.GoItem]; it != nil && len(it.Signed) > 0 {
		said := strings.ReplaceAll(signatures(sc, it.Signed), "signed by", "go from")
		if n := sc.plan.Approvers - len(distinct(it.Signed)); n > 0 {
			said += fmt.Sprintf(" · waits for %s more", plural(n, "person"))
		}
		lines = append(lines[:2], widget.Cut("  "+sc.th.Paint(widget.OK, "✓ ")+said, w), "")
	}
	if len(items) == 0 {
		return append(lines, "  This plan has no checklist; go or no-go is all that is asked."), nowhere
	}
	cursor := s.cursor
	rows, at := widget.Checklist(sc.th, items, cursor, w, h-len(lines))
	if at >= 0 {
		at += len(lines)
	}
	return append(lines, rows...), rowAt(at)
}

func short(hash string) string {
	if len(hash) > 12 {
		return hash[:12]
	}
	return hash
}
