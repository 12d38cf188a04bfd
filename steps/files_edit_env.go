package steps

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// fileEnvLine is one assignment of an environment file with all the lines that
// it spans, or one other line (then key is empty).
type fileEnvLine struct {
	head, key, eq string // "export ", "KEY", " = "
	value         string // as it is written, with its quotes
	tail          string // comment and line break
}

func (l fileEnvLine) String() string { return l.head + l.key + l.eq + l.value + l.tail }

var (
	fileEnvAssign = regexp.MustCompile(`^([ \t]*(?:export[ \t]+)?)([A-Za-z_][A-Za-z0-9_.-]*)([ \t]*=[ \t]*)`)
	fileEnvNext   = regexp.MustCompile(`^[ \t]*(?:export[ \t]+)?[A-Z_][A-Z0-9_]{0,60}=`)
	fileEnvKey    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)
	fileEnvBare   = regexp.MustCompile(`^[A-Za-z0-9_./:@%+,=-]*$`)
)

// fileEnvParse cuts an environment file into its lines. Joined again they are
// the text, byte for byte.
func fileEnvParse(text string) []fileEnvLine {
	var lines []fileEnvLine
	for text != "" {
		l, n := fileEnvFirst(text)
		lines, text = append(lines, l), text[n:]
	}
	return lines
}

func fileEnvFirst(text string) (fileEnvLine, int) {
	end := strings.IndexByte(text, '\n') + 1
	if end == 0 {
		end = len(text)
	}
	line := text[:end]
	m := fileEnvAssign.FindStringSubmatch(line)
	if m == nil {
		return fileEnvLine{tail: line}, end
	}
	l := fileEnvLine{head: m[1], key: m[2], eq: m[3]}
	rest := text[len(m[0]):]
	if n := fileEnvQuoted(rest); n > 0 {
		l.value = rest[:n]
		after := strings.IndexByte(rest[n:], '\n') + 1
		if after == 0 {
			after = len(rest) - n
		}
		l.tail = rest[n : n+after]
		return l, len(m[0]) + n + after
	}
	l.value = line[len(m[0]):]
	cut := len(strings.TrimRight(l.value, " \t\r\n"))
	if i := fileEnvComment(l.value); i >= 0 {
		cut = len(strings.TrimRight(l.value[:i], " \t"))
	}
	l.value, l.tail = l.value[:cut], l.value[cut:]
	return l, end
}

// fileEnvComment finds the # of a comment behind a bare value.
func fileEnvComment(s string) int {
	for i := range len(s) {
		if s[i] == '#' && (i == 0 || s[i-1] == ' ' || s[i-1] == '\t') {
			return i
		}
	}
	return -1
}

// fileEnvQuoted is the length of the quoted value that s begins with, perhaps
// over several lines; 0 when it is not one.
func fileEnvQuoted(s string) int {
	if s == "" || s[0] != '"' && s[0] != '\'' {
		return 0
	}
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && s[0] == '"':
			i++
		case s[i] == '\n' && fileEnvNext.MatchString(s[i+1:]):
			return 0 // the quote was never closed
		case s[i] == s[0]:
			rest, _, _ := strings.Cut(s[i+1:], "\n")
			rest = strings.TrimSpace(rest)
			if rest == "" || rest[0] == '#' {
				return i + 1
			}
			return 0
		}
	}
	return 0
}

// fileEnvText is what a written value means.
func fileEnvText(written string) string {
	if len(written) < 2 || fileEnvQuoted(written) != len(written) {
		return written
	}
	inner := written[1 : len(written)-1]
	if written[0] == '\'' {
		return inner
	}
	var b strings.Builder
	for i := 0; i < len(inner); i++ {
		if inner[i] != '\\' || i+1 == len(inner) {
			b.WriteByte(inner[i])
			continue
		}
		i++
		switch inner[i] {
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case '"', '\\', '$', '`':
			b.WriteByte(inner[i])
		default:
			b.WriteByte('\\')
			b.WriteByte(inner[i])
		}
	}
	return b.String()
}

