package postgres

import (
	"context"
	"slices"
	"sync"
)

// job is one piece of a copy that one worker does by itself.
type job struct {
	what   string // for people and for the marks
	weight int64  // about how long it takes, as bytes that are copied
	build  bool   // work of the target alone, so that others can copy meanwhile
	after  []*job
	run    func(ctx context.Context, w *worker) error

	left int
	next []*job
	way  int64 // its weight and the heaviest way from it to the end: the longest that can be begun is begun first
}

// yard gives jobs out to workers: each once all that it comes after is done.
type yard struct {
	mu    sync.Mutex
	wake  *sync.Cond
	ready []*job
	open  int // not done yet
	busy  int // of these, begun
	err   error
}

func newYard(jobs []*job) *yard {
	y := &yard{open: len(jobs)}
	y.wake = sync.NewCond(&y.mu)
	for _, j := range jobs {
		for _, a := range j.after {
			a.next = append(a.next, j)
		}
	}
	// Whoever has nothing left to come after it is measured; no job comes
	// before one that stands behind it in jobs.
	for _, j := range slices.Backward(jobs) {
		for _, n := range j.next {
			j.way = max(j.way, n.way)
		}
		j.way += j.weight
	}
	for _, j := range jobs {
		if j.left = len(j.after); j.left == 0 {
			y.ready = append(y.ready, j)
		}
	}
	return y
}

// take waits for a job; nil when there will be none. A builder builds only,
// whoever copies builds when there is nothing to copy. alone tells that nobody
// else has one now, or could.
func (y *yard) take(builder bool) (j *job, alone bool) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for y.err == nil && y.open > 0 {
		if i := y.best(builder); i >= 0 {
			j := y.ready[i]
			y.ready = slices.Delete(y.ready, i, i+1)
			y.busy++
			return j, y.busy == 1 && len(y.ready) == 0
		}
		y.wake.Wait()
	}
	return nil, false
}

// best is where the job stands that is to be done next; -1 for none.
func (y *yard) best(builder bool) int {
	best := -1
	for i, j := range y.ready {
		switch {
		case builder && !j.build:
		case best < 0 || j.before(y.ready[best]):
			best = i
		}
	}
	return best
}

// before tells which of two comes first: what is short and has long work wait
// for it, as a small table does that a large one refers to; then the longest
// way.
func (j *job) before(o *job) bool {
	if j.build != o.build {
		return o.build
	}
	if a, b := j.way > 8*j.weight, o.way > 8*o.weight; a != b {
		return a
	}
	return j.way > o.way
}

func (y *yard) done(j *job, err error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.busy--
	if y.open--; err != nil && y.err == nil {
		y.err = err
	}
	for _, n := range j.next {
		if n.left--; n.left == 0 {
			y.ready = append(y.ready, n)
		}
	}
	y.wake.Broadcast()
}

// work does all jobs with as many workers; the first error ends it.
func work(ctx context.Context, workers []*worker, jobs []*job) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	y := newYard(jobs)
	var wg sync.WaitGroup
	for _, w := range workers {
		wg.Go(func() {
			for {
				var j *job
				if j, w.alone = y.take(w.builder); j == nil {
					return
				}
				err := w.do(ctx, j)
				if err != nil {
					cancel(err)
				}
				y.done(j, err)
			}
		})
	}
	wg.Wait()
	return y.err
}
