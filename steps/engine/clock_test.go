package engine

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"belay/steps/journal"
	"belay/steps/soak"
)

const soaking = twoHosts + `
cutover:
  - {step: One, on: a, put: one}
soak:
  for: 2s
  watch:
    - look: health
      every: 100ms
`

// TestClockJumpsInASoak sets the bastion's clock forward and back in the middle
// of a soak: it lasts as long as the plan says all the same, and comes to a
// verdict that was looked at.
func TestClockJumpsInASoak(t *testing.T) {
	for name, jump := range map[string]time.Duration{"forward": time.Hour, "back": -time.Hour, "back before the epoch": -60 * 365 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			newWorld()
			b := newBench(t, loadPlan(t, soaking), filepath.Join(t.TempDir(), "j"), "findings=go", "sign-off=go", "cutover=go", "close=close")
			var off atomic.Int64
			b.Now = func() time.Time { return time.Now().Add(time.Duration(off.Load())) }
			ctx, stop := context.WithTimeout(context.Background(), time.Minute)
			defer stop()
			go func() {
				for ctx.Err() == nil && len(b.log.State().Soak.Probes) == 0 {
					time.Sleep(10 * time.Millisecond)
				}
				off.Store(int64(jump)) // the first looks are told
			}()
			status, err := b.Walk(ctx)
			if err != nil || status != journal.Closed {
				t.Fatalf("%q, %v", status, err)
			}
			var begun, told time.Time
			for _, e := range b.log.Events(0) {
				switch e.Type {
				case journal.SoakBegun:
					begun = e.Time
				case journal.Verdict:
					told = e.Time
					if e.Key != soak.Healthy {
						t.Errorf("verdict %s: %s", e.Key, e.Err)
					}
				}
			}
			if lasted := told.Sub(begun); lasted < 1900*time.Millisecond {
				t.Errorf("the soak of 2 s ended after %s", lasted)
			}
		})
	}
}
