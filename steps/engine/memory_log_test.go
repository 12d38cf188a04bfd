package engine

import (
	"encoding/json"
	"sync"
	"testing"
	"time"

	"belay/steps/journal"
)

// kept is a journal that is not on a disk, for tests of many runs. before looks
// at each event, with the state that it finds.
type kept struct {
	mu     sync.Mutex
	st     *journal.State
	events []journal.Event
	before func(*journal.State, journal.Event)
}

func newKept() *kept { return &kept{st: journal.NewState()} }

func (k *kept) Append(e journal.Event) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.before != nil {
		k.before(k.st, e)
	}
	e.Seq, e.Time = k.st.Seq+1, time.Now().UTC()
	k.events = append(k.events, e)
	next := k.st.Clone()
	next.Apply(e)
	k.st = next
	return nil
}

func (k *kept) State() *journal.State {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.st
}

// replayed is the state that a belay comes to that begins now, with the events
// as they would be read from a file.
func (k *kept) replayed(t *testing.T) *journal.State {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := journal.NewState()
	for _, e := range k.events {
		b, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var read journal.Event
		if err := json.Unmarshal(b, &read); err != nil {
			t.Fatal(err)
		}
		s.Apply(read)
	}
	return s
}
