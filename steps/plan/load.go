package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"time"

	"belay/remote/secret"
	"belay/steps/journal"
)

// LoadFile reads the plan at path, with overlays laid over it, for every kind
// that belay has. The error is *Problems, or says why a file cannot be read.
//
// An overlay is a file with some of the keys environment, window, hosts, vars
// and secrets. hosts replaces all hosts of the plan, so that a rehearsal
// cannot reach a machine of production that it forgot to name; vars and
// secrets replace those of the same name, which the plan must have.
func LoadFile(path string, overlays ...string) (*Plan, error) {
	files := make([]File, 0, 1+len(overlays))
	for _, p := range append([]string{path}, overlays...) {
		f, err := readFile(p)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return Load(path, files[0].Source, All(), files[1:]...)
}

// readFile takes no more than shows that a file is too large.
func readFile(path string) (File, error) {
	f, err := os.Open(path)
	if err != nil {
		return File{}, err
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return File{}, fmt.Errorf("%s: %w", path, err)
	}
	return File{path, src}, nil
}

// Load reads a plan from src; path is for messages. The error is *Problems.
func Load(path string, src []byte, kinds Kinds, overlays ...File) (*Plan, error) {
	c := &collector{}
	main := &source{path: path, text: src}
	files := []*source{main}
	root := main.parse(c)
	for _, o := range overlays {
		f := &source{path: o.Path, text: o.Source}
		files = append(files, f)
		if over := f.parse(c); over != nil && root != nil {
			root = overlay(c, root, over)
		}
	}
	if root == nil {
		return nil, c.err(files)
	}
	b := &builder{
		c: c, ids: map[string]int{}, titles: map[string]int{},
		decoder: decoder{c: c, kinds: kinds, secrets: map[string]bool{}}, filler: filler{c: c},
		plan: &Plan{
			Path: path, Source: src, Overlays: overlays, Hash: hash(src, overlays),
			Vars: map[string]string{}, Secrets: map[string]secret.Source{},
		},
	}
	b.build(root)
	if err := c.err(files); err != nil {
		return nil, err
	}
	return b.plan, nil
}

// build reads a whole plan. What others refer to is read before them.
func (b *builder) build(root *node) {
	if root.kind != mapping {
		b.c.add(root, "a plan is a mapping that starts with `belay: 1`, not %s", root.describe())
		return
	}
	b.variables(root.get("vars"))
	b.secretSources(root.get("secrets"))
	b.hostList(root.get("hosts"))
	var f planFields
	b.structure(b.head(root), reflect.ValueOf(&f).Elem(), in{what: "the plan"}, nil)
	p := b.plan
	p.Name, p.About, p.Environment = f.Name, f.About, f.Environment
	b.title(root, "name", f.Name)
	b.title(root, "environment", f.Environment)
	b.approvers(f.Approvers)
	if f.Rehearsal != nil {
		p.Rehearsal = &Rehearsal{MaxAge: time.Duration(f.Rehearsal.MaxAge)}
	}
	p.Parts = parts(root)
	b.window(f.Window, root.get("window"))
	b.assess(f.Assess)
	p.Prepare = b.groups(f.Prepare, journal.Prepare)
	p.Cutover = b.groups(f.Cutover, journal.Cutover)
	p.Close = b.groups(f.Close, journal.Close)
	b.ways(f.Rollback)
	b.signoff(f.Signoff)
	b.soak(f.Soak, b.soakNode(root))
}

// unfilled are the sections whose values are filled in one by one.
var unfilled = []string{"hosts", "vars", "secrets", "assess", "prepare", "signoff", "cutover", "close", "soak", "rollback"}

// head fills in what stands at the top of the plan itself.
func (b *builder) head(root *node) *node {
	n := *root
	n.pairs = slices.Clone(root.pairs)
	for i, p := range n.pairs {
		switch {
		case p.key.text == "soak":
			n.pairs[i].val = b.soakNode(root)
		case !slices.Contains(unfilled, p.key.text):
			n.pairs[i].val = b.fill(p.val, b.vars)
		}
	}
	return &n
}

// soakNode fills in the soak but for its checks, which may have an `each`.
func (b *builder) soakNode(root *node) *node {
	n := root.get("soak")
	if n == nil || n.kind != mapping {
		return n
	}
	return b.withRaw(n.without("watch"), n, "watch", "", b.vars)
}

// overlay lays over on root.
func overlay(c *collector, root, over *node) *node {
	if root.kind != mapping || over.kind != mapping {
		if over.kind != mapping {
			c.add(over, "an overlay is a mapping, not %s", over.describe())
		}
		return root
	}
	n := *root
	n.pairs = slices.Clone(root.pairs)
	for _, p := range over.pairs {
		name := p.key.text
		if !slices.Contains(overlayFields, name) {
			c.add(p.key, "an overlay may change environment, window, hosts, vars and secrets only, not %s%s", quote(name), didYouMean(name, overlayFields))
			continue
		}
		old := n.pair(name)
		if name == "vars" || name == "secrets" {
			had := &node{kind: mapping}
			if old != nil {
				had = old.val
			}
			p.val = overlayNames(c, name, had, p.val)
		}
		if old != nil {
			*old = p
		} else {
			n.pairs = append(n.pairs, p)
		}
	}
	return &n
}

// overlayNames replaces entries by name. A name that the plan lacks is a typing
// error that would leave production's value in a rehearsal.
func overlayNames(c *collector, section string, old, over *node) *node {
	if old.kind != mapping || over.kind != mapping {
		return over
	}
	n := *old
	n.pairs = slices.Clone(old.pairs)
	var names []string
	for _, p := range n.pairs {
		names = append(names, p.key.text)
	}
	for _, p := range over.pairs {
		if at := n.pair(p.key.text); at != nil {
			*at = p
			continue
		}
		c.add(p.key, "the plan has no %s under %s%s", quote(p.key.text), section, didYouMean(p.key.text, names))
	}
	n.refs = true // of either
	return &n
}

// hash is the SHA-256 of the file, as sha256sum prints it; with overlays, of
// the hashes of all files in their order.
func hash(src []byte, overlays []File) string {
	sum := sha256.Sum256(src)
	if len(overlays) == 0 {
		return hex.EncodeToString(sum[:])
	}
	all := sha256.New()
	all.Write(sum[:])
	for _, o := range overlays {
		s := sha256.Sum256(o.Source)
		all.Write(s[:])
	}
	return hex.EncodeToString(all.Sum(nil))
}
