package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"belay/remote"
	"belay/steps"
	"belay/steps/journal"
	"belay/steps/plan"
)

// hostsOf returns the hosts of a step; a step without one has "".
func hostsOf(s *plan.Step) []string {
	if len(s.On) == 0 {
		return []string{""}
	}
	return s.On
}

// env is what a step is given on one host. Looking hosts are read-only.
func (e *Engine) env(s *plan.Step, host string, looking bool) steps.Env {
	hosts := e.Hosts
	if looking {
		hosts = make(remote.Hosts, len(e.Hosts))
		for name, h := range e.Hosts {
			hosts[name] = remote.ReadOnly(h)
		}
	}
	out := e.Output(s.ID, host)
	return steps.Env{
		ID:     envID(e.Run, s.ID, host),
		Host:   hosts[host],
		Hosts:  hosts,
		Secret: e.Secret,
		Memory: memory{e, s.ID, host},
		Recall: e.recall,
		Log:    out,
		Say:    func(p steps.Progress) { e.Say(s.ID, host, p) },
		Link:   func(text string) { fmt.Fprintf(out, "-- link: %s\n", text) },
	}
}

// envID joins run, step and host into one short name of [A-Za-z0-9._-].
func envID(run, step, host string) string {
	clean := func(s string) string {
		return strings.Map(func(r rune) rune {
			if r < 128 && (r == '.' || r == '_' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
				return r
			}
			return '-'
		}, s)
	}
	id := clean(run) + "." + clean(step)
	if host != "" {
		id += "." + clean(host)
	}
	if whole := run + "\x00" + step + "\x00" + host; len(id) > 90 || clean(whole) == "" {
		h := sha256.Sum256([]byte(whole))
		id = id[:75] + "-" + hex.EncodeToString(h[:6])
	}
	return id
}

// memory keeps a step's values in the journal.
type memory struct {
	e          *Engine
	step, host string
}

func (m memory) Put(key string, v any) error {
	return m.e.append(journal.Event{Type: journal.Remembered, Step: m.step, Host: m.host, Key: key}, v)
}

func (m memory) Get(key string, v any) (bool, error) {
	b, ok := m.e.Log.State().Step(m.step).Memory[m.host][key]
	if !ok {
		return false, nil
	}
	return true, json.Unmarshal(b, v)
}

// recall is what all steps remember under a key.
func (e *Engine) recall(key string) (all []json.RawMessage) {
	for _, st := range e.Log.State().Steps {
		for _, of := range st.Memory {
			if b, ok := of[key]; ok {
				all = append(all, b)
			}
		}
	}
	return all
}

// each runs do for every host at the same time and joins the errors, each
// with its host's name when there are several.
func each(hosts []string, do func(host string) error) error {
	errs := make([]error, len(hosts))
	var wg sync.WaitGroup
	for i, h := range hosts {
		wg.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					errs[i] = fmt.Errorf("belay itself broke here (a bug worth a report): %v", p)
				}
			}()
			if err := do(h); err != nil {
				errs[i] = err
				if len(hosts) > 1 && h != "" {
					errs[i] = fmt.Errorf("on %s: %w", h, err)
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// cause prefers why a context ended over the bare "context canceled".
func cause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		if c := context.Cause(ctx); c != nil && !errors.Is(err, c) {
			return fmt.Errorf("%w (%v)", c, err)
		}
	}
	return err
}

// logf writes belay's own line into a step's log.
func logf(w io.Writer, format string, args ...any) { fmt.Fprintf(w, "-- "+format+"\n", args...) }
