package widget

import (
	"strings"

	"charm.land/lipgloss/v2"
)

// Role is what a piece of text is for; the theme decides how that looks.
type Role int

// The roles.
const (
	Text    Role = iota
	Dim          // read it when you look for it
	Strong       // titles, the chosen row
	Accent       // the one accent: what is going on now, keys
	OK           // passed
	Warn         // wants attention
	Fail         // broken
	Loud         // must not be missed: "no way back"
	Found        // a search hit
	Danger       // banner of production
	Caution      // banner of staging and the like
	Calm         // banner of a rehearsal, demo or lab
	roles
)

// Theme turns roles into looks.
type Theme struct {
	Name  string // dark, light or none
	ASCII bool   // the terminal cannot show more; see ASCII
	pre   [roles]string
	post  [roles]string
}

// Themes by name. Only the first eight colours carry meaning: in Solarized and
// its kin the bright ones are greys, and bright black is the background.
var (
	Dark = theme("dark", map[Role]lipgloss.Style{
		Accent: fg("6"), OK: fg("2"), Warn: fg("3"), Fail: fg("1").Bold(true),
		Loud: bg("0", "1").Bold(true), Found: bg("0", "3"),
		Danger: bg("7", "1").Bold(true), Caution: bg("0", "3").Bold(true), Calm: bg("0", "6").Bold(true),
	})
	Light = theme("light", map[Role]lipgloss.Style{
		// Yellow on white cannot be read; magenta takes its place.
		Accent: fg("4"), OK: fg("2"), Warn: fg("5"), Fail: fg("1").Bold(true),
		Loud: bg("7", "1").Bold(true), Found: bg("0", "3"),
		Danger: bg("7", "1").Bold(true), Caution: bg("7", "5").Bold(true), Calm: bg("7", "4").Bold(true),
	})
	None = theme("none", map[Role]lipgloss.Style{
		Accent: bold, Warn: bold, Fail: bold, Loud: reverse, Found: reverse,
		Danger: reverse, Caution: reverse, Calm: reverse,
	})
	bold    = lipgloss.NewStyle().Bold(true)
	reverse = lipgloss.NewStyle().Reverse(true).Bold(true)
)

func fg(c string) lipgloss.Style { return lipgloss.NewStyle().Foreground(lipgloss.Color(c)) }

func bg(front, back string) lipgloss.Style {
	return fg(front).Background(lipgloss.Color(back))
}

// theme renders each style once and keeps what stands around the text, so that
// painting costs two concatenations.
func theme(name string, styles map[Role]lipgloss.Style) Theme {
	t := Theme{Name: name}
	styles[Strong] = lipgloss.NewStyle().Bold(true)
	styles[Dim] = lipgloss.NewStyle().Faint(true)
	for r, s := range styles {
		t.pre[r], t.post[r], _ = strings.Cut(s.Render("x"), "x")
	}
	return t
}

// Paint gives s the look of a role. Paints do not nest.
func (t Theme) Paint(r Role, s string) string {
	if s == "" || t.pre[r] == "" {
		return s
	}
	return t.pre[r] + s + t.post[r]
}

// Mark is the sign of a state: never colour alone.
type Mark struct {
	Glyph string
	Role  Role
}

var marks = map[string]Mark{
	"pending": {"·", Dim}, "running": {"▸", Accent}, "waiting for you": {"◆", Warn},
	"passed": {"✓", OK}, "failed": {"✗", Fail}, "skipped": {"–", Dim}, "unknown": {"?", Warn},
	"undone": {"←", Dim}, "undo failed": {"✗", Fail}, "undoing": {"◂", Accent},
	"pass": {"✓", OK}, "warn": {"!", Warn}, "block": {"✗", Fail}, "accepted": {"✓", Dim},
	"assessing": {"▸", Accent}, "preparing": {"▸", Accent}, "held": {"◆", Warn}, "cutting over": {"▸", Accent},
	"soaking": {"▸", Accent}, "closing": {"▸", Accent}, "closed": {"✓", OK}, "rolling back": {"◂", Warn},
	"rolled back": {"←", Warn}, "stopped": {"■", Warn}, "needs you": {"◆", Warn}, "no-go": {"■", Warn},
	"up": {"●", OK}, "connecting": {"◌", Accent}, "reconnecting": {"◌", Warn}, "down": {"✗", Fail},
	"not needed yet": {"○", Dim}, "healthy": {"✓", OK}, "degraded": {"✗", Fail}, "inconclusive": {"?", Warn},
}

// MarkOf returns the mark of a state given by its word; a word without one is
// shown as unknown.
func MarkOf(word string) Mark {
	if m, ok := marks[word]; ok {
		return m
	}
	return Mark{"?", Warn}
}

// Mark paints the mark of a word.
func (t Theme) Mark(word string) string {
	m := MarkOf(word)
	return t.Paint(m.Role, m.Glyph)
}

// MarkWord paints mark and word.
func (t Theme) MarkWord(word string) string {
	m := MarkOf(word)
	return t.Paint(m.Role, m.Glyph+" "+word)
}

var asciiOf = strings.NewReplacer(
	"·", ".", "▸", ">", "◂", "<", "◆", "*", "✓", "+", "✗", "x", "–", "-", "—", "-", "←", "<", "→", ">", "●", "o", "◌", "~",
	"○", ".", "■", "#", "▼", "v", "…", "~", "─", "-", "━", "=", "╸", "-", "│", "|", "║", "#", "┃", "|", "├", "|", "└", "`", "┌", ".", "╭", ".", "╮", ".",
	"╰", "`", "╯", "'", "▌", "|", "▐", "|", "“", "\"", "”", "\"", "↓", "v", "↑", "^", "×", "x", "▏", "|", "▁", "_", "▂", ".", "▃", ":", "▄", "-", "▅", "=", "▆", "+", "▇", "*", "█", "#", "’", "'",
)

// ASCII replaces our own glyphs for a terminal without UTF-8, cell for cell;
// any other rune becomes a question mark.
func ASCII(s string) string {
	s = asciiOf.Replace(s)
	return strings.Map(func(r rune) rune {
		if r > '~' {
			return '?'
		}
		return r
	}, s)
}
