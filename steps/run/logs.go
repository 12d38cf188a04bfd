package run

import (
	"path/filepath"
	"strings"
	"sync"

	"belay/steps/plan"
)

// logs opens the logs of a run directory for reading.
type logs struct {
	dir    string
	on     map[string][]string // step → hosts
	mu     *sync.Mutex
	merged map[string]*mergedLog
}

func newLogs(dir string, p *plan.Plan) logs {
	l := logs{filepath.Join(dir, "logs"), map[string][]string{}, &sync.Mutex{}, map[string]*mergedLog{}}
	for _, s := range p.AllSteps() {
		l.on[s.ID] = s.On
	}
	return l
}

// Log opens the log of a step on a host; see Session.
func (l logs) Log(step, host string) Log {
	on, known := l.on[step]
	if step != "" && (host != "" || known && len(on) <= 1) {
		if host == "" && len(on) == 1 {
			host = on[0]
		}
		return fileLog{filepath.Join(l.dir, logName(step, host)), step, host}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.merged[step]
	if m == nil {
		m = &mergedLog{find: func() []fileLog { return findLogs(l.dir, step) }}
		l.merged[step] = m
	}
	return m
}

// LogEnd is the last n lines of a step's log in the run directory dir, those
// of all its hosts in the order of time; "" when there is none.
func LogEnd(dir, step string, n int) string {
	l := &mergedLog{find: func() []fileLog { return findLogs(filepath.Join(dir, "logs"), step) }}
	var b strings.Builder
	for _, line := range l.Lines(max(0, l.Len()-n), n) {
		if line.Host != "" {
			b.WriteString(line.Host + "  ")
		}
		b.WriteString(line.Text + "\n")
	}
	return b.String()
}
