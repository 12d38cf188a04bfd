package remote

import (
	"errors"
	"strings"
	"testing"
)

func TestTailDropsALineThatWasCut(t *testing.T) {
	s := Cmd{}.Sinks(func(error) {})
	s.Stderr.Write([]byte(strings.Repeat("long ", 1000) + "\nnext\nlast\n"))
	if got := s.Tail(); got != "next\nlast\n" {
		t.Errorf("tail %.40q", got)
	}
}

func TestSinksTellTheFirstFailureOnce(t *testing.T) {
	told := []error{}
	broken := errors.New("pipe closed")
	w := &brokenWriter{err: broken}
	s := Cmd{Stdout: w, Stderr: w}.Sinks(func(err error) { told = append(told, err) })
	for range 3 {
		if n, err := s.Stdout.Write([]byte("abc")); n != 3 || err != nil {
			t.Errorf("write: %d, %v", n, err)
		}
		s.Stderr.Write([]byte("abc"))
	}
	if len(told) != 1 || told[0] != broken {
		t.Errorf("told %v", told)
	}
}

type brokenWriter struct{ err error }

func (b *brokenWriter) Write([]byte) (int, error) { return 0, b.err }
