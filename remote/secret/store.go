package secret

import (
	"context"
	"fmt"
	"sync"
)

// Store resolves a plan's secrets when they are first needed, once each. What
// it resolves is known to its Redactor before anyone gets it. It is safe for
// concurrent use.
type Store struct {
	red *Redactor
	ask Prompter

	mu    sync.Mutex
	slots map[string]*slot
}

type slot struct {
	source Source
	turn   chan struct{} // holds one token; who has it may resolve
	value  Value
	known  bool
}

// NewStore makes a Store of named sources. ask may be nil when nobody can be
// asked: a prompt is then an error.
func NewStore(sources map[string]Source, red *Redactor, ask Prompter) *Store {
	s := &Store{red: red, ask: ask, slots: map[string]*slot{}}
	for name, source := range sources {
		s.slots[name] = &slot{source: source, turn: make(chan struct{}, 1)}
	}
	return s
}

// Redactor is the one that knows every secret given out so far.
func (s *Store) Redactor() *Redactor { return s.red }

// Get returns the secret name. A failure is not kept: the next Get tries
// again. Those who ask at the same time wait for one answer.
func (s *Store) Get(ctx context.Context, name string) (Value, error) {
	s.mu.Lock()
	sl := s.slots[name]
	s.mu.Unlock()
	if sl == nil {
		return Value{}, fmt.Errorf("secret %q is not declared under secrets", name)
	}
	select {
	case sl.turn <- struct{}{}:
		defer func() { <-sl.turn }()
	case <-ctx.Done():
		return Value{}, context.Cause(ctx)
	}
	if sl.known {
		return sl.value, nil
	}
	v, err := sl.source.resolve(ctx, name, s.ask)
	if err != nil {
		return Value{}, fmt.Errorf("secret %q: %w", name, err)
	}
	s.red.Add(v)
	sl.value, sl.known = v, true
	return v, nil
}
