package tui

import "slices"

// push puts a dialog in front of everything; what was there stays as it is.
func (m *model) push(d dialog) {
	if m.top != nil {
		m.below = append(m.below, m.top)
	}
	m.top = d
}

// close takes the dialog away, back to what it stood in front of.
func (m *model) close() { m.drop(m.top) }

// drop takes a dialog away, wherever it stands.
func (m *model) drop(d dialog) {
	if m.top != d {
		m.below = slices.DeleteFunc(m.below, func(x dialog) bool { return x == d })
		return
	}
	m.top = nil
	if n := len(m.below); n > 0 {
		m.top, m.below = m.below[n-1], m.below[:n-1]
	}
}

// under is what the dialog in front covers: another dialog, or the screen.
func (m *model) under() interface{ place() place } {
	if n := len(m.below); n > 0 {
		return m.below[n-1]
	}
	return m.screen()
}

// opened finds an open dialog of a type, also behind others; nil for none.
func opened[D dialog](m *model) (found D) {
	for _, d := range append(slices.Clone(m.below), m.top) {
		if x, ok := d.(D); ok {
			found = x
		}
	}
	return found
}
