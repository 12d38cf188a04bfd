package compare

import (
	"context"
	"errors"
	"fmt"
	"path"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Pair is an old and a new store that shall be equal.
type Pair struct {
	Name   string // as people call it: "gitlab"
	What   string // kind of store: "postgres"
	Old    Side
	New    Side
	Ignore []Ignore
	Tell   []string // tables whose rows the table of results tells: "users"; without any, the sum of all
	Err    error    // why the sides could not be opened; they are not asked then
}

// Ignore leaves objects out, with the reason that the result will show.
type Ignore struct {
	Kind string // "role"; empty: any
	Name string // a pattern as path.Match has it, "public.session*"; empty: any
	Why  string
}

func (i Ignore) matches(o Object) bool {
	if i.Kind != "" && i.Kind != o.Kind {
		return false
	}
	if i.Name == "" || i.Name == o.Name {
		return true
	}
	ok, err := path.Match(i.Name, o.Name)
	return ok && err == nil
}

// Options change how it is compared. The zero value is good.
type Options struct {
	Jobs  int       // objects with rows at a time, of all pairs together; default 4
	Named int       // differences that are named for an object; default 10
	Quick bool      // only what is small: a second look at a proof that is there
	Say   func(Far) // how far it is; nil: nobody asks. Called by one goroutine at a time
	Now   func() time.Time
}

// Far is how far a comparison has come.
type Far struct {
	Done, Total int    // objects with rows, of all pairs that are listed so far
	Text        string // "gitlab: table public.messages"
}

const (
	quickBytes = 8 << 20   // an object of more is left out of a quick look
	quickRoom  = 256 << 20 // so are objects when the smaller ones come to that much
)

// Run compares all pairs at the same time. It always returns a Result; what
// could not be compared, for ctx ended too, stands in its Errs.
func Run(ctx context.Context, pairs []Pair, o Options) Result {
	if o.Jobs < 1 {
		o.Jobs = 4
	}
	if o.Named < 1 {
		o.Named = 10
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	begun := o.Now()
	r := Result{Begun: begun.UTC(), Pairs: make([]Outcome, len(pairs))}
	far := &reckoner{say: o.Say, slots: make(chan struct{}, o.Jobs)}
	var wg sync.WaitGroup
	for i, p := range pairs {
		wg.Go(func() { r.Pairs[i] = one(ctx, p, o, far) })
	}
	wg.Wait()
	r.Took = o.Now().Sub(begun)
	return r
}

// reckoner adds up the progress of all pairs, and lets only so many objects be
// read at a time.
type reckoner struct {
	slots chan struct{}
	mu    sync.Mutex
	now   Far
	say   func(Far)
}

func (k *reckoner) add(done, total int, text string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.now.Done += done
	k.now.Total += total
	k.now.Text = text
	if k.say != nil {
		k.say(k.now)
	}
}

// one compares one pair.
func one(ctx context.Context, p Pair, o Options, far *reckoner) (out Outcome) {
	out = Outcome{Name: p.Name, What: p.What}
	far.add(0, 0, p.Name)
	if p.Err != nil {
		out.Errs = append(out.Errs, p.Err.Error())
		return out
	}
	olds, news, err := both(ctx, p, func(s Side) ([]Object, error) { return s.Objects(ctx) })
	if err != nil {
		out.Errs = append(out.Errs, err.Error())
		return out
	}
	m := match(p, olds, news, &out)
	jobs := m.rows
	if o.Quick {
		jobs = quick(jobs)
		if n := len(m.rows) - len(jobs); n > 0 {
			out.Notes = append(out.Notes, fmt.Sprintf("looked at briefly: %d large ones were left out", n))
		}
	}
	far.add(0, len(jobs), p.Name)
	found := make([]tableFound, len(jobs))
	g := new(errgroup.Group)
	g.SetLimit(o.Jobs)
	for i, job := range jobs {
		g.Go(func() error {
			far.slots <- struct{}{}
			defer func() { <-far.slots }()
			text := p.Name + ": " + job.Kind + " " + job.Name
			far.add(0, 0, text)
			found[i] = rows(ctx, p, job, o.Named)
			far.add(1, 0, text)
			return nil
		})
	}
	_ = g.Wait()
	m.into(&out, jobs, found, p.Tell)
	return out
}

// quick are the objects that a brief look takes: the smallest, up to a limit.
func quick(jobs []rowsJob) []rowsJob {
	var few []rowsJob
	var sum int64
	for i := len(jobs) - 1; i >= 0; i-- { // the largest come first
		if b := jobs[i].Bytes; b <= quickBytes && sum+b <= quickRoom {
			sum += b
			few = append(few, jobs[i])
		}
	}
	return few
}

// both asks the two sides at the same time.
func both[T any](ctx context.Context, p Pair, ask func(Side) (T, error)) (a, b T, err error) {
	return each(ctx, p, func(s Side, _ bool) (T, error) { return ask(s) })
}

// each asks the two sides at the same time, telling which one it is. The error
// says so, too.
func each[T any](ctx context.Context, p Pair, ask func(s Side, old bool) (T, error)) (a, b T, err error) {
	var errA, errB error
	var wg sync.WaitGroup
	wg.Go(func() { a, errA = guarded(func() (T, error) { return ask(p.Old, true) }) })
	wg.Go(func() { b, errB = guarded(func() (T, error) { return ask(p.New, false) }) })
	wg.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return a, b, cause
	}
	return a, b, errors.Join(sideError("old", errA), sideError("new", errB))
}

// guarded keeps one store's mistake from ending the proof of the others.
func guarded[T any](ask func() (T, error)) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("belay itself broke here (a bug worth a report): %v", p)
		}
	}()
	return ask()
}

func sideError(side string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", side, err)
}
