package docker

import (
	"bytes"
	"io"
)

// Marked takes the lines that begin with Mark out of a stream, and passes the
// others on.
type Marked struct {
	Mark string
	Tell func(value string) // what follows the mark
	Rest io.Writer

	part []byte
}

// Write implements io.Writer.
func (l *Marked) Write(p []byte) (int, error) {
	l.part = append(l.part, p...)
	for {
		i := bytes.IndexByte(l.part, '\n')
		if i < 0 && len(l.part) > 64<<10 {
			i = len(l.part) - 1
		}
		if i < 0 {
			return len(p), nil
		}
		l.take(l.part[:i+1])
		l.part = l.part[i+1:]
	}
}

func (l *Marked) take(line []byte) {
	if v, ok := bytes.CutPrefix(bytes.TrimRight(line, "\n"), []byte(l.Mark)); ok {
		l.Tell(string(v))
		return
	}
	_, _ = l.Rest.Write(line) // a log takes everything
}

// Flush gives on a last line that no end of line follows.
func (l *Marked) Flush() {
	if len(l.part) > 0 {
		l.take(l.part)
		l.part = nil
	}
}
