package steps

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// fileJSONNode is a JSON value by its place in the text, so that an edit can
// leave every other byte alone.
type fileJSONNode struct {
	kind       byte // '{', '[' or 's' for a scalar
	start, end int
	members    []fileJSONMember // of an object or a list
}

type fileJSONMember struct {
	key           string
	start, keyEnd int // start: of the key, in a list of the value
	value         fileJSONNode
}

type fileJSONScan struct {
	text string
	at   int
}

// fileJSONParse finds where everything is in valid JSON.
func fileJSONParse(text string) (fileJSONNode, error) {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return fileJSONNode{}, fmt.Errorf("the file is not JSON: %w", err)
	}
	if err := dec.Decode(&v); err != io.EOF {
		return fileJSONNode{}, errors.New("the file is not JSON: something stands behind the value")
	}
	s := &fileJSONScan{text: text}
	s.space()
	return s.value(), nil
}

func (s *fileJSONScan) space() {
	for s.at < len(s.text) && strings.IndexByte(" \t\r\n", s.text[s.at]) >= 0 {
		s.at++
	}
}

// value reads one value of text that is known to be valid.
func (s *fileJSONScan) value() fileJSONNode {
	n := fileJSONNode{kind: 's', start: s.at}
	switch s.text[s.at] {
	case '{', '[':
		n.kind = s.text[s.at]
		s.at++
		for {
			s.space()
			if c := s.text[s.at]; c == '}' || c == ']' {
				s.at++
				break
			} else if c == ',' {
				s.at++
				continue
			}
			n.members = append(n.members, s.member(n.kind == '{'))
		}
	case '"':
		s.str()
	default:
		for s.at < len(s.text) && strings.IndexByte(" \t\r\n,]}", s.text[s.at]) < 0 {
			s.at++
		}
	}
	n.end = s.at
	return n
}

func (s *fileJSONScan) member(keyed bool) fileJSONMember {
	m := fileJSONMember{start: s.at}
	if keyed {
		s.str()
		m.keyEnd = s.at
		_ = json.Unmarshal([]byte(s.text[m.start:m.keyEnd]), &m.key)
		s.space()
		s.at++ // the colon
		s.space()
	}
	m.value = s.value()
	return m
}

func (s *fileJSONScan) str() {
	for s.at++; s.text[s.at] != '"'; s.at++ {
		if s.text[s.at] == '\\' {
			s.at++
		}
	}
	s.at++
}

// find is the number of the member that a part of a path names; the last one,
// where a key stands twice, because that is the one that counts. len(members)
// when there is none.
func (n fileJSONNode) find(seg string) (int, error) {
	switch n.kind {
	case '[':
		return fileIndex(seg, len(n.members))
	case '{':
		for i := len(n.members) - 1; i >= 0; i-- {
			if n.members[i].key == seg {
				return i, nil
			}
		}
		return len(n.members), nil
	}
	return 0, fmt.Errorf("%s would be inside of something that is neither an object nor a list", seg)
}

var fileJSONEdit = fileTextEdit{set: fileJSONSet, remove: fileJSONRemove}

func fileJSONSet(text string, path []string, v any) (string, error) {
	if strings.TrimSpace(text) == "" {
		text = "{}\n"
	}
	n, err := fileJSONParse(text)
	if err != nil {
		return "", err
	}
	for i, seg := range path {
		at, err := n.find(seg)
		if err != nil {
			return "", err
		}
		if at == len(n.members) {
			nested, err := fileNest(path[i+1:], v)
			if err != nil {
				return "", err
			}
			return fileJSONInsert(text, n, seg, nested)
		}
		n = n.members[at].value
	}
	if fileJSONSame(text[n.start:n.end], v) {
		return text, nil
	}
	out, err := fileJSONRender(text, n.start, v)
	return text[:n.start] + out + text[n.end:], err
}

func fileJSONSame(old string, v any) bool {
	b, err := json.Marshal(v)
	if err != nil {
		return false
	}
	decode := func(s []byte) (x any) {
		dec := json.NewDecoder(bytes.NewReader(s))
		dec.UseNumber()
		_ = dec.Decode(&x)
		return x
	}
	return reflect.DeepEqual(decode([]byte(old)), decode(b))
}

