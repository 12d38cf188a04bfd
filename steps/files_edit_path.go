package steps

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// filePathEdit is what is asked of a JSON or YAML file.
type filePathEdit struct {
	Set    map[string]any `yaml:"set" doc:"paths and their values: services.web.ports.0: 8080; a dot within a key is written \\. ; {secret: name} stands for a secret"`
	Remove []string       `yaml:"remove" doc:"paths that are taken out"`
}

// filePath cuts "a.b.0.c" at its dots; "\." is a dot within a key.
func filePath(s string) ([]string, error) {
	var segs []string
	seg := ""
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && (s[i+1] == '.' || s[i+1] == '\\'):
			i++
			seg += s[i : i+1]
		case s[i] == '.':
			segs, seg = append(segs, seg), ""
		default:
			seg += s[i : i+1]
		}
	}
	segs = append(segs, seg)
	if slices.Contains(segs, "") {
		return nil, fmt.Errorf("%q is not a path such as a.b.0.c: a part of it is empty", s)
	}
	return segs, nil
}

// fileIndex reads a part of a path as the number of a list item.
func fileIndex(seg string, n int) (int, error) {
	i, err := strconv.Atoi(seg)
	if err != nil || i < 0 {
		return 0, fmt.Errorf("%q is not the number of a list item (from 0)", seg)
	}
	if i > n {
		return 0, fmt.Errorf("the list has %d items, so there can be no item %d next", n, i)
	}
	return i, nil
}

// errFileNoSuch says that a path leads nowhere; removing it is then done.
var errFileNoSuch = errors.New("not in the file")

func (ed filePathEdit) validate(format string) []error {
	var errs []error
	paths := map[string]string{}
	add := func(field, p string) {
		if _, err := filePath(p); err != nil {
			errs = append(errs, Field(field, "%w", err))
			return
		}
		paths[p] = field
	}
	for _, p := range slices.Sorted(maps.Keys(ed.Set)) {
		add(format+".set", p)
	}
	for i, p := range ed.Remove {
		if _, twice := ed.Set[p]; twice {
			errs = append(errs, Field(fmt.Sprintf("%s.remove.%d", format, i), "%s is set and removed by the same step", p))
		}
		add(fmt.Sprintf("%s.remove.%d", format, i), p)
	}
	for _, p := range slices.Sorted(maps.Keys(paths)) {
		for q := range paths {
			if strings.HasPrefix(q, p+".") {
				errs = append(errs, Field(paths[p], "%s lies within %s, which is changed as a whole", q, p))
			}
		}
	}
	return errs
}

// fileTextEdit changes one place of a text.
type fileTextEdit struct {
	set    func(text string, path []string, v any) (string, error)
	remove func(text string, path []string) (string, error)
}

// apply edits text: set in the order of the paths (the numbers of list items
// as numbers), then remove, the last items of a list first.
func (ed filePathEdit) apply(format, text string, by fileTextEdit, value func(any) (any, error)) (string, error) {
	for _, p := range slices.SortedFunc(maps.Keys(ed.Set), filePathOrder) {
		segs, err := filePath(p)
		if err != nil {
			return "", Field(format+".set", "%w", err)
		}
		v, err := value(ed.Set[p])
		if err != nil {
			return "", Field(format+".set", "%s: %w", p, err)
		}
		if text, err = by.set(text, segs, v); err != nil {
			return "", Field(format+".set", "%s: %w", p, err)
		}
	}
	removes := slices.SortedFunc(slices.Values(ed.Remove), func(a, b string) int { return filePathOrder(b, a) })
	for _, p := range removes {
		segs, err := filePath(p)
		if err != nil {
			return "", Field(format+".remove", "%w", err)
		}
		next, err := by.remove(text, segs)
		if errors.Is(err, errFileNoSuch) {
			continue
		}
		if err != nil {
			return "", Field(format+".remove", "%s: %w", p, err)
		}
		text = next
	}
	return text, nil
}

func filePathOrder(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs)) {
		x, errX := strconv.Atoi(as[i])
		y, errY := strconv.Atoi(bs[i])
		if errX == nil && errY == nil && x != y {
			return x - y
		}
		if c := strings.Compare(as[i], bs[i]); c != 0 {
			return c
		}
	}
	return len(as) - len(bs)
}

// fileNest is v under the rest of a path that does not exist yet.
func fileNest(path []string, v any) (any, error) {
	for _, seg := range slices.Backward(path) {
		if _, err := strconv.Atoi(seg); err == nil {
			return nil, fmt.Errorf("there is no list for item %s", seg)
		}
		v = map[string]any{seg: v}
	}
	return v, nil
}

// fileJSONText writes v as compact JSON without HTML escapes.
func fileJSONText(v any) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return strings.TrimSuffix(b.String(), "\n"), err
}
