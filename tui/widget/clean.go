package widget

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxLine is how many runes of one line are kept; longer lines have stalled
// other people's screens (jesseduffield/lazydocker#221).
const MaxLine = 4096

// maxSequence bounds the search for the end of an escape sequence.
const maxSequence = 1024

// Clean makes text safe to draw. Escape sequences, control characters, bidi
// controls and invisible characters go; tabs become spaces; of a line
// redrawn with \r its last state stays; a line longer than MaxLine is cut.
// Newlines stay. An escape sequence without an end loses only its beginning,
// so that nothing can hide the rest of a line. Clean(Clean(s)) == Clean(s).
func Clean(s string) string {
	if plain(s) {
		return s
	}
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = cleanLine(l)
	}
	return strings.Join(lines, "\n")
}

// CleanLine is Clean for what must stay on one line: newlines become spaces.
func CleanLine(s string) string {
	return strings.ReplaceAll(Clean(s), "\n", " ")
}

// plain tells whether s is short printable ASCII, as nearly all lines are.
func plain(s string) bool {
	if len(s) > MaxLine {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func cleanLine(s string) string {
	s = lastState(stripSequences(s))
	var b strings.Builder
	col, marks, count := 0, 0, 0
	for _, r := range s {
		if count >= MaxLine {
			break
		}
		switch {
		case r == '\t':
			n := 8 - col%8
			b.WriteString(strings.Repeat(" ", n))
			col += n
			count += n
			continue
		case unicode.In(r, unicode.Mn, unicode.Me):
			// Two marks on a letter are a language; more are a prank.
			if marks++; marks > 2 || col == 0 {
				continue
			}
		case invisible(r):
			continue
		case unicode.Is(unicode.Zs, r), r == 0x2028, r == 0x2029:
			r, marks = ' ', 0
		case !unicode.IsPrint(r):
			r, marks = utf8.RuneError, 0
		default:
			marks = 0
		}
		b.WriteRune(r)
		col++
		count++
	}
	return capped(b.String(), count)
}

// capped cuts a line that came to its limit and says so with an ellipsis.
func capped(s string, count int) string {
	if count < MaxLine {
		return s
	}
	runes := []rune(s)
	if len(runes) < MaxLine {
		return s
	}
	runes = runes[:MaxLine-1]
	for len(runes) > 0 && runes[len(runes)-1] == '…' {
		runes = runes[:len(runes)-1]
	}
	return string(runes) + "…"
}

// invisible tells of runes that take no cell and change what others look like:
// controls, formats (bidi, joiners, soft hyphen), selectors, tags, fillers.
func invisible(r rune) bool {
	switch {
	case unicode.Is(unicode.Cc, r), unicode.Is(unicode.Cf, r):
		return true
	case r >= 0xFE00 && r <= 0xFE0F, r >= 0xE0000 && r <= 0xE0FFF:
		return true
	case r == 0x115F, r == 0x1160, r == 0x3164, r == 0xFFA0, r == 0x180E, r == 0x034F:
		return true
	}
	return r >= 0x1F3FB && r <= 0x1F3FF // skin tones: two widths in two terminals
}

// lastState folds a progress line: what stands after the last \r that has
// something after it.
func lastState(s string) string {
	s = strings.TrimRight(s, "\r")
	if i := strings.LastIndexByte(s, '\r'); i >= 0 {
		return s[i+1:]
	}
	return s
}

// stripSequences removes escape sequences, in their 7-bit form and as C1.
func stripSequences(s string) string {
	if !strings.ContainsAny(s, "\x1b\u0090\u0098\u009b\u009d\u009e\u009f") {
		return s
	}
	var b strings.Builder
	endless := 0 // no control string that begins before here has an end: do not look again
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == 0x1b && i < endless && opensString(s[i:]):
			i += 2
		case r == 0x1b:
			n := escape(s[i:])
			if n == 2 && opensString(s[i:]) {
				endless = i + maxSequence
			}
			i += n
		case r == 0x9b:
			i += n + csi(s[i+n:])
		case r == 0x90, r == 0x98, r == 0x9d, r == 0x9e, r == 0x9f:
			i += n + controlString(s[i+n:])
		default:
			b.WriteString(s[i : i+n])
			i += n
		}
	}
	return b.String()
}

// opensString tells whether s opens an OSC, DCS, SOS, PM or APC.
func opensString(s string) bool {
	return len(s) > 1 && strings.IndexByte("]PX^_", s[1]) >= 0
}

// escape returns the length of the sequence that s, starting with ESC, opens with.
func escape(s string) int {
	if len(s) < 2 {
		return 1
	}
	switch s[1] {
	case '[':
		return 2 + csi(s[2:])
	case ']', 'P', 'X', '^', '_':
		return 2 + controlString(s[2:])
	}
	i := 1
	for i < len(s) && s[i] >= 0x20 && s[i] <= 0x2f { // intermediates: ESC ( B
		i++
	}
	if i < len(s) && s[i] >= 0x30 && s[i] <= 0x7e {
		i++
	}
	return i
}

// csi returns the length of parameters, intermediates and final byte; 0 when
// they do not come to an end (ECMA-48 §5.4).
func csi(s string) int {
	for i := 0; i < len(s) && i < maxSequence; i++ {
		switch c := s[i]; {
		case c >= 0x40 && c <= 0x7e:
			return i + 1
		case c < 0x20 || c > 0x3f:
			return 0
		}
	}
	return 0
}

// controlString returns the length up to and with BEL or ST; 0 without one.
func controlString(s string) int {
	for i := 0; i < len(s) && i < maxSequence; i++ {
		switch {
		case s[i] == 0x07:
			return i + 1
		case s[i] == 0x1b && i+1 < len(s) && s[i+1] == '\\':
			return i + 2
		case s[i] == 0xc2 && i+1 < len(s) && s[i+1] == 0x9c:
			return i + 2
		}
	}
	return 0
}
