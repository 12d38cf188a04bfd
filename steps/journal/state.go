package journal

import (
	"encoding/json"
	"time"
)

// State is what a run has come to: the fold of its events. A State given out
// by a run is a snapshot; treat it as read-only.
type State struct {
	Opened
	Seq     uint64
	Begun   time.Time
	Last    time.Time // of the newest event
	Stage   Stage
	Status  Status
	Reached map[Stage]time.Time // when each stage was entered
	Done    map[Stage]time.Time // when each stage was finished

	Findings   []Finding
	AssessedAt time.Time
	Accepted   map[string]Answer // by finding id
	Estimates  json.RawMessage   // how long steps will take, as the run began with; see steps/estimate. nil: not recorded
	Sizes      map[string]Size   // by step: what it would move here, as the assessment saw

	Steps map[string]*StepState // by step id; a step not named here is pending

	Questions []Question            // open ones, oldest first
	Answers   []Answer              // all given, in order
	Items     map[string]*ItemState // sign-off checklist, by item id
	Places    map[string]string     // where each host is, by name, as last recorded
	Prepared  []Author              // who began the run, took it up or answered it, until prepare was done

	// PastSafe is when somebody last decided, with a reason where one was due, to
	// go on with the cutover: every last safe moment up to then is answered.
	PastSafe time.Time

	Soak      SoakState
	Losses    map[string]Losses // by step: what going back would lose of its stores, as last counted
	Rollback  *Answer           // who asked for it and why; nil while going forward
	Turning   *Answer           // who decided to go back, which has not begun, nor been taken back; nil: nobody
	Way       string            // the way back that was chosen; "" where the plan has only one
	Debts     []Debt
	Notes     []Note
	PastClose bool // the point of no return is behind us

	base  Status // what the stage alone says
	ended Status // how the engine ended; "" while it goes on

	waiting []string // steps that a question is open about
	ranOut  string   // the question of the countdown that did, last
}

// StepState is what became of one step.
type StepState struct {
	ID      string
	Stage   Stage
	Status  Status
	Undoing bool
	Attempt int
	Failed  bool // the last attempt did, also where it was undone since
	Started time.Time
	Ended   time.Time
	Err     string
	Reason  *Answer // why a person skipped it
	Already bool    // it was found done
	Changes []Change
	Size    Size                                  // the most that an attempt set out to move
	Took    time.Duration                         // of the attempt that passed; 0: only the times of the events tell
	Hosts   map[string]Status                     // of a step that runs on several
	Memory  map[string]map[string]json.RawMessage // host → key → value

	UndoStarted time.Time
	UndoEnded   time.Time
	UndoTook    time.Duration // as Took

	shown Status // without the waiting for a person
}

// SoakPlan is the Data of SoakBegun.
type SoakPlan struct {
	Until time.Time `json:"until"`
}

// Note is a sentence for the record.
type Note struct {
	Time time.Time
	Text string
}

// Step returns the state of a step, a pending one when nothing is recorded.
func (s *State) Step(id string) StepState {
	if st := s.Steps[id]; st != nil {
		return *st
	}
	return StepState{ID: id, Status: Pending}
}

// HasEnded tells whether the engine recorded an end, be it one that a resume
// goes on from.
func (s *State) HasEnded() bool { return s.ended != "" }

// Over tells whether the run has come to an end that nothing resumes.
func (s *State) Over() bool {
	return s.Status == Closed || s.Status == RolledBack && len(s.Debts) == 0
}
