package steps

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"belay/checks/inspect"
	"belay/remote"
)

func init() {
	register(Kind{
		Name: "inspect.compare",
		Summary: "Nothing forgotten: keeps what runs on the old host as a baseline, looks for all of it on the new one, and names what is not there. " +
			"It changes nothing.",
		Example: `- step: Nothing is forgotten
  inspect.compare:
    old: old
    new: new
    moving: [port, unit]
    ignore:
      - {area: port, key: tcp 8088, why: the new service listens behind the proxy}
      - {area: unit, key: "oldchat*", why: the old service does not come along}
`,
		NoHost: true,
		New:    func() Step { return &inspectCompare{look: inspect.Look} },
	})
}

type inspectCompare struct {
	Old    string          `yaml:"old" required:"" host:"" doc:"the host whose baseline is kept, once, when the step first runs"`
	New    string          `yaml:"new" required:"" host:"" doc:"the host that is held against it each time; the same one for a move on one host"`
	Areas  []string        `yaml:"areas" enum:"port|unit|job|environment|certificate|user|mount|package" doc:"what is compared; left out, all but package"`
	Moving []string        `yaml:"moving" enum:"port|unit|job|environment|certificate|user|mount|package" doc:"areas of what the cutover moves: it is missed on the new host only once the old one has it no more, or is not reached"`
	Ignore []inspectIgnore `yaml:"ignore" doc:"what may differ, each with the reason"`
	Again  remote.Duration `yaml:"again" default:"15m" doc:"look again by itself when the answer is that old, while the run is held at a gate that a sign-off item of this step guards; 0s never"`

	look func(ctx context.Context, hosts remote.Hosts, names []string) (*inspect.Inspection, error)
}

// inspectIgnore leaves differences out.
type inspectIgnore struct {
	Area string `yaml:"area" doc:"left out, any"`
	Key  string `yaml:"key" required:"" doc:"as the result names it, or a pattern, in which * is anything and ? one character: oldchat*"`
	Why  string `yaml:"why" required:"" doc:"the reason, which the result shows"`
}

// inspectResult is what is remembered of a look.
type inspectResult struct {
	At      time.Time            `json:"at"`
	Lost    []inspect.Difference `json:"lost,omitempty"`    // gone, changed or unsure, and nothing explains it
	Waived  []inspectWaived      `json:"waived,omitempty"`  // what the plan lets differ
	Added   int                  `json:"added,omitempty"`   // only the new host has it
	Waiting int                  `json:"waiting,omitempty"` // what the old host still has, and the cutover moves
	Matches int                  `json:"matches,omitempty"` // what the old one has and the new one too
}

type inspectWaived struct {
	inspect.Difference
	Why string `json:"why"`
}

// Keys of Memory.
const (
	inspectBaseline = "baseline"
	inspectLatest   = "latest"
)

func (c *inspectCompare) Validate() error {
	if len(c.Areas) == 0 {
		c.Areas = inspect.Areas[:len(inspect.Areas)-1] // packages come last
	}
	var errs []error
	for i, x := range c.Ignore {
		if x.Area != "" && !slices.Contains(inspect.Areas, x.Area) {
			errs = append(errs, Field(fmt.Sprintf("ignore.%d.area", i), "%q is no area; there are %s", x.Area, strings.Join(inspect.Areas, ", ")))
		}
		if strings.Trim(x.Key, "*") == "" && x.Area == "" {
			errs = append(errs, Field(fmt.Sprintf("ignore.%d.key", i), "that would leave everything out"))
		}
	}
	if a := time.Duration(c.Again); a != 0 && a < time.Second {
		errs = append(errs, Field("again", "%v is too often", a))
	}
	return errors.Join(errs...)
}

// Repeatable: it changes nothing.
func (c *inspectCompare) Repeatable() bool { return true }

// Underway is always true: a look that broke off is simply begun again.
func (c *inspectCompare) Underway(Env) (bool, error) { return true, nil }

