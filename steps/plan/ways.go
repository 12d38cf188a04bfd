package plan

import (
	"reflect"
	"regexp"
	"slices"
	"strings"

	"belay/steps/journal"
)

// Way is one way back. Every way undoes what was done, last step first; its own
// steps run before and after that. They are not undone themselves.
type Way struct {
	Name   string // what a person chooses: "emergency"
	About  string
	Loses  string        // what who goes this way gives up, in words
	From   journal.Stage // offered once this stage has begun
	Before []Group
	After  []Group
	Line   int
}

// Steps are the way's own, in the order in which they run.
func (w *Way) Steps() []*Step { return append(stepsIn(w.Before), stepsIn(w.After)...) }

// StepsBefore are those that run before the undo.
func (w *Way) StepsBefore() []*Step { return stepsIn(w.Before) }

// StepsAfter are those that run after the undo.
func (w *Way) StepsAfter() []*Step { return stepsIn(w.After) }

func stepsIn(groups []Group) []*Step {
	var all []*Step
	for _, g := range groups {
		for _, l := range g.Lanes {
			all = append(all, l.Steps...)
		}
	}
	return all
}

// Way returns the way back of that name, or nil.
func (p *Plan) Way(name string) *Way {
	if i := slices.IndexFunc(p.Ways, func(w Way) bool { return w.Name == name }); i >= 0 {
		return &p.Ways[i]
	}
	return nil
}

// WayOf returns the way back that a step belongs to, as its own or as what
// mends one of its own; nil for a step of a stage. before tells on which side
// of the undo it stands.
func (p *Plan) WayOf(id string) (w *Way, before bool) {
	for i := range p.Ways {
		w := &p.Ways[i]
		if findStep(w.StepsBefore(), id) != nil {
			return w, true
		}
		if findStep(w.StepsAfter(), id) != nil {
			return w, false
		}
	}
	return nil, false
}

// WaysFrom returns the ways that are offered where a run stands; none: a
// rollback undoes at once, and there is nothing to choose.
func (p *Plan) WaysFrom(s *journal.State) []*Way {
	var open []*Way
	for i := range p.Ways {
		if p.Ways[i].offered(p, s) {
			open = append(open, &p.Ways[i])
		}
	}
	return open
}

func (w *Way) offered(p *Plan, s *journal.State) bool {
	switch w.From {
	case journal.Soak:
		return !s.Reached[journal.Soak].IsZero()
	case journal.Cutover: // its gate alone changes nothing
		return !s.Reached[journal.Soak].IsZero() || slices.ContainsFunc(stepsIn(p.Cutover), func(st *Step) bool {
			return s.Step(st.ID).Status != journal.Pending
		})
	}
	return true
}

// AllSteps are the steps of the stages, then those of the ways back.
func (p *Plan) AllSteps() []*Step {
	all := p.Steps()
	for i := range p.Ways {
		all = append(all, p.Ways[i].Steps()...)
	}
	return all
}

func findStep(all []*Step, id string) *Step {
	for _, s := range all {
		if s.ID == id {
			return s
		}
		for _, m := range s.Mends() {
			if m.ID == id {
				return m
			}
		}
	}
	return nil
}

// wayFields are the keys of one way under rollback.
type wayFields struct {
	About  string `yaml:"about" doc:"what this way does, in a sentence"`
	Loses  string `yaml:"loses" required:"" doc:"what is lost by going this way; shown where it is chosen"`
	From   string `yaml:"from" enum:"prepare|cutover|soak" default:"cutover" doc:"offered once this stage has begun; before, a rollback just undoes"`
	Before *node  `yaml:"before" doc:"steps before the undo: maintenance on, export what was written since the cutover"`
	After  *node  `yaml:"after" doc:"steps after the undo: maintenance off, say what could not be merged"`
}

// wayForm is how a way may be called; taken are the other answers that a
// question may have.
var (
	wayForm  = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,39}$`)
	wayTaken = []string{"go", "back", "stop", "close", "rollback", "no-go", "withdrawn", "skip", "retry", "undo", "done", "accept", "sign", "break-glass"}
)

// ways reads the ways back.
func (b *builder) ways(n *node) {
	for _, p := range b.section(n, "rollback") {
		told := b.c.n
		switch {
		case !wayForm.MatchString(p.key.text):
			b.c.add(p.key, "%s cannot name a way back: lower case letters, digits, - and _, at most 40 of them", quote(p.key.text))
		case slices.Contains(wayTaken, p.key.text):
			b.c.add(p.key, "%s means something else where a way back is chosen; take another name", quote(p.key.text))
		}
		if p.val.bad {
			continue
		}
		if p.val.kind != mapping {
			b.c.add(p.val, "a way back takes `loses`, and steps under `before` and `after`, not %s", p.val.describe())
			continue
		}
		var f wayFields
		head := b.withRaw(p.val.without("before", "after"), p.val, "before", "after", b.vars)
		b.structure(head, reflect.ValueOf(&f).Elem(), in{what: "way back " + quote(p.key.text), key: p.key}, nil)
		w := Way{Name: p.key.text, About: f.About, Loses: f.Loses, From: journal.Stage(f.From), Line: p.key.line}
		w.Before = b.groupList(f.Before, "before", journal.GoingBack)
		w.After = b.groupList(f.After, "after", journal.GoingBack)
		if b.c.n == told {
			b.plan.Ways = append(b.plan.Ways, w)
		}
	}
}

// notUndone refuses a way back of a step that is one itself.
func (b *builder) notUndone(st *Step, undo *pair) {
	if st.Stage == journal.GoingBack && undo != nil {
		b.c.add(undo.key, "a step of a way back is never undone; remove `undo`")
	}
}

// waysManual is what a plan may say of its ways back.
func waysManual() string {
	var b strings.Builder
	b.WriteString("rollback (section of a plan)\n")
	wrap(&b, "  ", "Ways back by name, of which a person chooses one where a rollback is chosen, seeing what each one loses and how long it takes. "+
		"Every way undoes all that was done, last step first: by the steps' own undo. A way's own steps are ordinary steps around that; they are not undone. "+
		"When one of them fails before the undo, it can be skipped, or all that is left of them. A way without steps undoes at once. "+
		"Headless, the answer to the question rollback is the name of the way.")
	b.WriteString("\n  Each way\n")
	rows(&b, reflect.TypeFor[wayFields](), "    ", false, map[reflect.Type]bool{})
	exampleOf(&b, waysExample)
	return b.String()
}

const waysExample = `
rollback:
  emergency:
    about: The old version at once, with its data as it was before the cutover.
    loses: Everything that was written since the cutover.
  graceful:
    about: Nobody writes meanwhile, and what was written is exported first.
    loses: What cannot be merged by hand. The export stays.
    before:
      - step: Maintenance on
        on: chat
        run: {script: touch /run/maintenance, verify: test -e /run/maintenance}
      - step: Export what was written since the cutover
        on: chat
        run: {script: ./export-since-cutover.sh > /var/backups/since.sql}
    after:
      - step: Maintenance off
        on: chat
        run: {script: rm -f /run/maintenance, verify: "! test -e /run/maintenance"}
      - step: Say what could not be merged
        manual: {text: Compare the export with the old data., evidence: what could not be merged}
`
