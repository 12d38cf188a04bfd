package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/jackc/pgx/v5"
)

// pump carries what out gives on one connection to in on another, without a
// stop between. meter is told of bytes and rows as they pass. It returns how
// many rows left and arrived; when they differ, that is an error.
func pump(ctx context.Context, from, to *pgx.Conn, out, in string, meter func(bytes, rows int64)) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p := newCopyPipe(meter, rowsOf(from))
	var sent int64
	var outErr error
	var wg sync.WaitGroup
	wg.Go(func() {
		tag, err := from.PgConn().CopyTo(ctx, p, out)
		sent, outErr = tag.RowsAffected(), err
		p.end(err)
	})
	tag, inErr := to.PgConn().CopyFrom(ctx, p, in)
	if inErr != nil {
		p.stop(inErr)
		if to.PgConn().IsClosed() { // from is CopyTo's own while that runs
			cancel(inErr)
		}
	}
	wg.Wait()
	switch {
	// An error of the source reaches the target as the reason why it is told to
	// give up, and one of the target stops the source: the first one counts.
	case outErr != nil && !errors.Is(outErr, errStopped):
		return 0, fmt.Errorf("read: %w", outErr)
	case inErr != nil:
		return 0, fmt.Errorf("write: %w", inErr)
	case sent != tag.RowsAffected():
		return 0, fmt.Errorf("%d rows were read and %d written", sent, tag.RowsAffected())
	}
	return sent, nil
}

var errStopped = errors.New("the other side has stopped")

const (
	copyChunk = 64<<10 - 5 // what pgx sends in one message
	copyAhead = 64         // chunks that one side may be ahead of the other
)

// copyPipe joins what the source writes to larger pieces: a pipe that wakes the
// other side for every row is several times slower.
type copyPipe struct {
	meter   func(bytes, rows int64)
	count   func() int64 // of rows that the source has written, ever
	full    chan []byte
	free    chan []byte
	stopped chan struct{}
	once    sync.Once
	cur     []byte
	rows    int64 // of count, as they were told last
	err     error // of the writer; set before full is closed

	rest, chunk []byte // of the reader
}

func newCopyPipe(meter func(bytes, rows int64), count func() int64) *copyPipe {
	return &copyPipe{
		meter: meter, count: count, rows: count(), full: make(chan []byte, copyAhead), free: make(chan []byte, copyAhead+2),
		stopped: make(chan struct{}), cur: make([]byte, 0, copyChunk),
	}
}

// Write takes a part of the stream.
func (p *copyPipe) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		room := min(copyChunk-len(p.cur), len(b))
		p.cur = append(p.cur, b[:room]...)
		b = b[room:]
		if len(p.cur) == copyChunk {
			if err := p.flush(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

func (p *copyPipe) flush() error {
	rows := p.count()
	p.meter(int64(len(p.cur)), rows-p.rows)
	p.rows = rows
	select {
	case p.full <- p.cur:
	case <-p.stopped:
		return errStopped
	}
	select {
	case p.cur = <-p.free:
	default:
		p.cur = make([]byte, 0, copyChunk)
	}
	return nil
}

// end is the writer's last word: err, or a clean end.
func (p *copyPipe) end(err error) {
	if err == nil {
		err = p.flush()
	}
	p.err = err
	close(p.full)
}

// stop is the reader's: nothing more is taken.
func (p *copyPipe) stop(error) { p.once.Do(func() { close(p.stopped) }) }

func (p *copyPipe) Read(b []byte) (int, error) {
	for len(p.rest) == 0 {
		if p.chunk != nil {
			select {
			case p.free <- p.chunk[:0]:
			default:
			}
			p.chunk = nil
		}
		chunk, more := <-p.full
		if !more {
			if p.err != nil {
				return 0, p.err
			}
			return 0, io.EOF
		}
		p.chunk, p.rest = chunk, chunk
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}
