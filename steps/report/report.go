package report

import (
	"time"

	"belay/steps/compare"
	"belay/steps/journal"
)

// Format is the number of the JSON's shape. Fields may be added under the same
// number; it grows when one changes its meaning or goes.
const Format = 1

// Options is what the events alone do not say.
type Options struct {
	// Verified says that the hash chain of the journal file was checked, from
	// its first line to its last, and holds.
	Verified bool
	// Damage says what is wrong with the journal file; "" when nothing is.
	Damage string
	// Log is the end of a step's log, which the page shows where a step failed;
	// nil when the logs are not at hand.
	Log func(step string) string
	// Expected is what earlier runs tell of how long things take; nil when
	// nobody asked them.
	Expected *Expected
}

// Report is all that is known about a run.
type Report struct {
	Format      int            `json:"format"`
	Outcome     Outcome        `json:"outcome"`
	Run         string         `json:"run"`
	Plan        Plan           `json:"plan"`
	Environment string         `json:"environment,omitempty"`
	Rehearsal   bool           `json:"rehearsal,omitempty"`
	Version     string         `json:"belay_version"`
	Hosts       []string       `json:"hosts"`
	By          journal.Author `json:"by"`   // who opened the run
	Span        Span           `json:"span"` // first event to last
	Sessions    []Session      `json:"sessions"`
	Stages      []Stage        `json:"stages"` // in the order of the tale; those that were entered
	Steps       []Step         `json:"steps"`  // in the order of the plan
	Assessment  *Assessment    `json:"assessment,omitempty"`
	Signoff     *Signoff       `json:"signoff,omitempty"`
	Questions   []Question     `json:"questions"`            // as they were asked
	Soak        []Watch        `json:"soak"`                 // one after the other
	Baseline    []Probe        `json:"baseline,omitempty"`   // the old server before the cutover, in the order of the plan
	Countdowns  []Countdown    `json:"countdowns,omitempty"` // to a rollback by itself
	Rollback    *Rollback      `json:"rollback,omitempty"`
	// Frozen is how long nobody was served, at most: from the first step of the
	// cutover to its end, or to that of the rollback.
	Frozen *Span `json:"frozen,omitempty"`
	// Losing is what going back would lose, as last counted; empty where the run
	// went back, which tells it in Rollback.
	Losing      []Lost    `json:"losing,omitempty"`
	BackPlanned *Estimate `json:"rollback_expected,omitempty"`
	Debts       []Debt    `json:"debts"`
	Notes       []Note    `json:"notes"`
	Record      Record    `json:"record"`
}

// Outcome is how the run stands after its last event.
type Outcome struct {
	Status journal.Status `json:"status"`
	Text   string         `json:"text"`  // a sentence or two
	Ended  bool           `json:"ended"` // false: it goes on, or broke off
}

// Plan names what was followed.
type Plan struct {
	Name  string `json:"name"`
	About string `json:"about,omitempty"`
	Hash  string `json:"hash"`                 // hex SHA-256 of the plan and its overlays, as the run was opened with
	Other string `json:"other_hash,omitempty"` // of the plan this report was made with, when it is not the same
	// Window is the maintenance window that the plan asked for.
	Window *Span `json:"window,omitempty"`
}

// Span is a stretch of time. Seconds counts only time that went forward, so it
// is never negative; where the clock went back meanwhile it is an estimate.
// Without an End it is 0.
type Span struct {
	Begin     time.Time `json:"begin,omitzero"`
	End       time.Time `json:"end,omitzero"` // zero: no end is recorded
	Seconds   float64   `json:"seconds"`
	ClockBack float64   `json:"clock_went_back_seconds,omitempty"`
}

// Session is one belay at work on the run: the first opens it, others resume.
type Session struct {
	Time    time.Time      `json:"time,omitzero"`
	By      journal.Author `json:"by"`
	Resumed bool           `json:"resumed,omitempty"`
}

// Stage is when a stage was gone through. A rollback, or the end of the run,
// ends a stage that is not done. The rollback is not a stage.
type Stage struct {
	Stage   journal.Stage `json:"stage"`
	Span    Span          `json:"span"`
	Done    bool          `json:"done"`
	Worked  float64       `json:"worked_seconds,omitempty"` // some step was at work: without questions and waiting
	Planned *Estimate     `json:"expected,omitempty"`
}

