package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"belay/remote"
	"belay/steps/journal"
)

// Rehearsal says that a run of the plan wants a rehearsal before it.
type Rehearsal struct {
	MaxAge time.Duration // 0: however old
}

type rehearsalFields struct {
	Needed string          `yaml:"needed" scalar:"" default:"required" enum:"required" doc:"a run starts only after a rehearsal of the same steps, forward and back, without one only with a reason"`
	MaxAge remote.Duration `yaml:"max_age" doc:"how old that rehearsal may be, such as 30d; any age when left out"`
}

// onlySections are what no overlay can change.
var onlySections = []string{"name", "assess", "prepare", "signoff", "approvers", "cutover", "soak", "close", "rollback"}

// parts names every piece of a plan that an overlay cannot change, with a sum
// of it as it is written, before variables are filled in. Comments, layout and
// the order of keys do not count.
func parts(root *node) []journal.Part {
	var all []journal.Part
	seen := map[string]int{}
	add := func(name string, n *node) {
		if seen[name]++; seen[name] > 1 {
			name = fmt.Sprintf("%s (%d)", name, seen[name])
		}
		all = append(all, journal.Part{Name: name, Sum: sumOf(n)})
	}
	for _, section := range onlySections {
		n := root.get(section)
		if n == nil || n.null() {
			continue
		}
		if n.kind != list {
			add(section, n)
			continue
		}
		for _, item := range n.items {
			partsOf(section, item, add)
		}
	}
	return all
}

// partsOf takes the steps out of lanes: what is left of those is a part too.
func partsOf(section string, item *node, add func(string, *node)) {
	for key, title := range map[string]string{"together": "title", "steps": "lane"} {
		inner := item.get(key)
		if inner == nil || inner.kind != list {
			continue
		}
		name := "together"
		if t := item.get(title); t != nil {
			name = t.text
		}
		// How many there are belongs to the group: whether the next step stands in it.
		rest := item.without(key)
		rest.pairs = append(rest.pairs, pair{&node{text: key}, &node{text: fmt.Sprint(len(inner.items)), tag: "!!int"}})
		add(section+": "+name, rest)
		for _, in := range inner.items {
			partsOf(section, in, add)
		}
		return
	}
	name := item.text
	for _, key := range []string{"step", "title", "check"} {
		if t := item.get(key); t != nil && t.kind == scalar {
			name = t.text
			break
		}
	}
	if name == "" && len(item.pairs) > 0 {
		name = item.pairs[0].key.text
	}
	add(section+": "+name, item)
}

// sumOf is the beginning of the SHA-256 of a value.
func sumOf(n *node) string {
	h := sha256.New()
	digest(h, n)
	return hex.EncodeToString(h.Sum(nil)[:8])
}

func digest(h io.Writer, n *node) {
	switch n.kind {
	case scalar:
		fmt.Fprintf(h, "%s %q\n", n.tag, n.text)
	case list:
		fmt.Fprintf(h, "list %d\n", len(n.items))
		for _, item := range n.items {
			digest(h, item)
		}
	case mapping:
		fmt.Fprintf(h, "mapping %d\n", len(n.pairs))
		for _, p := range slices.SortedFunc(slices.Values(n.pairs), func(a, b pair) int { return strings.Compare(a.key.text, b.key.text) }) {
			fmt.Fprintf(h, "%q\n", p.key.text)
			digest(h, p.val)
		}
	}
}
