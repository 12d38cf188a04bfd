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

// take waits for a job; nil when there will be none.
func (y *yard) take() *job {
	y.mu.Lock()
	defer y.mu.Unlock()
	for y.err == nil && y.open > 0 && len(y.ready) == 0 {
		y.wake.Wait()
	}
	if y.err != nil || len(y.ready) == 0 {
		return nil
	}
	best := 0
	for i, j := range y.ready {
		if j.weight > y.ready[best].weight {
			best = i
		}
	}
	j := y.ready[best]
	y.ready = slices.Delete(y.ready, best, best+1)
	return j
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
			for j := y.take(); j != nil; j = y.take() {
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