// Step is what became of one step.
type Step struct {
	ID       string         `json:"id"`
	Title    string         `json:"title"`
	Why      string         `json:"why,omitempty"`
	Kind     string         `json:"kind,omitempty"`
	Stage    journal.Stage  `json:"stage"`
	Optional bool           `json:"optional,omitempty"`
	On       []string       `json:"on,omitempty"`
	Status   journal.Status `json:"status"`
	Already  bool           `json:"already,omitempty"` // it was found done: nothing was changed
	Span     Span           `json:"span"`              // first start to last end, questions between included
	Attempts []Attempt      `json:"attempts"`
	Hosts    []HostResult   `json:"hosts,omitempty"` // of a step on several
	Skipped  *Skip          `json:"skipped,omitempty"`
	Undos    []Undo         `json:"undos,omitempty"`
	Compared *Compared      `json:"compared,omitempty"` // of a step that compares
	Planned  *Estimate      `json:"expected,omitempty"`
}

// Compared is the latest result of a step that puts old and new side by side.
type Compared struct {
	Times int `json:"times"` // how often it was compared
	compare.Result
}

// Attempt is one try of a step.
type Attempt struct {
	Number  int              `json:"number"` // from 1; 0 for a mere look, which changes nothing
	Span    Span             `json:"span"`
	Outcome journal.Status   `json:"outcome"` // running: no end is recorded
	Err     string           `json:"err,omitempty"`
	Broken  []Note           `json:"broken,omitempty"` // when and why its outcome was unknown for a while
	Changes []journal.Change `json:"changes,omitempty"`
}

// HostResult is one host's share of a step.
type HostResult struct {
	Host   string         `json:"host"`
	Status journal.Status `json:"status"`
	Time   time.Time      `json:"time,omitzero"`
}

// Skip is why a step was not done, or not done again.
type Skip struct {
	Time   time.Time       `json:"time,omitzero"`
	By     *journal.Author `json:"by,omitempty"` // nil: the plan's condition did not hold
	Reason string          `json:"reason"`
	Err    string          `json:"err,omitempty"` // the failure that was passed over
}

// Undo is one try to undo a step.
type Undo struct {
	Span    Span           `json:"span"`
	Outcome journal.Status `json:"outcome"` // undone, undo failed, or running: no end is recorded
	Errs    []HostErr      `json:"errs,omitempty"`
	Hosts   []HostResult   `json:"hosts,omitempty"`
}

// HostErr is what went wrong, and where; Host is empty when it is not known.
type HostErr struct {
	Host string `json:"host,omitempty"`
	Err  string `json:"err"`
}

// Assessment is the last look at the hosts.
type Assessment struct {
	Time     time.Time `json:"time,omitzero"`
	Times    int       `json:"times"` // how often was looked
	Findings []Finding `json:"findings"`
}

// Finding is one verdict, and who accepted it.
type Finding struct {
	journal.Finding
	Accepted *Saying `json:"accepted,omitempty"`
}

// Saying is what a person said: the typed name, the login it was typed under,
// where that login came from, and when.
type Saying struct {
	Choice string         `json:"choice"`
	Item   string         `json:"item,omitempty"`
	Text   string         `json:"text,omitempty"` // evidence, or what had to be typed
	Reason string         `json:"reason,omitempty"`
	By     journal.Author `json:"by"`
	Time   time.Time      `json:"time,omitzero"`
	Label  string         `json:"label,omitempty"` // the choice, as the question worded it
	Role   string         `json:"role,omitempty"`  // that a go was said for
	Bound  string         `json:"bound,omitempty"` // what a signature was given upon, in words
}

// Voided is a signature that counted for a while, and why it does no more.
type Voided struct {
	Saying
	Item string    `json:"of"` // the item's text; "go" for a go
	Why  string    `json:"why"`
	At   time.Time `json:"at"`
}

// Signoff is the checklist as it stood in the end.
type Signoff struct {
	Items     []Item   `json:"items"`
	Go        []Saying `json:"go"`                    // everybody who said go
	Approvers int      `json:"approvers"`             // how many different people it takes; 0: the plan is not known
	Decided   string   `json:"decided"`               // go, no-go or "" while it is open
	Missing   []string `json:"missing,omitempty"`     // whose go is missing
	Voided    []Voided `json:"voided,omitempty"`      // oldest first
	Alone     []Saying `json:"break_glass,omitempty"` // who cut over without the second person that the plan wants
}

// Item is one line of the checklist.
type Item struct {
	ID       string    `json:"id"`
	Text     string    `json:"text"`
	Machine  bool      `json:"machine"`
	OK       bool      `json:"ok"`
	Evidence string    `json:"evidence,omitempty"`
	Time     time.Time `json:"time,omitzero"` // of the evidence or the last signature
	// Age in seconds of that at the decision, or at the last event while there is none.
	Age    float64  `json:"age_seconds"`
	Signed []Saying `json:"signed,omitempty"`
}

