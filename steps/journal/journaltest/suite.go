package journaltest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"belay/steps/journal"
)

// Journal is an open journal, wherever it is kept.
type Journal interface {
	Append(journal.Event) error
	State() *journal.State
	Events(seq uint64) []journal.Event
	Close() error
}

// Tail is a reader of a journal that another one writes.
type Tail interface {
	State() *journal.State
	Err() error
}

// Place is one journal in one place. All functions are about the same journal.
type Place struct {
	Create func() (Journal, error)
	Open   func() (Journal, error)
	Read   func() ([]journal.Event, error)
	Tail   func(t *testing.T) Tail
	// Lines gives what is stored, line by line without newlines; Put stores
	// other lines instead, as somebody would who tampers with it.
	Lines func(t *testing.T) []string
	Put   func(t *testing.T, lines []string)
	// CutAppend begins to append e and is killed in the middle of it: the
	// event is stored or not, and j cannot go on.
	CutAppend func(t *testing.T, j Journal, e journal.Event)
	// Locks: the place itself admits only one writer. (The file leaves that to
	// the lock of the run directory.)
	Locks bool
}

// sample is a run in a few events.
var sample = []journal.Event{
	{Type: journal.RunOpened, Data: json.RawMessage(`{"run":"r1","plan":"p","hosts":["a"]}`)},
	{Type: journal.StageEntered, Key: "prepare"},
	{Type: journal.StepStarted, Step: "one", Data: json.RawMessage(`{"attempt":1}`)},
	{Type: journal.Remembered, Step: "one", Host: "a", Key: "k", Data: json.RawMessage(`{"x":"a \" b \\ \u2028 \u0000 ✓ 🚀"}`)},
	{Type: journal.StepFailed, Step: "one", Err: "exit status 1: line\nbreak\x00\x1b[31m"},
	{Type: journal.Asked, Step: "one", Key: "q5", Data: json.RawMessage(`{"id":"q5","kind":"failed","step":"one"}`)},
}

// Run runs the suite; place makes a new, empty place for each part.
func Run(t *testing.T, place func(t *testing.T) Place) {
	for _, part := range []struct {
		name string
		test func(*testing.T, Place)
	}{
		{"Append", testAppend}, {"Fold", testFold}, {"CreateTwice", testCreateTwice}, {"Tail", testTail},
		{"Tamper", testTamper}, {"TamperUnderTail", testTamperUnderTail},
		{"CutAppend", testCutAppend}, {"Concurrent", testConcurrent}, {"Closed", testClosed},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, place(t)) })
	}
	if place(t).Locks {
		t.Run("TwoWriters", func(t *testing.T) { testTwoWriters(t, place(t)) })
	}
}