// Pending is never empty: the look is of the moment at which it is asked for.
func (c *inspectCompare) Pending(context.Context, Env) ([]Change, error) {
	return []Change{{Text: fmt.Sprintf("look on %s for what runs on %s: %s", c.New, c.Old, strings.Join(c.Areas, ", "))}}, nil
}

// Apply keeps the baseline, once, and holds the new host against it.
func (c *inspectCompare) Apply(ctx context.Context, e Env) error {
	var base inspect.Host
	found, err := e.Memory.Get(inspectBaseline, &base)
	if err != nil {
		return err
	}
	if !found {
		old, err := c.inspect(ctx, e, c.Old)
		if err != nil {
			return err
		}
		if err := e.Memory.Put(inspectBaseline, old.ForDiff(c.Areas)); err != nil {
			return err
		}
	}
	r, err := c.run(ctx, e)
	if err != nil {
		return err
	}
	fmt.Fprint(e.Log, r.table(c))
	return r.verdict(c)
}

func (c *inspectCompare) inspect(ctx context.Context, e Env, name string) (*inspect.Host, error) {
	found, err := c.look(ctx, compareLook(e.Hosts), []string{name})
	if err != nil {
		return nil, err
	}
	h := found.Hosts[0]
	if h.Unreached != "" {
		return nil, fmt.Errorf("host %q was not looked at: %s. Nothing was changed", name, h.Unreached)
	}
	return h, nil
}

// run holds the new host against the baseline and remembers what came of it.
func (c *inspectCompare) run(ctx context.Context, e Env) (r inspectResult, err error) {
	var base inspect.Host
	if found, err := e.Memory.Get(inspectBaseline, &base); err != nil {
		return r, err
	} else if !found {
		return r, fmt.Errorf("there is no baseline of %q: run the step", c.Old)
	}
	now, err := c.inspect(ctx, e, c.New)
	if err != nil {
		return r, err
	}
	r.At = now.TakenAt
	still, err := c.still(ctx, e, &base)
	if err != nil {
		return r, err
	}
	differs := inspect.In(c.Areas, inspect.Diff(&base, now))
	for _, d := range differs {
		if still[d.Area+" "+d.Key] && d.Kind != inspect.Changed {
			r.Waiting++
			continue
		}
		if d.Kind == inspect.New || d.Kind == inspect.Unsure && d.Old == "" {
			r.Added++
			continue
		}
		if why := c.waives(d); why != "" {
			r.Waived = append(r.Waived, inspectWaived{d, why})
		} else {
			r.Lost = append(r.Lost, d)
		}
	}
	// Against a host that has nothing, everything is gone: that is how much there is.
	empty := &inspect.Host{Name: now.Name, TakenAt: now.TakenAt}
	r.Matches = len(inspect.In(c.Areas, inspect.Diff(&base, empty))) - len(r.Lost) - len(r.Waived) - r.Waiting
	return r, e.Memory.Put(inspectLatest, r)
}

// still tells what of the moving areas the old host has now.
func (c *inspectCompare) still(ctx context.Context, e Env, base *inspect.Host) (map[string]bool, error) {
	has := map[string]bool{}
	if len(c.Moving) == 0 || c.Old == c.New {
		return has, nil
	}
	found, err := c.look(ctx, compareLook(e.Hosts), []string{c.Old})
	if err != nil || found.Hosts[0].Unreached != "" {
		return has, err // a host that is gone has nothing
	}
	now := found.Hosts[0]
	for _, d := range inspect.In(c.Moving, inspect.Diff(base, &inspect.Host{})) {
		has[d.Area+" "+d.Key] = true
	}
	for _, d := range inspect.In(c.Moving, inspect.Diff(base, now)) {
		delete(has, d.Area+" "+d.Key)
	}
	return has, nil
}