// Question is what was asked, and what was said to it. Several things may be
// said to a question before one of them closes it.
type Question struct {
	ID      string   `json:"id"`
	Kind    string   `json:"kind"`
	Step    string   `json:"step,omitempty"`
	Title   string   `json:"title"`
	Text    string   `json:"text,omitempty"`
	Items   []string `json:"items,omitempty"`
	Span    Span     `json:"span"` // asked to closed
	Answers []Saying `json:"answers"`
	Open    bool     `json:"open,omitempty"` // nobody has closed it
}

// Watch is one stretch of soak. An extension and a resume begin a new one,
// because counting begins anew.
type Watch struct {
	Span    Span      `json:"span"` // to the verdict
	Until   time.Time `json:"until,omitzero"`
	Resumed bool      `json:"resumed,omitempty"`
	Probes  []Probe   `json:"probes"`
	Verdict string    `json:"verdict,omitempty"` // healthy, degraded, inconclusive; "": none yet
	Why     string    `json:"why,omitempty"`
	Turns   []Turn    `json:"turns,omitempty"` // while somebody was asked what to make of it
}

// Turn is how a watch went on while a person was asked.
type Turn struct {
	Time time.Time     `json:"time"`
	How  string        `json:"how"` // recovered, worse, …; answered: what it came to
	Why  string        `json:"why,omitempty"`
	Bad  time.Duration `json:"bad"` // ns for which a limit was passed in all
}

// Probe is what one probe saw.
type Probe struct {
	ID string `json:"id"`
	journal.Tally
}

// Countdown is one to a rollback by itself, and how it ended.
type Countdown struct {
	Span   Span           `json:"span"`
	Length time.Duration  `json:"length"`
	Why    string         `json:"why"`
	Ended  string         `json:"ended,omitempty"` // stopped, ran out, recovered, interrupted; "": it runs
	By     journal.Author `json:"by,omitzero"`     // who stopped it
	Choice string         `json:"choice,omitempty"`

	question string
}

// Rollback is the way back.
type Rollback struct {
	By     journal.Author `json:"by"`
	Reason string         `json:"reason"`
	Span   Span           `json:"span"`             // to the end of the run
	Way    *Way           `json:"way,omitempty"`    // which was chosen; nil where the plan has only one
	Losses []Lost         `json:"losses,omitempty"` // what was known to be lost when it began
	List   []string       `json:"list"`             // what was to be undone, last first, as it was agreed to
	Steps  []Undone       `json:"steps"`
}

// Lost is what going back was known to lose of the stores that a step filled.
type Lost struct {
	Step  string `json:"step"`
	Title string `json:"title"`
	journal.Losses
}

// Way is the way back that was chosen of several, and what it did around the
// undo; the steps' whole story stands among the steps.
type Way struct {
	Name   string    `json:"name"`
	About  string    `json:"about,omitempty"`
	Loses  string    `json:"loses,omitempty"`
	Before []WayStep `json:"before"`
	After  []WayStep `json:"after"`
}

// WayStep is what became of one step of a way back.
type WayStep struct {
	Step   string         `json:"step"`
	Title  string         `json:"title"`
	Status journal.Status `json:"status"`
	Span   Span           `json:"span"`
	Reason string         `json:"reason,omitempty"` // why it was skipped
}

// Undone is what the rollback made of a step, in the order of undoing.
type Undone struct {
	Step    string         `json:"step"`
	Title   string         `json:"title"`
	Status  journal.Status `json:"status"` // as now: undone, undo failed, running
	Tries   int            `json:"tries"`
	Span    Span           `json:"span"`           // first try to last, what lies between included
	Worked  float64        `json:"worked_seconds"` // the tries alone
	Errs    []HostErr      `json:"errs,omitempty"` // of the last try
	Planned *Estimate      `json:"expected,omitempty"`
}

// Debt is what could not be undone at first.
type Debt struct {
	Step    string    `json:"step"`
	Title   string    `json:"title"`
	Host    string    `json:"host,omitempty"`
	Why     string    `json:"why"`
	Time    time.Time `json:"time,omitzero"`
	Settled time.Time `json:"settled,omitzero"` // zero: it is still owed
}

// Note is a sentence for the record.
type Note struct {
	Time time.Time `json:"time,omitzero"`
	Text string    `json:"text"`
}

// Record is about the journal itself.
type Record struct {
	Events    int         `json:"events"`
	Verified  bool        `json:"verified"`
	Damage    string      `json:"damage,omitempty"`
	First     string      `json:"first_checksum,omitempty"` // hex SHA-256 of the first line
	Last      string      `json:"last_checksum,omitempty"`
	ClockBack []ClockJump `json:"clock_went_back,omitempty"`
}

// ClockJump is an event that is dated before the one it follows.
type ClockJump struct {
	Seq     uint64    `json:"seq"` // of the later event
	Time    time.Time `json:"time,omitzero"`
	Seconds float64   `json:"seconds"` // how far back; positive
}
