package postgres

import (
	"encoding/binary"
	"io"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
)

const (
	mergeRoom = 256 << 10
	mergeMost = 64 << 10 // of one message that is made of several
)

// merger is what a server says, with the rows of a COPY, of which each is a
// message of its own, joined to larger messages: whoever takes them as
// messages has a hundred times fewer to take. All else passes unchanged. (Form
// of a message: one byte of type, four of length, of which the length counts
// itself; PostgreSQL manual, 55.7. CopyData is 'd', and its borders mean
// nothing there.)
type merger struct {
	r    io.Reader
	rows atomic.Int64 // messages of rows so far, as they came

	buf  []byte
	from int // what is given out next
	upTo int // its end in buf
	next int // where the message after it begins in buf
	end  int // of what was read
	pass int // bytes of the message under way that are not in buf yet
}

func newMerger(r io.Reader) *merger { return &merger{r: r, buf: make([]byte, mergeRoom)} }

// mergerKey is where a session keeps its merger.
const mergerKey = "belay merger"

// rowsOf counts the rows that a session has read so far.
func rowsOf(c *pgx.Conn) func() int64 {
	if m, ok := c.PgConn().CustomData()[mergerKey].(*merger); ok {
		return m.rows.Load
	}
	return func() int64 { return 0 }
}

// Read gives out what there is, and waits only if there is nothing.
func (m *merger) Read(p []byte) (int, error) {
	for m.from == m.upTo {
		if m.pass > 0 && m.next == m.end {
			// The rest of a large message needs no look.
			n, err := m.r.Read(p[:min(len(p), m.pass)])
			m.pass -= n
			return n, err
		}
		if !m.frame() {
			if err := m.fill(); err != nil {
				return 0, err
			}
		}
	}
	n := copy(p, m.buf[m.from:m.upTo])
	m.from += n
	return n, nil
}

// fill reads more, behind the beginning of a message that is not whole.
func (m *merger) fill() error {
	m.end = copy(m.buf, m.buf[m.next:m.end])
	m.from, m.upTo, m.next = 0, 0, 0
	n, err := m.r.Read(m.buf[m.end:])
	m.end += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// frame takes the next message, and those after it that can be joined to it.
// It returns false when more must be read before.
func (m *merger) frame() bool {
	size, data, ok := m.head(m.next)
	if !ok || m.end-m.next < size && size <= mergeMost {
		return false
	}
	m.from = m.next
	if m.end-m.next < size {
		if data {
			m.rows.Add(1)
		}
		m.upTo, m.next = m.end, m.end
		m.pass = size - (m.upTo - m.from)
		return true
	}
	m.upTo = m.from + size
	m.next = m.upTo
	if !data || size < 5 { // less is not a message at all: for others to refuse
		return true
	}
	rows := int64(1)
	for {
		more, data, ok := m.head(m.next)
		if !ok || !data || more < 5 || m.end-m.next < more || m.upTo-m.from+more > mergeMost {
			break
		}
		m.upTo += copy(m.buf[m.upTo:], m.buf[m.next+5:m.next+more])
		m.next += more
		rows++
	}
	m.rows.Add(rows)
	binary.BigEndian.PutUint32(m.buf[m.from+1:], uint32(m.upTo-m.from-1))
	return true
}

// head reads the head of a message: its whole size, and whether it is a row.
func (m *merger) head(at int) (size int, data, ok bool) {
	if m.end-at < 5 {
		return 0, false, false
	}
	return 1 + int(binary.BigEndian.Uint32(m.buf[at+1:])), m.buf[at] == 'd', true
}
