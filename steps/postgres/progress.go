package postgres

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// meter counts what has been copied, and tells it a few times a second.
type meter struct {
	bytes, rows atomic.Int64
	say         func(Progress)

	mu     sync.Mutex
	next   time.Time
	total  int64
	sized  map[string]*tableMeter // by ident
	tables int
	whole  int
}

type tableMeter struct {
	of      Table
	bytes   int64 // of of.Bytes
	rows    int64
	parts   int
	expects int64 // rows, as the source estimates
}

func newMeter(all []Table, say func(Progress)) *meter {
	m := &meter{say: say, sized: map[string]*tableMeter{}, tables: len(all)}
	for _, t := range all {
		m.sized[t.ident()] = &tableMeter{of: t, expects: t.Rows}
		m.total += t.Bytes
	}
	return m
}

// part returns what a pump tells of a part. At its end, done is called with the
// rows that arrived; when it failed, what passed does not count.
func (m *meter) part(p part) (pass func(bytes, rows int64), done func(rows int64), failed func()) {
	t := m.sized[p.ident()]
	var bytes, rows int64
	share := p.bytes()
	pass = func(b, r int64) {
		m.bytes.Add(b)
		m.rows.Add(r)
		m.mu.Lock()
		rows += r
		// How much of the part that is, as far as the estimates go.
		now := share
		if e := t.expects / int64(p.n); e > 0 {
			now = min(share, int64(float64(share)*float64(rows)/float64(e)))
		}
		t.bytes += now - bytes
		bytes = now
		m.mu.Unlock()
		m.tell(t.of.String())
	}
	done = func(n int64) {
		m.mu.Lock()
		t.bytes += share - bytes
		t.rows += n
		if t.parts++; t.parts == p.n {
			t.bytes = t.of.Bytes
			m.whole++
		}
		m.mu.Unlock()
		m.tell(t.of.String())
	}
	failed = func() {
		m.mu.Lock()
		t.bytes -= bytes
		m.mu.Unlock()
		m.rows.Add(-rows)
	}
	return pass, done, failed
}

func (m *meter) rowsOf(ident string) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sized[ident].rows
}

// tell says how far it is, unless it just did.
func (m *meter) tell(what string) {
	m.mu.Lock()
	now := time.Now()
	if now.Before(m.next) {
		m.mu.Unlock()
		return
	}
	m.next = now.Add(250 * time.Millisecond)
	var done int64
	for _, t := range m.sized {
		done += t.bytes
	}
	whole := m.whole
	m.mu.Unlock()
	m.say(Progress{Done: done, Total: m.total, Text: fmt.Sprintf("%s; %d of %d tables, %s rows", what, whole, m.tables, short(m.rows.Load()))})
}

// note tells of work that is not bytes.
func (m *meter) note(text string) {
	m.say(Progress{Done: m.total, Total: m.total, Text: text})
}

// short is a count for people: 1.2 M.
func short(n int64) string {
	switch {
	case n >= 1_000_000:
		return fmt.Sprintf("%.1f M", float64(n)/1e6)
	case n >= 10_000:
		return fmt.Sprintf("%d k", n/1000)
	}
	return fmt.Sprint(n)
}
