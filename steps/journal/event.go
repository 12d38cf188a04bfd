package journal

import (
	"encoding/json"
	"strings"
	"time"
)

// Event is one thing that happened. Data depends on Type.
type Event struct {
	Seq  uint64          `json:"seq"`
	Time time.Time       `json:"time"`
	Type Type            `json:"type"`
	Step string          `json:"step,omitempty"` // step id
	Host string          `json:"host,omitempty"`
	Key  string          `json:"key,omitempty"` // of a memory, question, sign-off item or probe
	Data json.RawMessage `json:"data,omitempty"`
	Err  string          `json:"err,omitempty"`
	Prev string          `json:"prev"` // checksum of the line before; empty in the first
}

// Type says what kind of event this is.
type Type string

// The events of a run. The comment names what Data holds.
const (
	RunOpened    Type = "run-opened"    // Opened
	RunResumed   Type = "run-resumed"   // Author
	StageEntered Type = "stage-entered" // Stage in Key
	StageDone    Type = "stage-done"    // Stage in Key
	Assessed     Type = "assessed"      // []Finding
	Accepted     Type = "accepted"      // a warning in Key; Answer
	Estimated    Type = "estimated"     // what the run expects its steps to take; a document of steps/estimate
	Sized        Type = "sized"         // map[string]Size: what steps would move here, by step

	StepStarted Type = "step-started" // Started
	StepPassed  Type = "step-passed"  // Passed
	StepFailed  Type = "step-failed"  // Err
	StepSkipped Type = "step-skipped" // Answer, or Err says why when the plan did
	StepUnknown Type = "step-unknown" // Err says what is known
	HostDone    Type = "host-done"    // Host of a step that runs on several
	UndoStarted Type = "undo-started"
	UndoDone    Type = "undo-done"   // Passed, where the whole step is undone
	UndoFailed  Type = "undo-failed" // Err; Debt when the host was not reached
	Remembered  Type = "remembered"  // memory Key of Step on Host; any JSON

	Asked     Type = "asked"      // Question, id in Key
	Answered  Type = "answered"   // Answer, question id in Key
	Evidence  Type = "evidence"   // ItemState of a machine's sign-off item in Key
	Signed    Type = "signed"     // Answer, for the sign-off item in Key
	Voided    Type = "voided"     // Void: signatures of the item in Key that count no more
	Located   Type = "located"    // where each host is: addresses by name
	SoakBegun Type = "soak-begun" // Soak
	Probed    Type = "probed"     // Tally of probe Key, at most one a second
	Verdict   Type = "verdict"    // Soak's verdict in Key, reason in Err
	Baselined Type = "baselined"  // Tally of probe Key on the old server, before the cutover
	Marked    Type = "marked"     // what probe Key remembers: map[string]string
	Counting  Type = "countdown"  // Countdown; how it goes in Key
	Turned    Type = "turned"     // Turn, while a verdict waits for an answer: how in Key, in words in Err

	RollbackBegun Type = "rollback-begun" // Answer; the way back in Key, where the plan has several
	Losing        Type = "losses"         // Losses: what going back would lose of Step's stores
	RunEnded      Type = "run-ended"      // Status in Key
	Noted         Type = "noted"          // a sentence in Key
)

// Stage is one of the six stages of the tale.
type Stage string

// The stages, in order.
const (
	Assess  Stage = "assess"
	Prepare Stage = "prepare"
	Signoff Stage = "sign-off"
	Cutover Stage = "cutover"
	Soak    Stage = "soak"
	Close   Stage = "close"
)

// Stages lists the stages in order.
var Stages = []Stage{Assess, Prepare, Signoff, Cutover, Soak, Close}

// GoingBack stands in a stage's place for the steps of a way back. It is not a
// stage of the tale: a run that goes back stays in the stage that it left off.
const GoingBack Stage = "rollback"

// Status is the state of a step or of a run.
type Status string

// The states of a step.
const (
	Pending      Status = "pending"
	Running      Status = "running"
	WaitingYou   Status = "waiting for you"
	PassedStatus Status = "passed"
	FailedStatus Status = "failed"
	Skipped      Status = "skipped"
	Unknown      Status = "unknown"
	Undone       Status = "undone"
	UndoFailedSt Status = "undo failed"
)

// The states of a run.
const (
	Assessing   Status = "assessing"
	Preparing   Status = "preparing"
	Held        Status = "held"
	CuttingOver Status = "cutting over"
	Soaking     Status = "soaking"
	Closing     Status = "closing"
	Closed      Status = "closed"
	RollingBack Status = "rolling back"
	RolledBack  Status = "rolled back"
	Stopped     Status = "stopped"
	NeedsYou    Status = "needs you"
	NoGo        Status = "no-go"
)

// Opened is the Data of RunOpened.
type Opened struct {
	Run         string   `json:"run"`
	Plan        string   `json:"plan"`
	PlanHash    string   `json:"plan_hash"`
	Version     string   `json:"version"` // of belay
	Environment string   `json:"environment,omitempty"`
	Dir         string   `json:"dir,omitempty"` // where it was begun
	Hosts       []string `json:"hosts"`
	By          Author   `json:"by"`

	Rehearsal []Part `json:"rehearsal,omitempty"` // the run is a rehearsal of this
}

// Part is a piece of a plan: "cutover: Stop the old chat", and a sum of how the
// plan writes it. Runs of one plan on other hosts have equal parts.
type Part struct {
	Name string `json:"name"`
	Sum  string `json:"sum"`
}