// waives is the plan's reason to let a difference be; "" without one.
func (c *inspectCompare) waives(d inspect.Difference) string {
	for _, x := range c.Ignore {
		if (x.Area == "" || x.Area == d.Area) && inspectGlob(x.Key).MatchString(d.Key) {
			return x.Why
		}
	}
	return ""
}

// inspectGlob: * stands for anything, also for slashes, and ? for one character.
func inspectGlob(pattern string) *regexp.Regexp {
	return regexp.MustCompile("(?s)^" + strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern)) + "$")
}

// brief is the result in one line.
func (r inspectResult) brief(c *inspectCompare) string {
	text := fmt.Sprintf("%d things of %s are on %s too", r.Matches, c.Old, c.New)
	if n := len(r.Lost); n > 0 {
		text = fmt.Sprintf("%d things of %s are not, or not the same, on %s: %s %s", n, c.Old, c.New, r.Lost[0].Area, r.Lost[0].Key)
		if n > 1 {
			text += " …"
		}
	}
	if r.Waiting > 0 {
		text += fmt.Sprintf("; %d come with the cutover", r.Waiting)
	}
	if n := len(r.Waived); n > 0 {
		text += fmt.Sprintf("; %d may differ by the plan", n)
	}
	return text
}

// table lists what differs, the unexplained first, one line each.
func (r inspectResult) table(c *inspectCompare) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; %d only on %s\n", r.brief(c), r.Added, c.New)
	for _, d := range r.Lost {
		b.WriteString(inspectLine(d) + "\n")
	}
	for _, d := range r.Waived {
		b.WriteString(inspectLine(d.Difference) + " (let be: " + d.Why + ")\n")
	}
	return b.String()
}

func inspectLine(d inspect.Difference) string {
	line := fmt.Sprintf("%-8s %-12s %s", d.Kind, d.Area, d.Key)
	switch {
	case d.Kind == inspect.Changed:
		line += ": was " + d.Old + ", is " + d.New
	case d.Old != "":
		line += " (" + d.Old + ")"
	}
	return line
}

// verdict is nil when nothing unexplained differs.
func (r inspectResult) verdict(c *inspectCompare) error {
	if len(r.Lost) == 0 {
		return nil
	}
	lines := strings.SplitAfter(r.table(c), "\n")
	if len(lines) > compareLines {
		lines = append(lines[:compareLines], "(all of it is in the step's log)")
	}
	return &Disproof{strings.TrimRight(strings.Join(lines, ""), "\n") +
		"\nMend what is missing and try again; what may differ belongs under `ignore` with its reason, or is skipped with one now."}
}

// Verify wants the proof to be there.
func (c *inspectCompare) Verify(_ context.Context, e Env) error {
	text, ok, _, found, err := c.Proof(e)
	if err == nil && !(found && ok) {
		err = errors.New("there is no proof that nothing was forgotten: " + text)
	}
	return err
}

// Prove looks at the new host again.
func (c *inspectCompare) Prove(ctx context.Context, e Env) (string, error) {
	var before inspectResult
	if _, err := e.Memory.Get(inspectLatest, &before); err != nil {
		return "", err
	}
	r, err := c.run(ctx, e)
	if err != nil {
		return "", err
	}
	if !slices.Equal(before.Lost, r.Lost) {
		fmt.Fprint(e.Log, r.table(c))
	}
	return r.brief(c), r.verdict(c)
}

// Proof is the result that is remembered, in a line.
func (c *inspectCompare) Proof(e Env) (text string, ok bool, at time.Time, found bool, err error) {
	var r inspectResult
	if found, err = e.Memory.Get(inspectLatest, &r); err != nil || !found {
		return "", false, at, false, err
	}
	return r.brief(c), len(r.Lost) == 0, r.At, true, nil
}

// ProofFor is how old the answer may grow.
func (c *inspectCompare) ProofFor() time.Duration { return time.Duration(c.Again) }

// Undo has nothing to take back.
func (c *inspectCompare) Undo(context.Context, Env) error { return nil }
