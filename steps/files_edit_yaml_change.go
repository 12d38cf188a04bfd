package steps

import (
	"bytes"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// fileYAMLSpot is one entry of a collection: where a path leads.
type fileYAMLSpot struct {
	in     *yaml.Node // the collection
	i      int        // number of the entry; after the last one: not there yet
	inFlow bool       // the collection is written in brackets, or within some
}

func (s fileYAMLSpot) count() int {
	if s.in.Kind == yaml.MappingNode {
		return len(s.in.Content) / 2
	}
	return len(s.in.Content)
}

func (s fileYAMLSpot) value() *yaml.Node {
	if s.in.Kind == yaml.MappingNode {
		return s.in.Content[2*s.i+1]
	}
	return s.in.Content[s.i]
}

// first is the node that the entry begins with: its key, or the item.
func (s fileYAMLSpot) first() *yaml.Node {
	if s.in.Kind == yaml.MappingNode {
		return s.in.Content[2*s.i]
	}
	return s.in.Content[s.i]
}

// walk follows a path as far as it leads, and returns the spots on the way.
func (y *fileYAMLFile) walk(path []string) ([]fileYAMLSpot, error) {
	var spots []fileYAMLSpot
	n, inFlow := y.root, false
	for _, seg := range path {
		i, err := fileYAMLData(n).find(seg)
		if err != nil {
			return nil, err
		}
		if n.Kind == yaml.ScalarNode {
			break // null: the spot before is to become a mapping
		}
		inFlow = inFlow || n.Style&yaml.FlowStyle != 0
		spot := fileYAMLSpot{in: n, i: i, inFlow: inFlow}
		spots = append(spots, spot)
		if i == spot.count() {
			break
		}
		n = spot.value()
	}
	return spots, nil
}

func (y *fileYAMLFile) set(path []string, v any) (string, error) {
	if y.root == nil {
		nested, err := fileNest(path, v)
		if err != nil {
			return "", err
		}
		out, err := y.block(nested, 0)
		return y.insertAfter(len(y.lines), out), err
	}
	spots, err := y.walk(path)
	if err != nil {
		return "", err
	}
	if len(spots) == 0 {
		return "", errFileYAML
	}
	last := spots[len(spots)-1]
	rest := path[len(spots):]
	if v, err = fileNest(rest, v); err != nil {
		return "", err
	}
	if last.i < last.count() {
		return y.put(last, v)
	}
	return y.insert(last, path[len(spots)-1], v)
}

// put replaces the value of an entry that is there.
func (y *fileYAMLFile) put(s fileYAMLSpot, v any) (string, error) {
	old := s.value()
	implicit := old.Kind == yaml.ScalarNode && old.Value == "" && old.Style == 0
	from, to, ok := y.token(old, s.inFlow)
	ok = ok && !implicit
	inline := fileYAMLInline(v)
	if ok && (inline || s.inFlow) {
		out, err := fileYAMLFlow(v, old, s.inFlow)
		return y.replace(from, to, out), err
	}
	if s.inFlow {
		return "", errFileYAML
	}
	mark, line, col, found := y.mark(s)
	if !found || old.Anchor != "" || old.Style&yaml.TaggedStyle != 0 {
		return "", errFileYAML
	}
	_, end := y.lineSpan(1, y.blockEnd(line, col-1, old))
	end = len(fileBare(y.text[:end]))
	comment := y.comment(mark, to, ok)
	if inline {
		out, err := fileYAMLFlow(v, old, false)
		return y.replace(mark, end, " "+out+comment), err
	}
	br := fileBreak(y.text)
	if s.in.Kind == yaml.SequenceNode {
		out, err := y.block(v, col+1)
		return y.replace(mark, end, " "+strings.TrimSuffix(strings.TrimLeft(out, " "), br)), err
	}
	out, err := y.block(v, col-1+y.unit)
	return y.replace(mark, end, comment+br+strings.TrimSuffix(out, br)), err
}

// comment is the comment behind a key, or behind its value on the same line.
func (y *fileYAMLFile) comment(mark, to int, ok bool) string {
	at := mark
	if ok {
		at = to
	}
	rest, _, _ := strings.Cut(y.text[at:], "\n")
	if rest = strings.TrimSpace(rest); strings.HasPrefix(rest, "#") {
		return " " + rest
	}
	return ""
}

// mark is the place behind the colon or dash of a block entry, with the line
// and the column (from 1) on which the entry begins.
func (y *fileYAMLFile) mark(s fileYAMLSpot) (at, line, col int, ok bool) {
	if s.in.Kind == yaml.MappingNode {
		key := s.first()
		_, at, ok = y.token(key, false)
		if !ok {
			return 0, 0, 0, false
		}
		colon := len(y.text[at:]) - len(strings.TrimLeft(y.text[at:], " \t"))
		if at+colon >= len(y.text) || y.text[at+colon] != ':' {
			return 0, 0, 0, false
		}
		return at + colon + 1, key.Line, key.Column, true
	}
	line, col, ok = y.dash(s)
	return y.offset(max(line, 1), max(col, 1)) + 1, line, col, ok
}

// dash finds the dash of a list item.
func (y *fileYAMLFile) dash(s fileYAMLSpot) (line, col int, ok bool) {
	item, col := s.first(), s.in.Column
	if s.in.Anchor != "" || s.in.Style&yaml.TaggedStyle != 0 {
		return 0, 0, false
	}
	for line = min(item.Line, len(y.lines)); line >= s.in.Line && line >= 1; line-- {
		l := y.lines[line-1]
		if len(l) >= col && l[col-1] == '-' && (line < item.Line || col < item.Column || item.Value == "") {
			return line, col, true
		}
	}
	return 0, 0, false
}

// insert adds an entry behind the last one.
func (y *fileYAMLFile) insert(s fileYAMLSpot, key string, v any) (string, error) {
	if s.inFlow {
		return y.insertFlow(s, key, v)
	}
	n := s.count()
	if n == 0 {
		return "", errFileYAML
	}
	s.i = n - 1
	_, line, col, ok := y.mark(s)
	if !ok {
		return "", errFileYAML
	}
	var add any = []any{v}
	if s.in.Kind == yaml.MappingNode {
		add = map[string]any{key: v}
	}
	out, err := y.block(add, col-1)
	return y.insertAfter(y.blockEnd(line, col-1, s.value()), out), err
}

func (y *fileYAMLFile) insertFlow(s fileYAMLSpot, key string, v any) (string, error) {
	_, to, ok := y.token(s.in, true)
	if !ok {
		return "", errFileYAML
	}
	out, err := fileYAMLFlow(v, nil, true)
	if err != nil {
		return "", err
	}
	if s.in.Kind == yaml.MappingNode {
		k, err := fileYAMLFlow(key, nil, true)
		if err != nil {
			return "", err
		}
		out = k + ": " + out
	}
	before := strings.TrimRight(y.text[:to-1], " \t\r\n")
	switch {
	case s.count() > 0 && !strings.HasSuffix(before, ","):
		out = ", " + out
	case s.count() > 0:
		out = " " + out
	}
	return y.replace(len(before), len(before), out), nil
}

func (y *fileYAMLFile) remove(path []string) (string, error) {
	spots, err := y.walk(path)
	if err != nil || len(spots) != len(path) || spots[len(spots)-1].i == spots[len(spots)-1].count() {
		return "", errFileNoSuch
	}
	s := spots[len(spots)-1]
	if s.inFlow {
		return y.removeFlow(s)
	}
	_, line, col, ok := y.mark(s)
	if !ok {
		return "", errFileYAML
	}
	start, end := y.lineSpan(line, y.blockEnd(line, col-1, s.value()))
	if s.count() == 1 {
		var empty any = map[string]any{}
		if s.in.Kind == yaml.SequenceNode {
			empty = []any{}
		}
		if len(spots) > 1 {
			return y.put(spots[len(spots)-2], empty)
		}
		out, err := fileYAMLFlow(empty, nil, false)
		return y.replace(start, len(fileBare(y.text[:end])), out), err
	}
	at := y.offset(line, col)
	if strings.TrimSpace(y.text[start:at]) == "" {
		return y.dropLines(start, end), nil
	}
	if s.i > 0 {
		return "", errFileYAML
	}
	// The entry stands behind a dash, which the next one takes over.
	s.i++
	_, line, col, ok = y.mark(s)
	if !ok {
		return "", errFileYAML
	}
	return y.replace(at, y.offset(line, col), ""), nil
}

// dropLines takes lines out; a missing break at the end of the file stays so.
func (y *fileYAMLFile) dropLines(start, end int) string {
	if end == len(y.text) && !strings.HasSuffix(y.text, "\n") {
		return fileBare(y.text[:start])
	}
	return y.replace(start, end, "")
}

func (y *fileYAMLFile) removeFlow(s fileYAMLSpot) (string, error) {
	ends := func(s fileYAMLSpot) (int, bool) {
		_, to, ok := y.token(s.value(), true)
		if v := s.value(); v.Kind == yaml.ScalarNode && v.Value == "" && v.Style == 0 {
			_, to, ok = y.token(s.first(), true)
		}
		return to, ok
	}
	from := y.start(s.first())
	to, ok := ends(s)
	prev, next := s, s
	prev.i, next.i = s.i-1, s.i+1
	switch {
	case s.count() == 1:
		// what stands around it in the brackets goes too
		start, end, whole := y.token(s.in, true)
		from, to, ok = start+1, end-1, whole
	case s.i == s.count()-1:
		var okPrev bool
		from, okPrev = ends(prev)
		ok = ok && okPrev
	default:
		to = y.start(next.first())
	}
	if !ok {
		return "", errFileYAML
	}
	return y.replace(from, to, ""), nil
}

// fileYAMLInline tells whether a value is written behind its key, on one line.
func fileYAMLInline(v any) bool {
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Map, reflect.Slice:
		return r.Len() == 0
	}
	return true
}