// fileEnvWrite writes a value the way the old one was written, if that holds it.
func fileEnvWrite(value, old string) string {
	quote := byte(0)
	if n := fileEnvQuoted(old); n > 0 && n == len(old) {
		quote = old[0]
	}
	if quote == 0 && fileEnvBare.MatchString(value) {
		return value
	}
	if quote != '"' && !strings.ContainsAny(value, "'\n\r") {
		return "'" + value + "'"
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "`", "\\`", "\n", `\n`, "\r", `\r`).Replace(value) + `"`
}

// fileEnvEdit is what is asked of an environment file.
type fileEnvEdit struct {
	Set    map[string]fileValue `yaml:"set" doc:"keys and their values, each a text or {secret: name}; where a key stands several times, the last one is changed, because the last one counts"`
	Rename map[string]string    `yaml:"rename" doc:"old key: new key; comments, order and value stay"`
	Remove []string             `yaml:"remove" doc:"keys whose lines are taken out"`
}

// apply edits text. Order: rename, set, remove.
func (ed fileEnvEdit) apply(text string, value func(fileValue) (string, error)) (string, error) {
	lines := fileEnvParse(text)
	for _, from := range slices.Sorted(maps.Keys(ed.Rename)) {
		if err := fileEnvRename(lines, from, ed.Rename[from]); err != nil {
			return "", err
		}
	}
	br := fileBreak(text)
	for _, key := range slices.Sorted(maps.Keys(ed.Set)) {
		v, err := value(ed.Set[key])
		if err != nil {
			return "", Field("env.set."+key, "%w", err)
		}
		if strings.ContainsRune(v, 0) {
			return "", Field("env.set."+key, "a value with a NUL byte in it cannot be written")
		}
		lines = fileEnvSet(lines, key, v, br)
	}
	for _, key := range ed.Remove {
		lines = slices.DeleteFunc(lines, func(l fileEnvLine) bool { return l.key == key })
	}
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.String())
	}
	return b.String(), nil
}

func fileEnvRename(lines []fileEnvLine, from, to string) error {
	has := func(key string) bool {
		return slices.ContainsFunc(lines, func(l fileEnvLine) bool { return l.key == key })
	}
	if !has(from) {
		return nil // done before, or never there
	}
	if has(to) {
		return Field("env.rename."+from, "both %s and %s are in the file: take one of them out first", from, to)
	}
	for i := range lines {
		if lines[i].key == from {
			lines[i].key = to
		}
	}
	return nil
}

func fileEnvSet(lines []fileEnvLine, key, value, br string) []fileEnvLine {
	for i := len(lines) - 1; i >= 0; i-- {
		l := &lines[i]
		if l.key != key {
			continue
		}
		if fileEnvText(l.value) != value {
			l.value = fileEnvWrite(value, l.value)
			if strings.HasPrefix(l.tail, "#") {
				l.tail = " " + l.tail
			}
		}
		return lines
	}
	l := fileEnvLine{key: key, eq: "=", value: fileEnvWrite(value, ""), tail: br}
	if n := len(lines); n > 0 && !strings.HasSuffix(lines[n-1].tail, "\n") {
		lines[n-1].tail += br
		l.tail = ""
	}
	return append(lines, l)
}

// fileBreak is the line break that a text uses.
func fileBreak(text string) string {
	if i := strings.IndexByte(text, '\n'); i > 0 && text[i-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

func (ed fileEnvEdit) validate() []error {
	var errs []error
	check := func(field, key string) {
		if !fileEnvKey.MatchString(key) {
			errs = append(errs, Field(field, "%q cannot be the name of a variable", key))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(ed.Set)) {
		check("env.set."+k, k)
		if _, ok := ed.Rename[k]; ok {
			errs = append(errs, Field("env.set."+k, "%s is renamed by the same step; set its new name", k))
		}
	}
	news := map[string]bool{}
	for _, k := range slices.Sorted(maps.Keys(ed.Rename)) {
		to := ed.Rename[k]
		check("env.rename."+k, k)
		check("env.rename."+k, to)
		if _, ok := ed.Rename[to]; ok || news[to] {
			errs = append(errs, Field("env.rename."+k, "%s stands on both sides or twice", to))
		}
		news[to] = true
	}
	for i, k := range ed.Remove {
		field := fmt.Sprintf("env.remove.%d", i)
		check(field, k)
		if _, ok := ed.Set[k]; ok || news[k] {
			errs = append(errs, Field(field, "%s is set and removed by the same step", k))
		}
	}
	return errs
}
