package run

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"sync"
	"time"

	"belay/tui/widget"
)

// A log is two files: the text, and an index with one record a line, so that
// a screen finds any line without reading what is before it. A record is the
// offset at which the line ends and the time it was taken in, both 8 bytes,
// little endian, the time in Unix milliseconds.
const recordLen = 16

// maxLine is where a line without an end is cut. Longer ones go on in the next.
const maxLine = 64 << 10

// lineWriter takes in raw output and writes clean lines: control sequences
// stripped, tabs expanded, of `\r` progress the last state.
type lineWriter struct {
	mu   sync.Mutex
	log  *os.File
	idx  *os.File
	end  int64
	rest []byte
	now  func() time.Time
}

func openLineWriter(path string) (*lineWriter, error) {
	log, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	idx, err := os.OpenFile(indexPath(path), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		log.Close()
		return nil, err
	}
	w := &lineWriter{log: log, idx: idx, now: time.Now}
	if err := w.continueOld(); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// continueOld goes on where an earlier belay ended. What the index does not
// vouch for (text written just before a crash) is written over, and so are
// records without their text, which a power cut leaves.
func (w *lineWriter) continueOld() error {
	idx, err := w.idx.Stat()
	if err != nil {
		return err
	}
	log, err := w.log.Stat()
	if err != nil {
		return err
	}
	whole := idx.Size() / recordLen * recordLen
	for w.end = 0; whole > 0; whole -= recordLen {
		var rec [recordLen]byte
		if _, err := w.idx.ReadAt(rec[:], whole-recordLen); err != nil {
			return err
		}
		if end := int64(binary.LittleEndian.Uint64(rec[:8])); end > 0 && end <= log.Size() {
			w.end = end
			break
		}
	}
	if err := w.idx.Truncate(whole); err != nil {
		return err
	}
	if _, err := w.idx.Seek(whole, 0); err != nil {
		return err
	}
	if err := w.log.Truncate(w.end); err != nil {
		return err
	}
	_, err = w.log.Seek(w.end, 0)
	return err
}

// Write takes in any bytes. It never fails the step: a full disk shows at the
// next journal append, which stops the run.
func (w *lineWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest = append(w.rest, p...)
	var text, recs []byte
	from := 0
	for {
		n := bytes.IndexByte(w.rest[from:], '\n')
		skip := 1
		if n < 0 && len(w.rest)-from >= maxLine {
			n, skip = maxLine, 0
		}
		if n < 0 {
			break
		}
		text, recs = w.line(text, recs, w.rest[from:from+n])
		from += n + skip
	}
	w.rest = append(w.rest[:0], w.rest[from:]...)
	w.put(text, recs)
	return len(p), nil
}

func (w *lineWriter) line(text, recs, raw []byte) (_, _ []byte) {
	raw = bytes.TrimRight(raw, "\r")
	if i := bytes.LastIndexByte(raw, '\r'); i >= 0 {
		raw = raw[i+1:]
	}
	before := len(text)
	text = append(append(text, widget.Clean(string(raw))...), '\n')
	w.end += int64(len(text) - before)
	recs = binary.LittleEndian.AppendUint64(recs, uint64(w.end))
	return text, binary.LittleEndian.AppendUint64(recs, uint64(w.now().UnixMilli()))
}

// mark is how many lines there are, and whether everything taken in is among
// them.
func (w *lineWriter) mark() (lines int, whole bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at, err := w.idx.Seek(0, io.SeekCurrent)
	return int(at / recordLen), err == nil && len(w.rest) == 0
}

// rewind forgets all but the first lines.
func (w *lineWriter) rewind(lines int) (left int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at, err := w.idx.Seek(0, io.SeekCurrent)
	if left = min(lines, int(at/recordLen)); err != nil {
		return left, err
	}
	w.rest, w.end = nil, 0
	if err := w.idx.Truncate(int64(left) * recordLen); err != nil {
		return left, err
	}
	return left, w.continueOld()
}

// put writes the text before the records that vouch for it.
func (w *lineWriter) put(text, recs []byte) {
	if len(recs) == 0 {
		return
	}
	if _, err := w.log.Write(text); err == nil {
		_, _ = w.idx.Write(recs)
	}
}

// Close writes what was left without a newline.
func (w *lineWriter) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.rest) > 0 {
		text, recs := w.line(nil, nil, w.rest)
		w.put(text, recs)
		w.rest = nil
	}
	w.idx.Close()
	return w.log.Close()
}

func indexPath(log string) string { return log + ".idx" }
