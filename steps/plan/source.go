package plan

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// maxFile is the largest plan file, in bytes.
const maxFile = 4 << 20

// source is one file that was read.
type source struct {
	path  string
	text  []byte
	lines []string // without line ends; filled when first asked for
}

// line returns the no-th line, or "".
func (s *source) line(no int) string {
	if no < 1 || no > s.count() {
		return ""
	}
	return strings.TrimSuffix(s.lines[no-1], "\r")
}

// count returns how many lines the file has; at least one.
func (s *source) count() int {
	if s.lines == nil {
		s.lines = strings.Split(string(s.text), "\n")
	}
	return len(s.lines)
}

// printable tells whether a character may stand in a plan besides tab and line
// break. Control characters could forge what an approver sees on a terminal;
// so could those that turn the direction of writing (CVE-2021-42574).
func printable(r rune) bool {
	return !unicode.IsControl(r) && !unicode.Is(unicode.Bidi_Control, r) && r != '\uFEFF' && r != '\u2028' && r != '\u2029'
}

// clean tells the first byte that must not be in a text file.
func (s *source) clean(c *collector) bool {
	if len(s.text) > maxFile {
		c.at(s, 0, 0, "larger than 4 MiB; a plan is written by people, so this is probably not one")
		return false
	}
	line, col := 1, 0
	for i := 0; i < len(s.text); {
		r, w := utf8.DecodeRune(s.text[i:])
		col++
		switch {
		case r == '\n':
			line, col = line+1, 0
		case r == utf8.RuneError && w == 1:
			c.at(s, line, col, "byte 0x%02x is not UTF-8", s.text[i])
			return false
		case r == '\uFEFF' && i == 0:
			col = 0 // a byte order mark, as some editors write it
		case r == '\r' && !bytes.HasPrefix(s.text[i:], []byte("\r\n")):
			c.at(s, line, col, "a carriage return without a line feed; save the file with plain line ends")
			return false
		case r != '\t' && r != '\r' && !printable(r):
			c.at(s, line, col, "%s must not be in a plan", nameRune(r))
			return false
		}
		i += w
	}
	return true
}

func nameRune(r rune) string {
	if r == 0 {
		return "a NUL character"
	}
	return fmt.Sprintf("the invisible character %U", r)
}

// parse reads the one YAML document of the file; nil when there are problems.
func (s *source) parse(c *collector) *node {
	if !s.clean(c) {
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(s.text, []byte("\uFEFF"))))
	var doc yaml.Node
	if err := decodeYAML(dec, &doc); err != nil {
		if errors.Is(err, io.EOF) {
			c.at(s, 0, 0, "empty; a plan starts with `belay: 1` and `name: …` (see `belay init`)")
			return nil
		}
		s.syntax(c, err)
		return nil
	}
	var next yaml.Node
	switch err := decodeYAML(dec, &next); {
	case err == nil:
		c.at(s, min(max(next.Line, 1), s.count()), max(next.Column, 1), "a second document; a plan is one document, so remove the --- line")
		return nil
	case !errors.Is(err, io.EOF):
		s.syntax(c, err)
		return nil
	}
	return grow(s, c, &doc)
}

// decodeYAML keeps a panic of the parser from ending the program: plan files
// are not trusted, and its scanner has had such bugs (yaml/go-yaml history).
func decodeYAML(dec *yaml.Decoder, n *yaml.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("not readable as YAML: %v", r)
		}
	}()
	return dec.Decode(n)
}

// The parser gives the place of a syntax error only inside its message.
var yamlPlace = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+):? ?)?(?:column (\d+):? ?)?`)

func (s *source) syntax(c *collector, err error) {
	text := err.Error()
	m := yamlPlace.FindStringSubmatch(text)
	text = strings.TrimSpace(text[len(m[0]):])
	line, _ := strconv.Atoi(m[1])
	line = min(max(line, 1), s.count())
	col, _ := strconv.Atoi(m[2])
	if col == 0 {
		src := s.line(line)
		col = 1 + utf8.RuneCountInString(src) - utf8.RuneCountInString(strings.TrimLeft(src, " \t"))
	}
	hint := ""
	if indent := s.line(line); strings.HasPrefix(strings.TrimLeft(indent, " "), "\t") {
		hint = "; YAML is indented with spaces, not tabs"
	}
	c.at(s, line, col, "not readable as YAML: %s%s", text, hint)
}