// Author is who did something: the typed name, the login it was typed under,
// and where that login came from.
type Author struct {
	Name  string `json:"name,omitempty"`
	Login string `json:"login"`
	From  string `json:"from,omitempty"` // SSH origin address; empty on the console
	Key   string `json:"key,omitempty"`  // fingerprint of the SSH key of that login, where sshd tells it
}

// Person is the login that somebody came by: "ada" of "ada as root", too.
func (a Author) Person() string {
	who, _, _ := strings.Cut(a.Login, " as ")
	return who
}

// Who names the author for people: the typed name, else the login.
func (a Author) Who() string {
	if a.Name != "" {
		return a.Name
	}
	return a.Login
}

// WhoFrom is Who, with the SSH origin where there is one.
func (a Author) WhoFrom() string {
	if a.From != "" {
		return a.Who() + " (from " + a.From + ")"
	}
	return a.Who()
}

// Finding is a verdict of the assessment, as it was recorded.
type Finding struct {
	ID     string `json:"id"` // stable over re-checks: names what was judged
	Check  string `json:"check"`
	Host   string `json:"host,omitempty"`
	Level  string `json:"level"` // unknown, pass, warn or block
	Text   string `json:"text"`
	Fix    string `json:"fix,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// Started is the Data of StepStarted.
type Started struct {
	Attempt int      `json:"attempt"`
	Changes []Change `json:"changes,omitempty"`
}

// Change is one thing that a step would change, as it was recorded.
type Change struct {
	Host string `json:"host,omitempty"`
	Text string `json:"text"`
	Cmd  string `json:"cmd,omitempty"`
	Diff string `json:"diff,omitempty"`

	Bytes int64 `json:"bytes,omitempty"` // to copy
	Rows  int64 `json:"rows,omitempty"`
}

// Passed is the Data of StepPassed.
type Passed struct {
	Already bool `json:"already,omitempty"` // nothing was pending: nothing was done

	// Took is how long it took by a clock that nobody sets, in ns; 0: not known,
	// because it was begun by an engine that is gone.
	Took time.Duration `json:"took,omitempty"`
}

// Size is how much a step moves, as far as it can tell; 0: it cannot.
type Size struct {
	Bytes int64 `json:"bytes,omitempty"`
	Rows  int64 `json:"rows,omitempty"`
}

// SizeOf adds up what the changes would move.
func SizeOf(changes []Change) (s Size) {
	for _, c := range changes {
		s.Bytes += max(0, c.Bytes)
		s.Rows += max(0, c.Rows)
	}
	return s
}

// Question is what a run asks a person. It stays open until it is answered.
type Question struct {
	ID      string   `json:"id"`
	Kind    string   `json:"kind"` // one of the Ask constants
	Step    string   `json:"step,omitempty"`
	Undo    bool     `json:"undo,omitempty"` // what a person is to do undoes the step
	Title   string   `json:"title"`
	Text    string   `json:"text,omitempty"` // what happened, what was and was not changed
	Items   []string `json:"items,omitempty"`
	Options []Option `json:"options"`
}

// The kinds of question.
const (
	AskFindings = "findings" // warnings to accept, blocks to re-check
	AskFailed   = "failed"
	AskUnknown  = "unknown"
	AskManual   = "manual"
	AskSignoff  = "sign-off"
	AskCutover  = "cutover"
	AskSoak     = "soak"
	AskClose    = "close"
	AskRollback = "rollback"  // the list before it starts
	AskLastSafe = "last-safe" // the last safe moment to turn back has passed
	AskLock     = "lock"      // hosts that another run holds, or that cannot be locked
	AskSecret   = "secret"    // asked of the screen directly; never journaled
	AskHostKey  = "host-key"
)

// Option is one possible answer.
type Option struct {
	Choice string `json:"choice"`          // retry, recheck, skip, rollback, stop, go, no-go, sign, done, accept, keep, …
	Label  string `json:"label"`           // for people: "try again"
	Needs  string `json:"needs,omitempty"` // what must come with it: "reason", "text", "name", or ""
	Type   string `json:"type,omitempty"`  // what must be typed, exactly, to choose it
	Danger bool   `json:"danger,omitempty"`
	Note   string `json:"note,omitempty"` // what choosing it means, in lines; for people
}

// Answer is what a person said.
type Answer struct {
	Question string    `json:"question"`
	Choice   string    `json:"choice"`
	Item     string    `json:"item,omitempty"` // sign-off item or finding that it is about
	Text     string    `json:"text,omitempty"` // evidence, or what had to be typed
	Reason   string    `json:"reason,omitempty"`
	Role     string    `json:"role,omitempty"` // that somebody says go for
	By       Author    `json:"by"`
	Time     time.Time `json:"time"`

	// Bound is what a signature was given upon; nil in answers that are none.
	Bound *Bound `json:"bound,omitempty"`
	// Seq is that of the event which recorded a signature; only in a State.
	Seq uint64 `json:"-"`
}

// Debt is what could not be undone yet.
type Debt struct {
	Step string    `json:"step"`
	Host string    `json:"host,omitempty"`
	Why  string    `json:"why"`
	Time time.Time `json:"time"`
}

// ItemState is one line of the sign-off checklist as it stands.
type ItemState struct {
	ID       string    `json:"id"`
	Text     string    `json:"text"`
	Machine  bool      `json:"machine"`
	OK       bool      `json:"ok"`
	Evidence string    `json:"evidence,omitempty"` // what the machine saw
	Time     time.Time `json:"time"`               // of the evidence
	Signed   []Answer  `json:"signed,omitempty"`
	Voided   []Dropped `json:"voided,omitempty"` // were signatures, and count no more
}

// GoItem is the id of the checklist's last line, which every approver signs by
// saying go. No item of a plan can have it: it is no slug.
const GoItem = "go!"
