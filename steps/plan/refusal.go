package plan

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"belay/checks"
)

// refusals tells what Validate said about the parameters in n, each at the
// parameter that it is about, or at key.
func (d *decoder) refusals(err error, n, key *node) {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			d.refusals(e, n, key)
		}
		return
	}
	var fe *checks.FieldError
	if !errors.As(err, &fe) {
		d.c.add(key, "%s: %s", quote(key.text), oneLine(err.Error()))
		return
	}
	path, inner := fe.Field, fe.Err
	for next := fe; errors.As(inner, &next) && next.Error() == inner.Error(); {
		path, inner = path+"."+next.Field, next.Err
	}
	at := locate(n, path)
	if at == nil {
		at = key
	}
	d.c.add(at, "%s: %s", quote(path), oneLine(inner.Error()))
}

// oneLine keeps foreign text from forging lines of its own.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if !printable(r) {
			return ' '
		}
		return r
	}, s)
}

// locate finds the value at a dotted path; keys may contain dots themselves.
// Nil when it is not there.
func locate(n *node, path string) *node {
	if path == "" || n.kind == scalar {
		return n // the short form, or a single value for a list
	}
	if n.kind == list {
		head, rest, _ := strings.Cut(path, ".")
		if i, err := strconv.Atoi(head); err == nil && i >= 0 && i < len(n.items) {
			return locate(n.items[i], rest)
		}
		return nil
	}
	for _, p := range n.pairs {
		if p.key.text == path {
			return p.val
		}
		if rest, ok := strings.CutPrefix(path, p.key.text+"."); ok {
			if at := locate(p.val, rest); at != nil {
				return at
			}
		}
	}
	return nil
}

// holding returns the scalar in n that names a host: whose text is the name, or
// begins with it and a colon, as in chat:/var/lib. Nil when there is none.
func holding(n *node, name string) *node {
	if n.kind == scalar {
		if n.text == name || strings.HasPrefix(n.text, name+":") {
			return n
		}
		return nil
	}
	for _, item := range n.items {
		if at := holding(item, name); at != nil {
			return at
		}
	}
	for _, p := range n.pairs {
		if at := holding(p.val, name); at != nil {
			return at
		}
	}
	return nil
}

// oneKind finds the single key of n that names a kind. Keys in common are
// passed over; all others are problems.
func oneKind[K any](d *decoder, n *node, what string, common []string, kinds map[string]K) (found *pair, kind K) {
	wrong := false
	for i := range n.pairs {
		p := &n.pairs[i]
		word := p.key.text
		k, known := kinds[word]
		switch {
		case slices.Contains(common, word):
		case !known:
			wrong = true
			d.c.add(p.key, "unknown key %s in %s%s", quote(word), what, didYouMean(word, append(keys(kinds), common...)))
		case found != nil:
			wrong = true
			d.c.add(p.key, "%s has two kinds, %s and %s; make two of it", what, quote(found.key.text), quote(word))
		default:
			found, kind = p, k
		}
	}
	if found == nil && !wrong {
		d.c.add(n, "%s has no kind%s", what, example(keys(kinds)))
	}
	if wrong {
		return nil, kind
	}
	return found, kind
}

func example(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf("; it needs one of %s (see `belay kinds`)", strings.Join(names, ", "))
}
