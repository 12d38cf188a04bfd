package plan

import (
	"bytes"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"belay/checks"
	"belay/remote"
	"belay/steps"
	"belay/steps/journal"

	"go.yaml.in/yaml/v3"
)

// stepFields is everything that a step says around its kind.
type stepFields struct {
	Step     string             `yaml:"step" required:"" doc:"title, as the screens and the report call it"`
	ID       string             `yaml:"id" doc:"name of the step for sign-offs, logs and flags; made from the title when left out"`
	Why      string             `yaml:"why" doc:"why it is done, for the step card"`
	Expect   string             `yaml:"expect" doc:"what should be seen when it went well"`
	On       []string           `yaml:"on" host:"" doc:"host or hosts it runs on; may be left out when the plan has one host"`
	Takes    remote.Duration    `yaml:"takes" doc:"about how long it takes, as far as anybody knows; counts as a guess until a run has measured it"`
	Timeout  remote.Duration    `yaml:"timeout" doc:"longest time for one attempt"`
	Retry    *retryFields       `yaml:"retry" doc:"try again by itself when it fails; only for steps that may be repeated"`
	When     string             `yaml:"when" doc:"POSIX shell condition on the step's host; the step is skipped when it is false"`
	Optional bool               `yaml:"optional" doc:"a failure is recorded and the run goes on"`
	Undo     *node              `yaml:"undo" doc:"way back of this step instead of the kind's own: a kind with its parameters, or a script for run"`
	Progress *steps.LogProgress `yaml:"progress" doc:"how to read from the step's log how far it is, whatever its kind; a Compose kind takes containers' lines into its log with follow, a wait with follow too"`
	Hints    []hintFields       `yaml:"hints" doc:"what known lines of a failed step's log mean"`
	Each     *node              `yaml:"each" doc:"write it once for every value: {db: [shop, blog]}, then ${{ db }}"`
}

type retryFields struct {
	Times int             `yaml:"times" scalar:"" required:"" doc:"how many more attempts, at most 100"`
	Wait  remote.Duration `yaml:"wait" default:"5s" doc:"pause before each"`
}

type hintFields struct {
	Match string `yaml:"match" required:"" doc:"regular expression that a line of the failed step's log matches"`
	Cause string `yaml:"cause" required:"" doc:"what it means"`
	Fix   string `yaml:"fix" doc:"what to do about it"`
	Mend  *node  `yaml:"mend" doc:"step that mends it, offered when the line was seen: a kind with its parameters, or a script for run"`
}

// undoFields is what a way back, or a mending step, says around its kind.
type undoFields struct {
	On      []string        `yaml:"on" host:"" doc:"host or hosts it runs on; those of the step when left out"`
	Timeout remote.Duration `yaml:"timeout" doc:"longest time for one attempt"`
	Expect  string          `yaml:"expect" doc:"what should be seen when it went well"`
}

const maxTitle = 200 // characters

var idForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,79}$`)

// step reads one step; raw is n as it is written, for its templates. Nil when
// there are problems.
func (b *builder) step(n, raw *node, s scope) *Step {
	told := b.c.n
	var f stepFields
	common := shapeOf(reflect.TypeFor[stepFields]()).names()
	p, kind := oneKind(&b.decoder, n, "a step", common, b.kinds.Steps)
	b.structure(n, reflect.ValueOf(&f).Elem(), in{what: "a step"}, func(pair) {})
	b.title(n, "step", f.Step)
	if p == nil {
		return nil
	}
	st := &Step{
		Title: f.Step, Why: f.Why, Expect: f.Expect, Stage: b.stage, Kind: kind, On: f.On,
		Takes: time.Duration(f.Takes), Timeout: time.Duration(f.Timeout), When: f.When, Optional: f.Optional, Line: n.line,
	}
	b.identify(st, n, raw, f.ID, s)
	b.place(st, n, p.key)
	b.kind(st, p)
	b.retry(st, n.get("retry"), f.Retry)
	b.progress(st, n, f.Progress)
	b.hints(st, n.get("hints"), f.Hints)
	b.notUndone(st, n.pair("undo"))
	if f.Undo != nil {
		st.Undo = b.aside(st, n.pair("undo"), b.c.n == told, st.ID+"-undo", "Undo: "+st.Title, "an undo")
	}
	if b.c.n > told {
		return nil
	}
	return st
}

func (b *builder) title(n *node, key, text string) {
	if strings.Contains(text, "\n") || len([]rune(text)) > maxTitle {
		b.c.add(n.get(key), "%s must be one line of at most %d characters", quote(key), maxTitle)
	}
}

// identify gives the step its id, and tells apart what `each` wrote.
func (b *builder) identify(st *Step, n, raw *node, id string, s scope) {
	at := n.get("id")
	source := raw.get("id")
	if at == nil {
		at, source, id = n.get("step"), raw.get("step"), slug(st.Title)
	} else if !idForm.MatchString(id) {
		b.c.add(at, "%s is no id: letters, digits, - and _, at most 80 of them", quote(id))
	}
	for _, t := range s.each {
		if source != nil && !uses(source.text, t.name) {
			id += "-" + slug(t.suffix)
		}
		if title := raw.get("step"); title != nil && !uses(title.text, t.name) {
			st.Title += " (" + t.suffix + ")"
		}
	}
	st.ID = id
	b.unique(id, n, at)
}

func (b *builder) unique(id string, n, at *node) {
	if at == nil {
		at = n
	}
	if first, twice := b.ids[id]; twice {
		b.c.add(at, "step id %s is taken by the step in line %d; give one of them another `id`", quote(id), first)
		return
	}
	b.ids[id] = n.line
}

// place settles where a step runs.
func (b *builder) place(st *Step, n, key *node) {
	on := n.pair("on")
	for i, h := range st.On {
		if slices.Contains(st.On[:i], h) {
			b.c.add(on.val, "host %s stands there twice", quote(h))
		}
	}
	switch {
	case on != nil && st.Kind.NoHost:
		b.c.add(on.key, "%s runs on no host; remove `on`", quote(st.Kind.Name))
	case st.Kind.Close && st.Stage != journal.Close:
		b.c.add(key, "%s cannot be taken back, so it stands under `close` only", quote(st.Kind.Name))
	case on != nil && len(st.On) == 0:
		b.c.add(on.val, "`on` names no host")
	case on == nil && !st.Kind.NoHost && !st.Kind.Optional && len(st.On) == 0:
		if b.only == "" {
			b.c.add(key, "`on` is missing; the plan has several hosts, so say where this runs%s", orElse("", ": ", b.hosts))
			return
		}
		st.On = []string{b.only}
	}
	if st.When != "" && len(st.On) == 0 {
		b.c.add(n.get("when"), "`when` is asked on the step's host, and this step has none")
	}
}

// kind fills the kind's parameters.
func (b *builder) kind(st *Step, p *pair) {
	st.Do = st.Kind.New()
	b.params(p.val, p.key, st.Do, st.Kind.Name, false)
	st.Params = b.yamlOut.text(p.val)
}

// writer writes YAML many times with one encoder: each has buffers of several
// 100 KiB, which 5,000 steps would feel. Now and then it takes a new one, as an
// encoder keeps every event that it ever wrote.
type writer struct {
	out  bytes.Buffer
	enc  *yaml.Encoder
	used int
}

// text writes n in block style; a single value as it is, without quotes.
func (w *writer) text(n *node) string {
	if n.kind == scalar {
		return strings.TrimSuffix(n.text, "\n") + "\n"
	}
	y := n.yaml()
	y.Style &^= yaml.FlowStyle
	if w.used++; w.enc == nil || w.used%64 == 0 {
		w.enc = yaml.NewEncoder(&w.out)
		w.enc.SetIndent(2)
	}
	w.out.Reset()
	if err := w.enc.Encode(y); err != nil {
		w.enc = nil
		return fmt.Sprintf("(not shown: %v)", err)
	}
	return strings.TrimPrefix(w.out.String(), "---\n") // what parts it from the one before
}

func (b *builder) retry(st *Step, n *node, f *retryFields) {
	if n == nil || f == nil || st.Do == nil {
		return
	}
	st.Retry = Retry{Times: f.Times, Wait: time.Duration(f.Wait)}
	if f.Times < 1 || f.Times > 100 {
		b.c.add(n, "`retry` takes 1 to 100 times")
		return
	}
	if r, ok := st.Do.(steps.Repeater); !ok || !r.Repeatable() {
		b.c.add(n, "doing %s twice may not equal doing it once, so it is never tried again by itself; remove `retry`", quote(st.Kind.Name))
	}
}

// progress takes the way to read the log, unless it is none; a short form's
// problems stand where the pattern does.
func (b *builder) progress(st *Step, n *node, p *steps.LogProgress) {
	if p == nil {
		return
	}
	if _, err := regexp.Compile(p.Match); err != nil {
		at := n.get("progress")
		if m := at.get("match"); m != nil {
			at = m
		}
		b.c.add(at, "not a regular expression: %s", oneLine(err.Error()))
	} else if p.Total < 0 {
		b.c.add(n.get("progress").get("total"), "%d is less than nothing", p.Total)
	}
	st.Progress = p
}

func (b *builder) hints(of *Step, n *node, all []hintFields) {
	told := b.c.n
	for i, h := range all {
		item := n
		if n.kind == list {
			item = n.items[i]
		}
		if _, err := regexp.Compile(h.Match); err != nil {
			b.c.add(item.get("match"), "not a regular expression: %s", oneLine(err.Error()))
		}
		hint := Hint{Hint: steps.Hint{Match: h.Match, Cause: h.Cause, Fix: h.Fix}}
		if h.Mend != nil {
			hint.Mend = b.aside(of, item.pair("mend"), b.c.n == told, fmt.Sprintf("%s-mend-%d", of.ID, i+1), "Mend: "+h.Cause, "a mending step")
		}
		of.Hints = append(of.Hints, hint)
	}
}

// aside reads a step that stands inside of another one: its way back, or one
// that mends it. sound tells whether that other has no problems of its own.
func (b *builder) aside(of *Step, p *pair, sound bool, id, title, what string) *Step {
	told, n := b.c.n, p.val
	if n.kind == scalar && !n.null() { // short for run
		key := &node{text: "run", tag: "!!str", file: n.file, line: n.line, col: n.col}
		n = &node{kind: mapping, file: n.file, line: n.line, col: n.col, pairs: []pair{{key, n}}}
	}
	if n.kind != mapping {
		b.c.add(n, "%s takes a kind with its parameters, or a script, not %s", quote(p.key.text), n.describe())
		return nil
	}
	var f undoFields
	common := shapeOf(reflect.TypeFor[undoFields]()).names()
	k, kind := oneKind(&b.decoder, n, what, common, b.kinds.Steps)
	b.structure(n, reflect.ValueOf(&f).Elem(), in{what: what}, func(pair) {})
	if k == nil {
		return nil
	}
	st := &Step{
		ID: id, Title: title, Expect: f.Expect, Stage: of.Stage, Kind: kind,
		On: f.On, Timeout: time.Duration(f.Timeout), Line: p.key.line,
	}
	if n.get("on") == nil && !kind.NoHost {
		st.On = of.On
	}
	b.unique(st.ID, n, p.key)
	if sound || n.get("on") != nil {
		b.place(st, n, k.key)
	}
	b.kind(st, k)
	if b.c.n > told {
		return nil
	}
	return st
}

// slug makes an id of a title: "Stop Stoat Chat" → "stop-stoat-chat".
func slug(title string) string {
	var out strings.Builder
	for _, r := range strings.ToLower(title) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '_':
			out.WriteRune(r)
		case r == '\'', r == '’': // don't → dont
		case out.Len() > 0 && !strings.HasSuffix(out.String(), "-"):
			out.WriteByte('-')
		}
		if out.Len() >= 60 {
			break
		}
	}
	if s := strings.Trim(out.String(), "-_"); s != "" {
		return s
	}
	return "step"
}

// needs asks a step for the checks that it relies on, host by host.
func (s *Step) needs() []checks.Check {
	n, ok := s.Do.(steps.Needer)
	if !ok {
		return nil
	}
	if len(s.On) == 0 {
		return n.Needs("")
	}
	var all []checks.Check
	for _, on := range s.On {
		all = append(all, n.Needs(on)...)
	}
	return all
}

// brings is what later steps may rely on.
func (s *Step) brings() []string {
	b, ok := s.Do.(steps.Bringer)
	if !ok {
		return nil
	}
	if len(s.On) == 0 {
		return b.Brings("")
	}
	var all []string
	for _, on := range s.On {
		all = append(all, b.Brings(on)...)
	}
	return all
}