func written(t *testing.T, p Place) Journal {
	t.Helper()
	j, err := p.Create()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	for _, e := range sample {
		if err := j.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	return j
}

func closeOf(t *testing.T, j Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// What is appended is read back as it was, by every road, and the stored lines
// are those that journal.Sum vouches for.
func testAppend(t *testing.T, p Place) {
	j := written(t, p)
	own := j.Events(0)
	closeOf(t, j)
	read, err := p.Read()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(own, read, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("read: %s", d)
	}
	lines, prev := p.Lines(t), ""
	for i, e := range read {
		sum, err := journal.Sum(e)
		if err != nil || e.Prev != prev || e.Seq != uint64(i+1) || !strings.HasSuffix(lines[i], `,"sum":"`+sum+`"}`) {
			t.Errorf("event %d: %+v (%v)\n%s", i+1, e, err, lines[i])
		}
		prev = sum
	}
	again, err := p.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if d := cmp.Diff(own, again.Events(0), cmpopts.EquateEmpty()); d != "" {
		t.Errorf("opened again: %s", d)
	}
	if got := again.Events(4); len(got) != len(sample)-4 || got[0].Seq != 5 {
		t.Errorf("events after 4: %+v", got)
	}
	if err := again.Append(journal.Event{Type: journal.Noted, Key: "on"}); err != nil {
		t.Fatal(err)
	}
	if read, err = p.Read(); err != nil || len(read) != len(sample)+1 {
		t.Errorf("after one more: %d events, %v", len(read), err)
	}
}

func testFold(t *testing.T, p Place) {
	j := written(t, p)
	before := j.State()
	if before.Run != "r1" || before.Status != journal.NeedsYou || before.Step("one").Attempt != 1 {
		t.Errorf("run %q, status %q, step %+v", before.Run, before.Status, before.Step("one"))
	}
	if err := j.Append(journal.Event{Type: journal.Answered, Step: "one", Key: "q5", Data: json.RawMessage(`{"question":"q5","choice":"retry"}`)}); err != nil {
		t.Fatal(err)
	}
	if s := j.State(); s.Status != journal.Preparing || len(s.Questions) != 0 {
		t.Errorf("after the answer: %q, %d questions", s.Status, len(s.Questions))
	}
	if before.Status != journal.NeedsYou {
		t.Error("an older snapshot changed")
	}
}

func testCreateTwice(t *testing.T, p Place) {
	closeOf(t, written(t, p))
	if j, err := p.Create(); err == nil {
		j.Close()
		t.Fatal("a journal was created over another")
	}
	if read, err := p.Read(); err != nil || len(read) != len(sample) {
		t.Errorf("%d events, %v", len(read), err)
	}
}

// await waits until ok; a tail may be told, or look by itself.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 600 {
		if ok() {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatalf("%s: not in 15 s", what)
}

func testTail(t *testing.T, p Place) {
	j := written(t, p)
	tail := p.Tail(t)
	if s := tail.State(); s.Seq != uint64(len(sample)) {
		t.Fatalf("the tail begins at event %d: %v", s.Seq, tail.Err())
	}
	for range 5 {
		if err := j.Append(journal.Event{Type: journal.Noted, Key: "n"}); err != nil {
			t.Fatal(err)
		}
		want := j.State()
		await(t, fmt.Sprintf("event %d", want.Seq), func() bool { return tail.State().Seq == want.Seq })
		if d := cmp.Diff(want.Notes, tail.State().Notes); d != "" || tail.Err() != nil {
			t.Fatal(d, tail.Err())
		}
	}
}

// tampered are all the ways to change what was acknowledged.
func tampered(lines []string) map[string][]string {
	all := map[string][]string{}
	for i := range lines {
		all[fmt.Sprintf("line %d removed", i+1)] = slices.Delete(slices.Clone(lines), i, i+1)
		edited := slices.Clone(lines)
		edited[i] = strings.Replace(edited[i], `"type":"`, `"type":"x`, 1)
		all[fmt.Sprintf("line %d edited", i+1)] = edited
		if i > 0 {
			moved := slices.Clone(lines)
			moved[i], moved[i-1] = moved[i-1], moved[i]
			all[fmt.Sprintf("lines %d and %d exchanged", i, i+1)] = moved
		}
	}
	return all
}

func testTamper(t *testing.T, p Place) {
	closeOf(t, written(t, p))
	lines := p.Lines(t)
	for what, changed := range tampered(lines) {
		p.Put(t, changed)
		var damage *journal.DamageError
		if _, err := p.Read(); !errors.As(err, &damage) || damage.Line == 0 {
			t.Errorf("%s: read: %v", what, err)
		}
		if j, err := p.Open(); !errors.As(err, &damage) {
			t.Errorf("%s: open: %v", what, err)
			if err == nil {
				j.Close()
			}
		}
	}
	p.Put(t, lines)
	if read, err := p.Read(); err != nil || len(read) != len(lines) {
		t.Errorf("put back as it was: %d events, %v", len(read), err)
	}
}

// A tail stops before a line that is not what follows, and says so.
func testTamperUnderTail(t *testing.T, p Place) {
	j := written(t, p)
	tail := p.Tail(t)
	lines := p.Lines(t)
	closeOf(t, j)
	p.Put(t, append(lines, strings.Replace(lines[len(lines)-1], "failed", "passed", 1)))
	await(t, "damage", func() bool { tail.State(); return tail.Err() != nil })
	var damage *journal.DamageError
	if !errors.As(tail.Err(), &damage) || damage.Line != len(lines)+1 || tail.State().Seq != uint64(len(lines)) {
		t.Errorf("event %d, %v", tail.State().Seq, tail.Err())
	}
}

// An append that is cut leaves the journal with the event or without it, and
// the next writer goes on from there.
func testCutAppend(t *testing.T, p Place) {
	j := written(t, p)
	p.CutAppend(t, j, journal.Event{Type: journal.Noted, Key: "cut"})
	again, err := p.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	n := len(again.Events(0))
	if n != len(sample) && n != len(sample)+1 {
		t.Fatalf("%d events after a cut append to %d", n, len(sample))
	}
	if err := again.Append(journal.Event{Type: journal.Noted, Key: "after"}); err != nil {
		t.Fatal(err)
	}
	if read, err := p.Read(); err != nil || len(read) != n+1 {
		t.Errorf("%d events, %v", len(read), err)
	}
}

func testConcurrent(t *testing.T, p Place) {
	j := written(t, p)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 5 {
				if err := j.Append(journal.Event{Type: journal.Noted, Key: fmt.Sprintf("%d.%d", w, i)}); err != nil {
					t.Error(err)
				}
				j.State()
			}
		})
	}
	wg.Wait()
	if read, err := p.Read(); err != nil || len(read) != len(sample)+20 {
		t.Errorf("%d events, %v", len(read), err)
	}
}

func testClosed(t *testing.T, p Place) {
	j := written(t, p)
	closeOf(t, j)
	if err := j.Append(journal.Event{Type: journal.Noted, Key: "late"}); err == nil {
		t.Error("an append to a closed journal succeeded")
	}
	if read, err := p.Read(); err != nil || len(read) != len(sample) {
		t.Errorf("%d events, %v", len(read), err)
	}
}

// The second writer is refused and told who the first is; when the first has
// gone, the second goes on.
func testTwoWriters(t *testing.T, p Place) {
	j := written(t, p)
	var locked *journal.LockedError
	if _, err := p.Open(); !errors.As(err, &locked) || locked.By.Login != "ada" || locked.PID == 0 {
		t.Fatalf("a second writer: %v", err)
	}
	if err := j.Append(journal.Event{Type: journal.Noted, Key: "still mine"}); err != nil {
		t.Fatal(err)
	}
	closeOf(t, j)
	again, err := p.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if n := len(again.Events(0)); n != len(sample)+1 {
		t.Errorf("%d events", n)
	}
}
