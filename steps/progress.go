package steps

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"sync"

	"github.com/charmbracelet/x/ansi"
)

// LogProgress reads how far a step has come from the lines of its log.
type LogProgress struct {
	Match string `yaml:"match" scalar:"" required:"" doc:"regular expression on a line of the log; its group (or the one named done) is the number done, a second one (or the one named total) how many there are, also on a line of its own; without a group for what is done, matching lines are counted"`
	Total int64  `yaml:"total" doc:"how many there are in all, unless the log says it"`
	Unit  string `yaml:"unit" default:"steps" doc:"what is counted: a plural noun"`
}

// Validate refuses what cannot be read by.
func (p *LogProgress) Validate() error {
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

// Watch returns a log and a say to give to a step: what is written to the log
// is read for progress too. While the log tells of a way that is not at its
// end, the step's own progress is left out: one bar shows one thing. The log
// is a Rewinder if the given one is.
func (p *LogProgress) Watch(log io.Writer, say func(Progress)) (io.Writer, func(Progress)) {
	if p == nil {
		return log, say
	}
	w := &watchedLog{Writer: log}
	w.progress = newProgressWriter(p, 0, func(now Progress) {
		w.underway = now.Total == 0 || now.Done < now.Total
		say(now)
	})
	own := func(now Progress) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.underway {
			say(now)
		}
	}
	if r, ok := log.(Rewinder); ok {
		return struct {
			io.Writer
			Rewinder
		}{w, r}, own
	}
	return w, own
}

type watchedLog struct {
	io.Writer
	mu       sync.Mutex // a command's output and its errors come at the same time
	progress *progressWriter
	underway bool
}

func (w *watchedLog) Write(b []byte) (int, error) {
	w.mu.Lock()
	_, _ = w.progress.Write(b)
	w.mu.Unlock()
	return w.Writer.Write(b)
}

// progressWriter is a Writer for the output; it says nothing when p is nil.
type progressWriter struct {
	of          *LogProgress
	re          *regexp.Regexp
	done, total int // the groups; 0: there is none
	say         func(Progress)
	line        []byte
	counted     int64 // matching lines; kept over a crash by the caller
	last        Progress
}

const progressLine = 4 << 10 // of a longer line the beginning counts

func newProgressWriter(p *LogProgress, counted int64, say func(Progress)) *progressWriter {
	w := &progressWriter{of: p, say: say, counted: counted}
	if p == nil {
		return w
	}
	w.re, _ = regexp.Compile(p.Match) // Validate has seen it
	w.last = Progress{Done: counted, Total: p.Total, Unit: p.Unit}
	if w.re == nil {
		return w
	}
	w.done, w.total = w.re.SubexpIndex("done"), w.re.SubexpIndex("total")
	if w.done < 0 && w.total < 0 && !slices.ContainsFunc(w.re.SubexpNames(), func(n string) bool { return n != "" }) {
		w.done, w.total = 1, 2
	}
	within := func(i int) int {
		if i < 0 || i > w.re.NumSubexp() {
			return 0
		}
		return i
	}
	w.done, w.total = within(w.done), within(w.total)
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

// take reads one line. Colours in it are nothing that a pattern should know.
func (w *progressWriter) take() {
	line := w.line
	if bytes.IndexByte(line, 0x1b) >= 0 {
		line = []byte(ansi.Strip(string(line)))
	}
	m := w.re.FindSubmatch(line)
	if m == nil {
		return
	}
	total, told := progressNumber(m, w.total)
	if told {
		w.last.Total = total
	}
	done, moved := progressNumber(m, w.done)
	switch {
	case moved:
		w.last.Done = done
	case w.done == 0 && !told: // a line that says how many there are is none of them
		w.counted++
		w.last.Done = w.counted
	case !told:
		return
	}
	w.last.Text = string(m[0])
	w.say(w.last)
}

// progressNumber is a group's number; false when the group took no part, or is
// no number that fits.
func progressNumber(m [][]byte, group int) (int64, bool) {
	if group == 0 || m[group] == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(string(m[group]), 10, 64)
	return n, err == nil
}
