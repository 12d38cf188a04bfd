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
	page   widget.ListPage // in view
	roam   bool            // the reader has moved; else the cursor is on the first open item
}

func (s *signoffScreen) name() string { return "sign-off" }
func (s *signoffScreen) place() place { return inSigns }

func (s *signoffScreen) settle(m *model) {
	for i, it := range m.sc.plan.Signoff {
		if !s.roam && m.sc.checkItem(it).State == "waiting for you" {
			s.cursor = i
			break
		}
	}
	s.cursor = max(0, min(s.cursor, len(m.sc.plan.Signoff)-1))
}

func (s *signoffScreen) press(m *model, do action, key string) tea.Cmd {
	n := len(m.sc.plan.Signoff)
	switch do {
	case "page-down":
		if s.page.Last < n {
			s.cursor = s.page.Last
		}
	case "page-up":
		if s.page.First > 0 {
			s.cursor = s.page.First - 1
		}
	case "nth":
		if nth := s.page.First + int(key[0]-'1'); nth < s.page.Last {
			s.cursor = nth
		} else {
			m.toast("no item " + key + " on this page")
		}
	default:
		s.cursor = moved(do, s.cursor, n, 1)
	}
	s.roam = do != "back"
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
		if st != nil && len(st.Voided) > 0 {
			d := st.Voided[len(st.Voided)-1]
			out.Note = "sign it anew: what " + oneLine(d.By.Who()) + " signed is void: " + oneLine(d.Why)
		}
	default:
		out.Note = signatures(sc, st.Signed)
		out.State = "passed"
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

// approvals says who said go and for what, who is missing, and what was voided
// last, in lines for the head of the checklist.
func (sc *scene) approvals() []string {
	seats := sc.plan.Seats(sc.st)
	if len(seats) == 1 && seats[0].Go == nil && seats[0].Role == "" && len(sc.voids()) == 0 {
		return nil
	}
	var said, missing []string
	for _, seat := range seats {
		if seat.Go == nil {
			if seat.Role != "" {
				missing = append(missing, oneLine(seat.Wants()))
			}
			continue
		}
		g := seat.Go
		text := fmt.Sprintf("go from %s (%s) at %s", oneLine(g.By.Name), oneLine(g.By.Login), g.Time.In(sc.now.Location()).Format("15:04"))
		if seat.Role != "" {
			text = oneLine(seat.Role) + ": " + text
		}
		if g.Reason != "" {
			text += ": " + oneLine(g.Reason)
		}
		said = append(said, text)
	}
	left := len(plan.Missing(seats))
	var out []string
	if len(said) > 0 {
		out = append(out, sc.th.Paint(widget.OK, "✓ ")+strings.Join(said, " · "))
	}
	switch anybody := left - len(missing); {
	case left > 0 && len(sc.plan.Approvers.Roles) == 0 && len(said) > 0:
		out[0] += " · waits for " + plural(left, "person") + " more"
	case left > 0 && len(sc.plan.Approvers.Roles) > 0:
		if anybody > 0 {
			missing = append(missing, plural(anybody, "person")+" more")
		}
		out = append(out, sc.th.Paint(widget.Warn, "◆ missing: ")+strings.Join(missing, ", "))
	}
	if v := sc.voids(); len(v) > 0 && left > 0 {
		out = append(out, sc.th.Paint(widget.Fail, "✗ void: ")+v[len(v)-1])
	}
	return out
}

// voids are the go's that count no more, and why, oldest first.
func (sc *scene) voids() []string {
	it := sc.st.Items[journal.GoItem]
	if it == nil {
		return nil
	}
	var out []string
	for _, d := range it.Voided {
		out = append(out, fmt.Sprintf("the go of %s at %s: %s", oneLine(d.By.Who()), d.Time.In(sc.now.Location()).Format("15:04"), oneLine(d.Why)))
	}
	return out
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
	body := []string{"  " + sc.th.Paint(widget.Dim, "The signatures hold for this plan only: "+short(sc.plan.Hash)+" · "+plural(sc.plan.Approvers.Count, "approver"))}
	for _, l := range sc.approvals() {
		for i, part := range firsts(widget.Wrap(l, w-4), 2) {
			body = append(body, widget.Cut("  "+strings.Repeat("  ", i)+part, w))
		}
	}
	body = append(body, "")
	if len(items) == 0 {
		return append(append([]string{widget.Rule(sc.th, widget.Focused+"sign-off", note, w)}, body...), "  This plan has no checklist; go or no-go is all that is asked."), nowhere
	}
	rows, at, page := widget.Checklist(sc.th, items, s.cursor, w, h-len(body)-1)
	if s.page = page; page.Of > 1 {
		note = sc.th.Paint(widget.Dim, fmt.Sprintf("items %d–%d of %d, page %d of %d   ", page.First+1, page.Last, len(items), page.N, page.Of)) + note
	}
	lines := append([]string{widget.Rule(sc.th, widget.Focused+"sign-off", note, w)}, body...)
	if at >= 0 {
		at += len(lines)
	}
	return append(lines, rows...), rowAt(at)
}

// itemCard is everything about one item of the checklist.
func (sc *scene) itemCard(it plan.Item, w int) []string {
	c := sc.checkItem(it)
	pairs := []widget.Pair{{Label: "item", Value: clean(it.Text), Max: 10}, {Label: "stands", Value: c.Note, Role: c.Role, Max: 10}}
	if st := sc.st.Items[it.ID]; st != nil {
		if st.Machine {
			pairs = append(pairs, widget.Pair{Label: "seen at", Value: st.Time.In(sc.now.Location()).Format("2006-01-02 15:04:05 MST")})
		}
		for _, d := range st.Voided {
			pairs = append(pairs, widget.Pair{Label: "void", Value: fmt.Sprintf("what %s signed at %s: %s", oneLine(d.By.Who()), d.Time.In(sc.now.Location()).Format("15:04"), oneLine(d.Why)), Max: 6})
		}
	}
	for _, seat := range sc.plan.Seats(sc.st) {
		if seat.Go == nil {
			pairs = append(pairs, widget.Pair{Label: "go", Value: "missing: " + oneLine(seat.Wants()), Role: widget.Warn})
			continue
		}
		g := seat.Go
		text := strings.TrimSpace(fmt.Sprintf("%s (%s) at %s %s", oneLine(g.By.Name), oneLine(g.By.Login), g.Time.In(sc.now.Location()).Format("15:04"), oneLine(g.Reason)))
		if g.Bound != nil {
			text += fmt.Sprintf(", upon plan %s, %s, %s that did not pass", short(g.Bound.Plan), plural(len(g.Bound.Hosts), "host"), plural(len(g.Bound.Findings), "finding"))
		}
		pairs = append(pairs, widget.Pair{Label: strings.TrimSpace("go " + oneLine(seat.Role)), Value: text, Max: 4})
	}
	for _, v := range sc.voids() {
		pairs = append(pairs, widget.Pair{Label: "void", Value: v, Max: 4})
	}
	return widget.Pairs(sc.th, pairs, w)
}

func short(hash string) string {
	if len(hash) > 12 {
		return hash[:12]
	}
	return hash
}
