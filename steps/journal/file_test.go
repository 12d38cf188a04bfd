package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func written(t testing.TB) (path string, data []byte, events []Event) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "journal")
	j, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []Event{
		{Type: RunOpened, Data: json.RawMessage(`{"run":"r1","plan":"p","hosts":["a"]}`)},
		{Type: StageEntered, Key: "prepare"},
		{Type: StepStarted, Step: "one", Data: json.RawMessage(`{"attempt":1}`)},
		{Type: Remembered, Step: "one", Host: "a", Key: "k", Data: json.RawMessage(`{"x":"a \" b \\ \u2028"}`)},
		{Type: StepFailed, Step: "one", Err: "exit status 1: line\nbreak"},
		{Type: Asked, Step: "one", Key: "q5", Data: json.RawMessage(`{"id":"q5","kind":"failed","step":"one"}`)},
	} {
		if err := j.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	events = j.Events(0)
	j.Close()
	data, err = os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, data, events
}

func TestTornAtEveryByte(t *testing.T) {
	_, data, events := written(t)
	for cut := 0; cut <= len(data); cut++ {
		path := filepath.Join(t.TempDir(), "journal")
		if err := os.WriteFile(path, data[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := Open(path)
		if err != nil {
			t.Fatalf("cut at byte %d: %v", cut, err)
		}
		want := events[:bytes.Count(data[:cut], []byte("\n"))]
		if d := cmp.Diff(want, j.Events(0), cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("cut at byte %d: %s", cut, d)
		}
		if cut%16 != 0 { // an append is synced, and this is about reading
			j.Close()
			continue
		}
		if err := j.Append(Event{Type: Noted, Key: "after"}); err != nil {
			t.Fatal(err)
		}
		j.Close()
		again, err := Read(path)
		if err != nil || len(again) != len(want)+1 {
			t.Fatalf("cut at byte %d: after an append: %d events, %v", cut, len(again), err)
		}
	}
}

// Lines that were acknowledged may not be changed, removed, repeated or moved
// without notice: wherever it is done, Read names the line.
func TestTamper(t *testing.T) {
	path, data, _ := written(t)
	lines := bytes.SplitAfter(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
	lines[len(lines)-1] = append(bytes.Clone(lines[len(lines)-1]), '\n')
	try := func(what string, changed [][]byte) {
		t.Helper()
		if err := os.WriteFile(path, bytes.Join(changed, nil), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Read(path)
		var damage *DamageError
		if !errors.As(err, &damage) || damage.Line == 0 {
			t.Errorf("%s: not noticed: %v", what, err)
		}
	}
	for i := range lines {
		without := append(append([][]byte{}, lines[:i]...), lines[i+1:]...)
		try("a line removed", without)
		twice := append(append([][]byte{}, lines[:i+1]...), lines[i:]...)
		try("a line repeated", twice)
		for k := range lines[i] {
			if lines[i][k] == '\n' {
				continue
			}
			flipped := append([][]byte{}, lines...)
			flipped[i] = bytes.Clone(lines[i])
			flipped[i][k] ^= 1
			if flipped[i][k] == '\n' {
				continue
			}
			try("a bit flipped", flipped)
		}
		if i > 0 {
			moved := append([][]byte{}, lines...)
			moved[i], moved[i-1] = moved[i-1], moved[i]
			try("two lines changed places", moved)
		}
	}
}

func TestAppendAfterWriteErrorIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Append(Event{Type: Noted, Key: "a"}); err != nil {
		t.Fatal(err)
	}
	j.f.Close()
	if err := j.Append(Event{Type: Noted, Key: "b"}); err == nil {
		t.Fatal("append to a closed file succeeded")
	}
	if n := j.State().Seq; n != 1 {
		t.Errorf("state moved to event %d without the disk", n)
	}
	if err := j.Append(Event{Type: Noted, Key: "c"}); err == nil {
		t.Error("an append after a failed one succeeded")
	}
}

func TestFold(t *testing.T) {
	path, _, events := written(t)
	j, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	s := j.State()
	if s.Run != "r1" || s.Stage != Prepare || s.Status != NeedsYou {
		t.Errorf("run %q, stage %q, status %q", s.Run, s.Stage, s.Status)
	}
	one := s.Step("one")
	if one.Status != FailedStatus || one.Attempt != 1 || string(one.Memory["a"]["k"]) == "" {
		t.Errorf("step: %+v", one)
	}
	if err := j.Append(Event{Type: Answered, Step: "one", Key: "q5", Data: json.RawMessage(`{"question":"q5","choice":"retry"}`)}); err != nil {
		t.Fatal(err)
	}
	if s := j.State(); s.Status != Preparing || len(s.Questions) != 0 || len(s.Answers) != 1 {
		t.Errorf("after the answer: %q, %d open, %d given", s.Status, len(s.Questions), len(s.Answers))
	}
	if s.Status != NeedsYou {
		t.Error("an older snapshot changed")
	}
	refolded := NewState()
	for _, e := range append(events, j.Events(uint64(len(events)))...) {
		refolded.Apply(e)
	}
	if d := cmp.Diff(refolded, j.State(), cmpopts.IgnoreUnexported(State{}, StepState{}), cmpopts.EquateEmpty()); d != "" {
		t.Error(d)
	}
}

func FuzzOpen(f *testing.F) {
	_, data, _ := written(f)
	f.Add(data)
	f.Add(data[:len(data)-7])
	f.Add([]byte("{}\n"))
	f.Add([]byte("\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "journal")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := Open(path)
		if err != nil {
			after, _ := os.ReadFile(path)
			if !bytes.Equal(after, data) {
				t.Fatal("a refused journal was changed")
			}
			return
		}
		j.Close()
		after, _ := os.ReadFile(path)
		if !bytes.HasPrefix(data, after) {
			t.Fatal("an opened journal is not a prefix of what was there")
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	j, err := Create(filepath.Join(b.TempDir(), "journal"))
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	for b.Loop() {
		if err := j.Append(Event{Type: StepStarted, Step: "copy-the-files", Data: json.RawMessage(`{"attempt":1}`)}); err != nil {
			b.Fatal(err)
		}
	}
}

func TestTailSeesWhatIsWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	tail := NewTail(path)
	if s := tail.State(); s.Seq != 0 || tail.Err() != nil {
		t.Fatalf("a journal that does not exist: event %d, %v", s.Seq, tail.Err())
	}
	j, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	for i := uint64(1); i <= 20; i++ {
		if err := j.Append(Event{Type: StepStarted, Step: "one", Data: json.RawMessage(`{"attempt":1}`)}); err != nil {
			t.Fatal(err)
		}
		if s := tail.State(); s.Seq != i || s.Step("one").Status != Running {
			t.Fatalf("after event %d the tail is at %d, %q: %v", i, s.Seq, s.Step("one").Status, tail.Err())
		}
	}
	// Half a line is no damage; a wrong line is.
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.WriteString(`{"seq":21`)
	if s := tail.State(); s.Seq != 20 || tail.Err() != nil {
		t.Fatalf("half a line: %d, %v", s.Seq, tail.Err())
	}
	f.WriteString("}\n")
	var damage *DamageError
	if s := tail.State(); s.Seq != 20 || !errors.As(tail.Err(), &damage) || damage.Line != 21 {
		t.Fatalf("a wrong line: %d, %v", s.Seq, tail.Err())
	}
}

// BenchmarkAppendPeer is what the disk alone takes: the same bytes, written and
// synced without checksum, chain or fold.
func BenchmarkAppendPeer(b *testing.B) {
	line, _, err := encode(Event{Type: StepStarted, Step: "copy-the-files", Data: json.RawMessage(`{"attempt":1}`)})
	if err != nil {
		b.Fatal(err)
	}
	f, err := os.Create(filepath.Join(b.TempDir(), "plain"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for b.Loop() {
		if _, err := f.Write(line); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}
