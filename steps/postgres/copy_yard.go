package postgres

import (
	"context"
	"slices"
	"sync"
)

// job is one piece of a copy that one worker does by itself.
type job struct {
	what   string // for people and for the marks
	weight int64  // the heaviest that can be done is done first
	build  bool   // work of the target alone, so that others can copy meanwhile
	after  []*job
	run    func(ctx context.Context, w *worker) error

	left int
	next []*job
}

// yard gives jobs out to workers: each once all that it comes after is done.
type yard struct {
	mu    sync.Mutex
	wake  *sync.Cond
	ready []*job
	open  int // not done yet
	err   error
}

func newYard(jobs []*job) *yard {
	y := &yard{open: len(jobs)}
	y.wake = sync.NewCond(&y.mu)
	for _, j := range jobs {
		j.left = len(j.after)
		for _, a := range j.after {
			a.next = append(a.next, j)
		}
		if j.left == 0 {
			y.ready = append(y.ready, j)
		}
	}
	return y
}

// take waits for a job; nil when there will be none. A builder builds only,
// whoever copies builds when there is nothing to copy.
func (y *yard) take(builder bool) *job {
	y.mu.Lock()
	defer y.mu.Unlock()
	for y.err == nil && y.open > 0 {
		if i := y.best(builder); i >= 0 {
			j := y.ready[i]
			y.ready = slices.Delete(y.ready, i, i+1)
			return j
		}
		y.wake.Wait()
	}
	return nil
}

// best is where the job stands that is to be done next; -1 for none.
func (y *yard) best(builder bool) int {
	best := -1
	for i, j := range y.ready {
		switch {
		case builder && !j.build:
		case best < 0, !j.build && y.ready[best].build, j.build == y.ready[best].build && j.weight > y.ready[best].weight:
			best = i
		}
	}
	return best
}

func (y *yard) done(j *job, err error) {
	y.mu.Lock()
	defer y.mu.Unlock()
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
			for j := y.take(w.builder); j != nil; j = y.take(w.builder) {
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
