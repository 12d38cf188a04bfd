package engine

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"belay/steps"
	"belay/steps/journal"
	"belay/steps/plan"
)

// sizeLimit is how long an assessment may look for sizes; what is not known
// then is told when the step begins.
const sizeLimit = 30 * time.Second

// sizes asks the steps of Copies, as long as they have not begun, how much they
// would move. It reads only; a step that cannot tell yet is left out.
func (e *Engine) sizes(ctx context.Context) map[string]journal.Size {
	ctx, stop := context.WithTimeoutCause(ctx, sizeLimit, fmt.Errorf("no answer within %s", sizeLimit))
	defer stop()
	found := map[string]journal.Size{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, id := range e.Copies {
		s := e.Plan.Step(id)
		if s == nil || e.Log != nil && e.Log.State().Step(id).Attempt > 0 {
			continue
		}
		wg.Go(func() {
			size, err := e.sizeOf(ctx, s)
			if err != nil || size == (journal.Size{}) {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			found[id] = size
		})
	}
	wg.Wait()
	return found
}

// sizeOf is what a step would move on all its hosts.
func (e *Engine) sizeOf(ctx context.Context, s *plan.Step) (journal.Size, error) {
	var all []journal.Change
	var mu sync.Mutex
	err := each(hostsOf(s), func(h string) error {
		env := e.env(s, h, true)
		env.Log, env.Say, env.Link = io.Discard, func(steps.Progress) {}, func(string) {}
		if e.Log == nil {
			env.Memory = steps.MapMemory{}
		}
		changes, err := s.Do.Pending(ctx, env)
		mu.Lock()
		defer mu.Unlock()
		for _, c := range changes {
			all = append(all, journal.Change{Bytes: c.Bytes, Rows: c.Rows})
		}
		return err
	})
	return journal.SizeOf(all), err
}
