package tui

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"belay/steps/journal"
	"belay/steps/run"
)

var (
	show      = flag.String("show", "", "run the wizard on this terminal over one of the made-up moments")
	showSlow  = flag.Bool("show.slow", false, "with -show: refresh half as often")
	showGuide = flag.Bool("show.guide", false, "with -show: explain every screen")
)

// TestShow lets somebody look:
//
//	go test -c -o /tmp/t ./tui && (cd tui && /tmp/t -test.run TestShow -show prepare)
func TestShow(t *testing.T) {
	if *show == "" {
		t.Skip("only with -show")
	}
	f := moments[*show]()
	f.dir = t.TempDir()
	f.onAnswer = func(a journal.Answer) { // held under the lock, like an engine's append
		st := *f.st
		st.Seq++
		st.Questions = nil
		f.st = &st
	}
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Millisecond):
			}
			f.mu.Lock()
			if *show == "prepare" {
				f.logs["frontend"] = append(f.logs["frontend"], run.Line{Time: time.Now(), Step: "frontend", Host: "chat", Text: fmt.Sprintf("[%d] transform src/module-%d.tsx", i, i*7919%1000)})
			}
			f.mu.Unlock()
		}
	}()
	start := time.Now()
	err := Run(context.Background(), f, Options{Slow: *showSlow, Guide: *showGuide, Author: journal.Author{Login: "vish", From: "10.0.0.7"},
		Now: func() time.Time { return noon.Add(time.Since(start)) }})
	if err != nil && !errors.Is(err, ErrDetached) {
		t.Fatal(err)
	}
	fmt.Fprintln(os.Stderr, "answers:", f.answers, "requests:", f.requests)
}
