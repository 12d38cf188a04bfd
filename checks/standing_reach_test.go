package checks

import (
	"errors"
	"strings"
	"testing"

	"belay/remote"
)

type changedKey struct{ what, advice string }

func (e *changedKey) Error() string  { return e.what + ". " + e.advice }
func (e *changedKey) What() string   { return e.what }
func (e *changedKey) Advice() string { return e.advice }

// TestReachKeepsAdvice: however long the story of a changed host key is, what
// to do about it stands where it cannot be cut off.
func TestReachKeepsAdvice(t *testing.T) {
	key := &changedKey{"the key has changed: " + strings.Repeat("x", 280), "Ask who runs it"}
	w := World{Hosts: remote.Hosts{"db": {Name: "db"}}, Unreached: map[string]error{"db": &remote.UnreachableError{Err: key}}}
	f := judgeReach(w, "db").tidy()
	if f.Level != Block || f.Fix != "Ask who runs it, then re-check" || !strings.Contains(f.Text, "has changed") {
		t.Errorf("%+v", f)
	}
	w.Unreached["db"] = &remote.UnreachableError{Err: errors.New("connection refused")}
	if f := judgeReach(w, "db"); !strings.Contains(f.Fix, "ssh db true") {
		t.Errorf("%+v", f)
	}
}
