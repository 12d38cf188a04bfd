package checks

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"belay/remote"
)

// gatherLimit is how long a host may take from having the script to its end.
// What has come by then is used; the rest is in Missing. Making the connection
// is not counted, because a person may be asked about a host key.
const gatherLimit = 20 * time.Second

// maxGather is how much output is taken from a host in all.
const maxGather = 16 << 20

// Gather reads all facts of a host in one round trip, by a script that changes
// nothing and goes in by stdin. An error means that there are no facts: the
// host was not reached or lost (*remote.UnreachableError, *remote.LostError),
// ctx ended, or what answered was no POSIX shell. A single reading that fails
// is a line in Missing instead.
func Gather(ctx context.Context, h remote.Host) (*Facts, error) {
	g := gathering{facts: factList, path: "$PATH:" + systemPath, limit: gatherLimit}
	return g.run(ctx, h)
}

// GatherAll gathers from all hosts at once. Each host is in exactly one of the
// two maps.
func GatherAll(ctx context.Context, hosts remote.Hosts) (map[string]*Facts, map[string]error) {
	var mu sync.Mutex
	var all sync.WaitGroup
	facts, errs := map[string]*Facts{}, map[string]error{}
	for name, h := range hosts {
		all.Go(func() {
			f, err := Gather(ctx, h)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs[name] = err
				return
			}
			f.Host = name
			facts[name] = f
		})
	}
	all.Wait()
	return facts, errs
}

type gathering struct {
	facts []fact
	path  string
	limit time.Duration
}

var errSlow = errors.New("the host took too long")

func (g gathering) run(ctx context.Context, h remote.Host) (*Facts, error) {
	if h.Runner == nil {
		return nil, &remote.UnreachableError{Host: h.Name, Err: errors.New("there is no connection to it")}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	mark := rand.Text()
	in := &timedReader{text: buildScript(g.facts, mark, g.path), sent: func() {
		time.AfterFunc(g.limit, func() { cancel(errSlow) })
	}}
	out := &timedWriter{until: []byte("\n" + mark + " -" + clockFact + "\n")}
	err := h.Run(ctx, remote.Cmd{Argv: []string{"sh", "-s"}, Stdin: in, Stdout: out, Pure: true})
	exit, ended := errors.AsType[*remote.ExitError](err)
	if err != nil && !ended && !errors.Is(err, errSlow) {
		return nil, err
	}
	text, asked, answered := out.content(), in.when(), out.when()
	if answered.IsZero() {
		switch {
		case errors.Is(err, errSlow):
			return nil, fmt.Errorf("host %q: no answer within %s", h.Name, g.limit)
		case ended:
			return nil, fmt.Errorf("host %q: its shell did not run the script: %s", h.Name, OneLine(exit.Error(), 200))
		}
		return nil, fmt.Errorf("host %q: no POSIX shell answered but this: %q", h.Name, OneLine(string(text), 100))
	}
	half := answered.Sub(asked) / 2
	f := &Facts{Host: h.Name, TakenAt: asked.Add(half), SkewErr: half}
	readSections(g.facts, mark, text, f)
	f.link()
	return f, nil
}

// readSections gives every fact's section to its parser.
func readSections(facts []fact, mark string, text []byte, f *Facts) {
	for _, fact := range facts {
		section, whole, found := findSection(text, mark, fact.name)
		if !found || !whole {
			f.Missing = append(f.Missing, fact.name+": the host did not finish this reading in time")
		} else if fact.limit > 0 && len(section) >= fact.limit {
			f.Missing = append(f.Missing, fmt.Sprintf("%s: there is more than the %s that are read", fact.name, remote.FormatBytes(int64(fact.limit))))
		}
		section = f.takeMissing(fact.name, clean(section))
		if err := fact.parse(section, f); err != nil {
			f.Missing = append(f.Missing, fact.name+": "+OneLine(err.Error(), 200))
		}
	}
}

func findSection(text []byte, mark, name string) (section []byte, whole, found bool) {
	_, rest, found := bytes.Cut(text, []byte("\n"+mark+" +"+name+"\n"))
	if !found {
		return nil, false, false
	}
	section, _, whole = bytes.Cut(rest, []byte("\n"+mark+" -"+name+"\n"))
	if !whole {
		// Cut short: the next section's border must not be read as content.
		section, _, _ = bytes.Cut(section, []byte("\n"+mark+" "))
	}
	return section, whole, true
}

// takeMissing moves the lines that miss and note wrote to f.Missing, a few.
func (f *Facts) takeMissing(name string, section []byte) []byte {
	if !bytes.Contains(section, []byte("!")) {
		return section
	}
	var rest []byte
	n := 0
	for line := range bytes.Lines(section) {
		part, why, ok := strings.Cut(string(line), ": ")
		if !ok || !strings.HasPrefix(part, "!") || len(part) > 20 {
			rest = append(rest, line...)
			continue
		}
		if n++; n > 10 {
			continue
		}
		if part = part[1:]; part != "" {
			part = " (" + part + ")"
		}
		f.Missing = append(f.Missing, name+part+": "+OneLine(why, 200))
	}
	return rest
}

// timedReader is the script on its way. Whatever the far side's clock says was
// read after the last byte was asked for.
type timedReader struct {
	mu   sync.Mutex
	text string
	last time.Time
	sent func()
}

func (r *timedReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.text == "" {
		return 0, io.EOF
	}
	n := copy(p, r.text)
	r.text = r.text[n:]
	r.last = time.Now()
	if r.text == "" {
		r.sent()
	}
	return n, nil
}

func (r *timedReader) when() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// timedWriter keeps the output and knows when the first answer was there.
type timedWriter struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	until []byte
	came  time.Time
}

func (w *timedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.buf.Len()+len(p) > maxGather {
		return 0, fmt.Errorf("the host sent more than %s", remote.FormatBytes(maxGather))
	}
	from := max(0, w.buf.Len()-len(w.until))
	w.buf.Write(p)
	if w.came.IsZero() && bytes.Contains(w.buf.Bytes()[from:], w.until) {
		w.came = time.Now()
	}
	return len(p), nil
}

func (w *timedWriter) when() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.came
}

func (w *timedWriter) content() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Clone(w.buf.Bytes())
}