// fileYAMLFlow writes v on one line, with the quotes that old has.
func fileYAMLFlow(v any, old *yaml.Node, inFlow bool) (string, error) {
	s, isText := v.(string)
	if isText && old != nil && old.Kind == yaml.ScalarNode {
		switch {
		case old.Style&yaml.DoubleQuotedStyle != 0:
			return fileJSONText(s)
		case old.Style&yaml.SingleQuotedStyle != 0 && strings.IndexFunc(s, func(r rune) bool { return r < ' ' }) < 0:
			return "'" + strings.ReplaceAll(s, "'", "''") + "'", nil
		}
	}
	var n yaml.Node
	if err := n.Encode(v); err != nil {
		return "", err
	}
	fileYAMLSetFlow(&n)
	b, err := yaml.Marshal(&n)
	out := strings.TrimSuffix(string(b), "\n")
	if isText && (strings.Contains(out, "\n") || inFlow && out == s && strings.ContainsAny(s, ",[]{}:")) {
		return fileJSONText(s)
	}
	return out, err
}

func fileYAMLSetFlow(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode {
		if strings.Contains(n.Value, "\n") {
			n.Style = yaml.DoubleQuotedStyle
		}
		return
	}
	n.Style |= yaml.FlowStyle
	for _, c := range n.Content {
		fileYAMLSetFlow(c)
	}
}

// block writes v as lines, indented by so many columns.
func (y *fileYAMLFile) block(v any, indent int) (string, error) {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(y.unit)
	if err := enc.Encode(v); err != nil {
		return "", err
	}
	if err := enc.Close(); err != nil {
		return "", err
	}
	var out strings.Builder
	for _, l := range fileLines(b.String()) {
		if strings.TrimSpace(l) != "" {
			out.WriteString(strings.Repeat(" ", indent))
		}
		out.WriteString(fileBare(l) + fileBreak(y.text))
	}
	return out.String(), nil
}
