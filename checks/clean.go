package checks

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean makes what a host said harmless: valid UTF-8, and nothing that a
// terminal would obey (control and format characters become U+FFFD; newlines
// and tabs stay).
func clean(b []byte) []byte {
	return bytes.Map(harmless, bytes.ToValidUTF8(b, []byte("\uFFFD")))
}

func harmless(r rune) rune {
	if r == '\n' || r == '\t' || unicode.IsPrint(r) {
		return r
	}
	return utf8.RuneError
}

// OneLine is the harmless form of s on one line, cut to at most max runes, for
// findings and errors that quote what a host said.
func OneLine(s string, max int) string {
	if len(s) > 8*max {
		s = s[:8*max]
	}
	s = strings.Join(strings.Fields(string(clean([]byte(s)))), " ")
	if utf8.RuneCountInString(s) <= max {
		return s
	}
	return string([]rune(s)[:max-1]) + "…"
}

// lines yields what is between newlines, without empty ones.
func lines(b []byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for line := range bytes.SplitSeq(b, []byte("\n")) {
			if len(bytes.TrimSpace(line)) > 0 && !yield(string(line)) {
				return
			}
		}
	}
}
