package widget

// Choice is one answer of a dialog.
type Choice struct {
	Key    string
	Label  string
	Note   string // "needs a reason"
	Danger bool
	Off    bool // cannot be chosen now; Note says why
}

// Choices draws the answers one under the other, keys in a column of their own;
// notes stand in another, behind the longest label that has one.
func Choices(t Theme, cs []Choice, w int) []string {
	label := 0
	for _, c := range cs {
		if c.Note != "" {
			label = max(label, Width(c.Label))
		}
	}
	label = min(label, max(w-12, 8))
	var out []string
	for _, c := range cs {
		key, role, note := t.Paint(Accent, c.Key), Text, t.Paint(Dim, c.Note)
		switch {
		case c.Off:
			key, role = t.Paint(Dim, c.Key), Dim
		case c.Danger:
			role, note = Fail, t.Paint(Warn, c.Note)
		}
		text := c.Label
		if c.Note != "" {
			text = Fit(text, label)
		}
		out = append(out, Cut("  "+key+"  "+t.Paint(role, text)+"   "+note, w))
	}
	return out
}

// Typed tells how a typed confirmation stands: nothing yet, on the way, wrong,
// or right; with the words to show.
func Typed(want, got string) (ok bool, state, say string) {
	switch {
	case got == want:
		return true, "passed", "matches"
	case got == "":
		return false, "pending", "type it exactly: " + want
	case len(got) < len(want) && want[:len(got)] == got:
		return false, "running", "go on: " + want
	}
	return false, "failed", "does not match: " + want
}

// Pair is a label and what belongs to it.
type Pair struct {
	Label string
	Value string
	Role  Role
	Max   int // lines at most; 0: one
}

// Pairs draws labels in a column and values beside them, wrapped.
func Pairs(t Theme, pairs []Pair, w int) []string {
	label := 0
	for _, p := range pairs {
		label = max(label, Width(p.Label))
	}
	var out []string
	for _, p := range pairs {
		lines := Wrap(p.Value, w-label-4)
		limit := max(1, p.Max)
		if len(lines) > limit {
			lines = lines[:limit]
			lines[limit-1] = Cut(lines[limit-1]+" …", w-label-4)
		}
		for i, l := range lines {
			name := p.Label
			if i > 0 {
				name = ""
			}
			out = append(out, "  "+t.Paint(Dim, Fit(name, label))+"  "+t.Paint(p.Role, l))
		}
	}
	return out
}
