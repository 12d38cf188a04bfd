package plan

import (
	"slices"
	"time"

	"belay/checks"
	"belay/remote/secret"
	"belay/steps"
	"belay/steps/journal"
)

// Plan is a plan file that has no problems.
type Plan struct {
	Path   string // as it was named; for messages
	Source []byte // the file, byte for byte
	Hash   string // hex SHA-256 over source and overlays: what sign-offs are bound to

	Overlays []File // what was laid over it, in this order

	Name        string
	About       string
	Environment string // "production", "staging", …; "" when the plan does not say
	Window      *Window
	Hosts       []Host // in the order of the file
	Vars        map[string]string
	Secrets     map[string]secret.Source

	Assess    []Check
	Prepare   []Group
	Signoff   []Item
	Approvers Approvers
	Cutover   []Group
	Soak      *Soak // nil: nothing is watched
	Close     []Group
	Ways      []Way // back, in the order of the file; none: a rollback just undoes

	Rehearsal *Rehearsal     // nil: none is required
	Parts     []journal.Part // what no overlay can change: what a rehearsal rehearses
}

// File is an overlay, byte for byte: with Source, what Load needs to read the
// plan again.
type File struct {
	Path   string
	Source []byte
}

// Window is the maintenance window.
type Window struct {
	Start  time.Time
	Length time.Duration
	Margin time.Duration // kept free between the end of a rollback and the window's
}

// End is when the window is over.
func (w Window) End() time.Time { return w.Start.Add(w.Length) }

// Host is one entry under hosts. Empty fields are left to ~/.ssh/config.
type Host struct {
	Name     string
	Local    bool // this machine, without SSH
	Address  string
	User     string
	Port     int
	Jump     string
	Identity string
	Sudo     *Sudo // nil: commands run as User
	Line     int
}

// Sudo says that commands run as root there.
type Sudo struct{ Password string } // name of a secret; "" when sudo asks for none

// Group is what stands at one place of a stage: a single lane with a single
// step, or the lanes of a `together`, which run at the same time.
type Group struct {
	Title string
	Lanes []Lane
	Line  int
}

// Lane is a sequence of steps.
type Lane struct {
	Title string
	Steps []*Step
}

// Step is one step with everything that the plan says around its kind.
type Step struct {
	ID       string // slug of the title unless given; unique in the plan
	Title    string
	Why      string
	Expect   string
	Stage    journal.Stage
	Kind     steps.Kind
	Do       steps.Step    // the kind with its parameters; read-only
	On       []string      // hosts; empty for a kind without one
	Takes    time.Duration // as far as its author knows; 0: not said
	Timeout  time.Duration // of one attempt; 0: none
	Retry    Retry
	When     string             // POSIX shell condition on the step's host; "" always
	Optional bool               // a failure is recorded and the run goes on
	Undo     *Step              // the plan's own way back; nil: the kind's, if it has one
	Progress *steps.LogProgress // how far its log says that it is; nil: the kind knows
	Hints    []Hint
	Params   string // the kind's parameters as YAML, for the step card
	Line     int
}

// Retry is how often a repeatable step is tried again by itself.
type Retry struct {
	Times int
	Wait  time.Duration
}

// Hint explains a line of a failed step's log, and may bring a step that mends
// what it tells of. That step runs only when a person chooses so; the failed
// one is tried again after it, and a rollback undoes it first.
type Hint struct {
	steps.Hint
	Mend *Step // nil: none
}

// AllHints are the plan's, then the kind's own.
func (s *Step) AllHints() []Hint {
	all := slices.Clone(s.Hints)
	if h, ok := s.Do.(steps.Hinter); ok {
		for _, own := range h.Hints() {
			all = append(all, Hint{Hint: own})
		}
	}
	return all
}

// Mends are the steps that a person may choose when s has failed.
func (s *Step) Mends() []*Step {
	var all []*Step
	for _, h := range s.Hints {
		if h.Mend != nil {
			all = append(all, h.Mend)
		}
	}
	return all
}

// Check is one check of the plan, under assess or watch.
type Check struct {
	Title string // "port 8088 on chat" unless the plan says otherwise
	Kind  checks.Kind
	Do    checks.Check
	Line  int

	// Brought is what steps of the plan bring before the one that needs the
	// check, by checks.Finding.Awaits, with their titles; see Plan.Needs.
	Brought map[string]string
}

// Item is one line of the sign-off checklist.
type Item struct {
	ID      string
	Text    string
	Stage   journal.Stage // machine's: every step of that stage passed
	Step    string        // machine's: that step passed
	Finding string        // machine's: the check of that title passes
	Line    int
}

// Machine tells whether a machine fills the item in.
func (i Item) Machine() bool { return i.Stage != "" || i.Step != "" || i.Finding != "" }

// Soak is what is watched after cutover, and for how long.
type Soak struct {
	For          time.Duration
	Watch        []Probe
	RollbackWhen []Trigger
}

// Probe is a check that is repeated.
type Probe struct {
	ID string // unique among the probes
	Check
	Every time.Duration
	Old   checks.Check // the same of the old server, asked before the cutover; nil: there is no baseline
}

// Trigger is when the soak is degraded: a limit passed for so long.
type Trigger struct {
	ErrorRate  float64       // 0.05 for 5%; 0: not a limit
	Latency    time.Duration // p95; 0: not a limit
	SlowerThan float64       // times the old server's p50 or p95; 0: not a limit
	MoreErrors float64       // share above the old server's; 0: not a limit
	For        time.Duration
	Of         []string // ids of the probes that it judges; none: all
	Then       string   // Propose, Tell or Automatic
	Countdown  time.Duration
	Way        string // the way back that Automatic takes; "" where the plan has none
	Default    bool   // belay's own, where a plan has baselines and says nothing of them
}

// What a trigger does.
const (
	Propose   = "propose"   // a rollback, to a person
	Tell      = "tell"      // note it, and nothing more
	Automatic = "automatic" // roll back after a countdown that nobody stopped
)

// Where names the hosts of a step: those of its on, or else those that its
// parameters name (from, to). Empty: none.
func (s *Step) Where() []string {
	if h, ok := s.Do.(steps.Hoster); ok && len(s.On) == 0 {
		var all []string
		for _, name := range h.HostNames() {
			if name != "" && !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
		return all
	}
	return s.On
}

// HasWayBack tells whether the step can be undone.
func (s *Step) HasWayBack() bool {
	if s.Undo != nil {
		return true
	}
	if w, ok := s.Do.(steps.WayBacker); ok {
		return w.WayBack()
	}
	_, ok := s.Do.(steps.Undoer)
	return ok
}

// Groups returns the groups of a stage that has steps.
func (p *Plan) Groups(stage journal.Stage) []Group {
	switch stage {
	case journal.Prepare:
		return p.Prepare
	case journal.Cutover:
		return p.Cutover
	case journal.Close:
		return p.Close
	}
	return nil
}

// Steps returns the steps of all stages in the order of the tale.
func (p *Plan) Steps() []*Step {
	var all []*Step
	for _, stage := range journal.Stages {
		all = append(all, stepsIn(p.Groups(stage))...)
	}
	return all
}

// Step returns the step of that id, or nil; a mending one and one of a way
// back, too.
func (p *Plan) Step(id string) *Step {
	return findStep(p.AllSteps(), id)
}
