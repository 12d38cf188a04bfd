package steps

import (
	"bytes"
	"errors"
	"regexp"
	"strconv"
)

// logProgress reads how far a script has come from what it prints.
type logProgress struct {
	Match string `yaml:"match" scalar:"" required:"" doc:"regular expression on a line of output; its first group is the number done, a second one the total; without a group, matching lines are counted"`
	Total int64  `yaml:"total" doc:"how many there are in all"`
	Unit  string `yaml:"unit" default:"steps" doc:"what is counted: a plural noun"`
}

func (p *logProgress) validate() error {
	if p == nil {
		return nil
	}
	var errs []error
	if _, err := regexp.Compile(p.Match); err != nil {
		errs = append(errs, Field("progress.match", "%w", err))
	}
	if p.Total < 0 {
		errs = append(errs, Field("progress.total", "%d is less than nothing", p.Total))
	}
	return errors.Join(errs...)
}

// progressWriter is a Writer for the output; it says nothing when p is nil.
type progressWriter struct {
	of      *logProgress
	re      *regexp.Regexp
	say     func(Progress)
	line    []byte
	counted int64 // matching lines; kept over a crash by the caller
}

const progressLine = 4 << 10 // of a longer line the beginning counts

func newProgressWriter(p *logProgress, counted int64, say func(Progress)) *progressWriter {
	w := &progressWriter{of: p, say: say, counted: counted}
	if p != nil {
		w.re, _ = regexp.Compile(p.Match) // Validate has seen it
	}
	return w
}

// Write takes a carriage return for the end of a line, as progress bars mean it.
func (w *progressWriter) Write(b []byte) (int, error) {
	if w.re == nil {
		return len(b), nil
	}
	n := len(b)
	for len(b) > 0 {
		i := bytes.IndexAny(b, "\r\n")
		part := b
		if i >= 0 {
			part = b[:i]
		}
		w.line = append(w.line, part[:min(len(part), progressLine-len(w.line))]...)
		if i < 0 {
			break
		}
		w.take()
		w.line = w.line[:0]
		b = b[i+1:]
	}
	return n, nil
}

func (w *progressWriter) take() {
	m := w.re.FindSubmatch(w.line)
	if m == nil {
		return
	}
	w.counted++
	p := Progress{Done: w.counted, Total: w.of.Total, Unit: w.of.Unit, Text: string(m[0])}
	if len(m) > 1 {
		n, err := strconv.ParseInt(string(m[1]), 10, 64)
		if err != nil {
			return
		}
		p.Done = n
	}
	if len(m) > 2 {
		if n, err := strconv.ParseInt(string(m[2]), 10, 64); err == nil {
			p.Total = n
		}
	}
	w.say(p)
}
