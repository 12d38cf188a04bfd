package job

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// State of a job, as doc.go lists them.
type State string

// The states.
const (
	None     State = "none"
	Ready    State = "ready"
	Running  State = "running"
	Done     State = "done"
	Rebooted State = "rebooted"
	Orphaned State = "orphaned"
	Lost     State = "lost"
)

// Report is how a job stands.
type Report struct {
	State     State
	Began     bool  // its command began, as far as is known; false when cancelled before
	Status    int   // exit status 0–255, once Done and Began; 128+n when signal n ended it
	Size      int64 // bytes in its log; 0 once reaped
	Cancelled bool  // somebody asked it to end
	Reaped    bool  // only the outcome is left
}

// frames is the near end of the protocol: a Writer for the far side's stdout.
// It trusts nothing: lines are short, lengths bounded, offsets as expected.
type frames struct {
	data io.Writer // payload, as it comes
	off  int64     // the next byte of the log wanted
	seen func(off int64)

	line  []byte
	hello bool  // the greeting was seen; before it may stand whatever a login prints
	noise int   // bytes before the greeting
	left  int64 // of the payload
	err   error // what the far side or the data writer said; final

	report   *Report
	attached bool  // the job had been started before this call
	started  bool  // the job has been started, by whomever
	shrunk   int64 // new size of a log that lost bytes; -1: it did not
}

// conflict and refusals travel as "X why".
type sayError string

func (e sayError) Error() string { return string(e) }

// sinkError is an error of the caller's own log, not of the link.
type sinkError struct{ error }

func (e sinkError) Unwrap() error { return e.error }

func (f *frames) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && f.err == nil {
		if f.left > 0 {
			p = f.payload(p)
			continue
		}
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			f.line = append(f.line, p...)
			p = nil
		} else {
			f.line = append(f.line, p[:i]...)
			p = p[i+1:]
		}
		if len(f.line) > 4096 {
			f.err = fmt.Errorf("a line of more than 4096 bytes")
		} else if i >= 0 {
			line := string(f.line)
			f.line = f.line[:0]
			f.take(line)
		}
	}
	return n, f.err
}

func (f *frames) payload(p []byte) []byte {
	k := min(f.left, int64(len(p)))
	if _, err := f.data.Write(p[:k]); err != nil {
		f.err = sinkError{err}
		return nil
	}
	f.left -= k
	f.off += k
	f.seen(f.off)
	return p[k:]
}

func (f *frames) take(line string) {
	if !f.hello {
		f.hello = strings.HasSuffix(line, "belay-job 1")
		if f.noise += len(line) + 1; f.noise > 64<<10 {
			f.err = errors.New("64 KiB of something else before the answer")
		}
		return
	}
	w := strings.Fields(line)
	bad := true
	switch {
	case line == "A":
		f.attached, f.started, bad = true, true, false
	case len(w) == 2 && w[0] == "H":
		_, ok := number(w[1])
		f.started, bad = true, !ok
	case len(w) == 3 && w[0] == "D":
		off, ok1 := number(w[1])
		n, ok2 := number(w[2])
		bad = !ok1 || !ok2 || off != f.off || n == 0 || n > 1<<20
		f.started, f.left = true, n
	case len(w) == 2 && w[0] == "T":
		n, ok := number(w[1])
		f.shrunk, bad = n, !ok || n >= f.off
	case len(w) >= 4 && w[0] == "S":
		f.report = parseReport(w[1:])
		bad = f.report == nil
	case len(w) >= 2 && w[0] == "X":
		f.err, bad = sayError(strings.TrimPrefix(line, "X ")), false
	}
	if bad {
		f.left, f.err = 0, fmt.Errorf("not understood: %.60q", line)
	}
}

// parseReport reads "state status size [flags]"; nil when it is none.
func parseReport(w []string) *Report {
	r := &Report{State: State(w[0])}
	switch r.State {
	case None, Ready, Rebooted, Orphaned, Lost, Running:
		r.Began = r.State != None && r.State != Ready
	case Done:
		n, ok := number(w[1])
		r.Began = w[1] != "none"
		if r.Began && (!ok || n > 255) {
			return nil
		}
		r.Status = int(n)
	default:
		return nil
	}
	var ok bool
	if r.Size, ok = number(w[2]); !ok {
		return nil
	}
	for _, flag := range w[3:] {
		r.Cancelled = r.Cancelled || flag == "cancelled"
		r.Reaped = r.Reaped || flag == "reaped"
	}
	return r
}

func number(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n >= 0
}
