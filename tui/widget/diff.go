package widget

import "strings"

// Diff colours a unified diff, line by line; the signs say the same.
func Diff(t Theme, diff string, w int) []string {
	var out []string
	for _, l := range strings.Split(strings.TrimRight(Clean(diff), "\n"), "\n") {
		role := Text
		switch {
		case strings.HasPrefix(l, "+++"), strings.HasPrefix(l, "---"):
			role = Strong
		case strings.HasPrefix(l, "+"):
			role = OK
		case strings.HasPrefix(l, "-"):
			role = Fail
		case strings.HasPrefix(l, "@@"):
			role = Accent
		}
		for _, part := range Chop(l, w) {
			out = append(out, t.Paint(role, part))
		}
	}
	return out
}