// fileJSONRender writes v as it would look at that place of text.
func fileJSONRender(text string, at int, v any) (string, error) {
	out, err := fileJSONText(v)
	if err != nil || !strings.Contains(strings.TrimSpace(text), "\n") {
		return out, err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(out), fileIndentAt(text, at), fileJSONUnit(text)); err != nil {
		return "", err
	}
	return strings.ReplaceAll(b.String(), "\n", fileBreak(text)), nil
}

// fileIndentAt is the white space that the line of that place begins with.
func fileIndentAt(text string, at int) string {
	line := text[strings.LastIndexByte(text[:at], '\n')+1:]
	return line[:len(line)-len(strings.TrimLeft(line, " \t"))]
}

// fileJSONUnit is how far one level of text is indented.
func fileJSONUnit(text string) string {
	for _, l := range fileLines(text) {
		if in := l[:len(l)-len(strings.TrimLeft(l, " \t"))]; in != "" && strings.TrimSpace(l) != "" {
			return in
		}
	}
	return "  "
}

// fileJSONInsert adds a member behind the last one, spaced as that one is.
func fileJSONInsert(text string, n fileJSONNode, key string, v any) (string, error) {
	many := strings.Contains(strings.TrimSpace(text), "\n")
	br, at, lead, colon := "", n.start+1, "", ": "
	last := len(n.members) - 1
	switch {
	case last >= 0:
		m := n.members[last]
		at = m.value.end
		lead = text[len(strings.TrimRight(text[:m.start], " \t\r\n")):m.start]
		if n.kind == '{' {
			colon = text[m.keyEnd:m.value.start]
			if last == 0 && lead == "" && strings.HasSuffix(colon, " ") {
				lead = " "
			}
		}
	case many || strings.TrimSpace(text) == "{}":
		br = fileBreak(text)
		in := fileIndentAt(text, n.start)
		lead = br + in + fileJSONUnit(text)
		br += in
	default:
		colon = ":"
	}
	name := ""
	if n.kind == '{' {
		b, err := fileJSONText(key)
		if err != nil {
			return "", err
		}
		name = b + colon
	}
	// Rendered as if it stood there already, for its indentation.
	before := text[:at] + lead
	out, err := fileJSONRender(before+text[at:], len(before), v)
	if err != nil {
		return "", err
	}
	if last >= 0 {
		return text[:at] + "," + lead + name + out + text[at:], nil
	}
	return text[:at] + lead + name + out + br + text[n.end-1:], nil
}

func fileJSONRemove(text string, path []string) (string, error) {
	if strings.TrimSpace(text) == "" {
		return "", errFileNoSuch
	}
	n, err := fileJSONParse(text)
	if err != nil {
		return "", err
	}
	for _, seg := range path[:len(path)-1] {
		at, err := n.find(seg)
		if err != nil || at == len(n.members) {
			return "", errFileNoSuch
		}
		n = n.members[at].value
	}
	at, err := n.find(path[len(path)-1])
	if err != nil || at == len(n.members) {
		return "", errFileNoSuch
	}
	text = n.cut(text, at)
	if n.kind == '[' {
		return text, nil
	}
	return fileJSONRemoveAll(text, path)
}

// fileJSONRemoveAll takes out a key that stands several times.
func fileJSONRemoveAll(text string, path []string) (string, error) {
	next, err := fileJSONRemove(text, path)
	if errors.Is(err, errFileNoSuch) {
		return text, nil
	}
	return next, err
}

// cut takes out one member and one comma.
func (n fileJSONNode) cut(text string, i int) string {
	m := n.members
	switch {
	case len(m) == 1:
		return text[:n.start+1] + text[n.end-1:]
	case i == len(m)-1:
		return text[:m[i-1].value.end] + text[m[i].value.end:]
	}
	return text[:m[i].start] + text[m[i+1].start:]
}
