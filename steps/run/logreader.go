package run

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// fileLog reads the log of one step on one host while it grows.
type fileLog struct {
	path       string
	step, host string
}

func (l fileLog) Len() int {
	st, err := os.Stat(indexPath(l.path))
	if err != nil {
		return 0
	}
	return int(st.Size() / recordLen)
}

// maxRead bounds what one call of Lines reads.
const maxRead = 64 << 20

// Lines reads one stretch of the index and one of the text.
func (l fileLog) Lines(from, n int) []Line {
	ends, times := l.records(from, n)
	if len(ends) == 0 {
		return nil
	}
	begin := int64(0)
	if from > 0 {
		before, _ := l.records(from-1, 1)
		if len(before) == 0 {
			return nil
		}
		begin = before[0]
	}
	f, err := os.Open(l.path)
	if err != nil {
		return nil
	}
	defer f.Close()
	for i, end := range ends { // no record may lead astray, whatever a power cut made of the index
		if end <= begin || i > 0 && end <= ends[i-1] || end-begin > maxRead {
			ends = ends[:i]
			break
		}
	}
	if len(ends) == 0 {
		return nil
	}
	text := make([]byte, ends[len(ends)-1]-begin)
	if _, err := f.ReadAt(text, begin); err != nil {
		return nil
	}
	lines := make([]Line, len(ends))
	at := begin
	for i, end := range ends {
		lines[i] = Line{times[i], l.step, l.host, strings.TrimSuffix(string(text[at-begin:end-begin]), "\n")}
		at = end
	}
	return lines
}

func (l fileLog) records(from, n int) (ends []int64, times []time.Time) {
	f, err := os.Open(indexPath(l.path))
	if err != nil || from < 0 || n <= 0 {
		return nil, nil
	}
	defer f.Close()
	buf := make([]byte, n*recordLen)
	got, _ := f.ReadAt(buf, int64(from)*recordLen)
	for i := 0; i+recordLen <= got; i += recordLen {
		ends = append(ends, int64(binary.LittleEndian.Uint64(buf[i:])))
		times = append(times, time.UnixMilli(int64(binary.LittleEndian.Uint64(buf[i+8:]))))
	}
	return ends, times
}

// mergedLog shows several logs as one, by time. It keeps 8 bytes a line.
type mergedLog struct {
	mu    sync.Mutex
	find  func() []fileLog // the logs there are; a later call may find more
	logs  []fileLog
	seen  []int // lines taken of each log
	order []place
}

type place struct{ log, line uint32 }

// Len takes in what has come since the last call. Lines already shown keep
// their places: a late one goes behind them.
func (m *mergedLog) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.find() {
		if !slices.Contains(m.logs, l) {
			m.logs, m.seen = append(m.logs, l), append(m.seen, 0)
		}
	}
	type fresh struct {
		at time.Time
		place
	}
	var news []fresh
	for i, l := range m.logs {
		n := l.Len()
		_, times := l.records(m.seen[i], n-m.seen[i])
		for k, t := range times {
			news = append(news, fresh{t, place{uint32(i), uint32(m.seen[i] + k)}})
		}
		m.seen[i] += len(times)
	}
	slices.SortStableFunc(news, func(a, b fresh) int { return a.at.Compare(b.at) })
	for _, f := range news {
		m.order = append(m.order, f.place)
	}
	return len(m.order)
}

func (m *mergedLog) Lines(from, n int) []Line {
	m.mu.Lock()
	defer m.mu.Unlock()
	if from < 0 || from >= len(m.order) {
		return nil
	}
	want := m.order[from:min(len(m.order), from+n)]
	lines := make([]Line, 0, len(want))
	for i := 0; i < len(want); {
		k := i + 1 // a stretch of neighbours in one log is read at once
		for k < len(want) && want[k].log == want[i].log && want[k].line == want[k-1].line+1 {
			k++
		}
		lines = append(lines, m.logs[want[i].log].Lines(int(want[i].line), k-i)...)
		i = k
	}
	return lines
}

// logName is the file of a step's log on a host. Neither may hold an "@" or a
// slash: step ids and host names are checked when the plan is read.
func logName(step, host string) string {
	if host == "" {
		return step + ".log"
	}
	return step + "@" + host + ".log"
}

// findLogs lists the logs of a step; of all steps when step is "".
func findLogs(dir, step string) []fileLog {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var logs []fileLog
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".log")
		if !ok {
			continue
		}
		s, h, _ := strings.Cut(name, "@")
		if step == "" || s == step {
			logs = append(logs, fileLog{filepath.Join(dir, e.Name()), s, h})
		}
	}
	return logs
}
