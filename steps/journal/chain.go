package journal

import (
	"bytes"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"
)

// Chain is a journal as far as its lines were proved, for places other than a
// file: it says how the next line must read, and folds what is there. It is
// not safe for concurrent use.
type Chain struct {
	name   string
	sum    string
	state  *State
	snap   *State
	events []Event
}

// NewChain returns the empty chain; name is what errors call the journal.
func NewChain(name string) *Chain { return &Chain{name: name, state: NewState()} }

// Add takes the next line, without its newline; *DamageError, and nothing is
// taken, when it is not what follows.
func (c *Chain) Add(line []byte) error {
	e, sum, err := follow(c.name, c.Seq()+1, c.sum, line)
	if err != nil {
		return err
	}
	c.Take(e, sum)
	return nil
}

// Next gives e its number, time and predecessor, and returns it with its line
// (without a newline) and checksum. It is part of the chain once Take is
// called, when the line has been written for good.
func (c *Chain) Next(e Event, at time.Time) (next Event, line []byte, sum string, err error) {
	e.Seq, e.Prev, e.Time = c.Seq()+1, c.sum, at.UTC()
	if !utf8.Valid(e.Data) { // a line is text, in every place
		e.Data = bytes.ToValidUTF8(e.Data, []byte("\uFFFD"))
	}
	line, sum, err = encode(e)
	return e, bytes.TrimSuffix(line, []byte("\n")), sum, err
}

// Take adds an event that Next has made.
func (c *Chain) Take(e Event, sum string) {
	c.state.Apply(e)
	c.events, c.sum = append(c.events, e), sum
}

// Seq is the number of the newest event.
func (c *Chain) Seq() uint64 { return c.state.Seq }

// Sum is the checksum of the newest line; "" of the empty chain.
func (c *Chain) Sum() string { return c.sum }

// State returns a snapshot.
func (c *Chain) State() *State {
	if c.snap == nil || c.snap.Seq != c.state.Seq {
		c.snap = c.state.Clone()
	}
	return c.snap
}

// Events returns the events after seq.
func (c *Chain) Events(seq uint64) []Event {
	if seq >= uint64(len(c.events)) {
		return nil
	}
	return slices.Clone(c.events[seq:])
}

// Reaches proves that nothing is missing from the end: event seq, the newest
// one that was acknowledged, is there and has that checksum.
func (c *Chain) Reaches(seq uint64, sum string) error {
	switch n := c.Seq(); {
	case seq > n:
		return &DamageError{c.name, int(n) + 1, fmt.Sprintf("%d events were written, %d are left", seq, n)}
	case seq > 0 && sumAt(c.events, c.sum, seq) != sum:
		return &DamageError{c.name, int(seq), "it is not the line that was written"}
	}
	return nil
}
