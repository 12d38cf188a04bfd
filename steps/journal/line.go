package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// A line is the event's JSON object with its checksum as the last member:
// {"seq":1,…,"prev":"…","sum":"<hex SHA-256 of the object without sum>"}.

const sumMark = `,"sum":"`

// DamageError says which line of a journal is not as it was written. Nothing
// has been changed in it.
type DamageError struct {
	Path string // file, or database and run
	Line int    // from 1
	Why  string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%s:%d: journal damaged: %s; nothing was changed in it: restore it from a copy; `belay report` tells what stands before the damage",
		e.Path, e.Line, e.Why)
}

// encode returns the line of e, newline included, and its checksum.
func encode(e Event) (line []byte, sum string, err error) {
	body, err := json.Marshal(e)
	if err != nil {
		return nil, "", fmt.Errorf("journal event %s: %w", e.Type, err)
	}
	h := sha256.Sum256(body)
	sum = hex.EncodeToString(h[:])
	line = append(body[:len(body)-1], sumMark...)
	line = append(line, sum...)
	return append(line, '"', '}', '\n'), sum, nil
}

// Sum returns the checksum of the line that Append writes for e: what the next
// event holds as Prev.
func Sum(e Event) (string, error) {
	_, sum, err := encode(e)
	return sum, err
}

// decode reads one line without its newline and proves its checksum.
func decode(line []byte) (e Event, sum string, err error) {
	const tail = len(sumMark) + 64 + 2
	if len(line) < tail || line[0] != '{' || !bytes.HasSuffix(line, []byte(`"}`)) ||
		string(line[len(line)-tail:len(line)-tail+len(sumMark)]) != sumMark {
		return e, "", fmt.Errorf("not a journal line")
	}
	sum = string(line[len(line)-66 : len(line)-2])
	body := append(bytes.Clone(line[:len(line)-tail]), '}')
	if h := sha256.Sum256(body); hex.EncodeToString(h[:]) != sum {
		return e, "", fmt.Errorf("checksum does not match")
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return e, "", fmt.Errorf("not an event: %w", err)
	}
	return e, sum, nil
}

// follow reads the line of event seq, without its newline, and proves that it
// follows the line whose checksum is last. An error is a *DamageError.
func follow(path string, seq uint64, last string, line []byte) (e Event, sum string, err error) {
	damage := func(format string, args ...any) error {
		return &DamageError{path, int(seq), fmt.Sprintf(format, args...)}
	}
	e, sum, err = decode(line)
	switch {
	case err != nil:
		err = damage("%v", err)
	case e.Prev != last:
		err = damage("it does not follow the line before it (one was changed, removed or moved)")
	case e.Seq != seq:
		err = damage("it is event %d where event %d belongs", e.Seq, seq)
	}
	return e, sum, err
}

// scan reads a whole journal. It returns the events, the checksum of the last,
// and how many bytes they take; what follows those is a torn last line. Damage
// anywhere else is a *DamageError.
func scan(path string, data []byte) (events []Event, last string, whole int, err error) {
	for whole < len(data) {
		n := bytes.IndexByte(data[whole:], '\n')
		if n < 0 {
			return events, last, whole, nil // the append was cut: never acknowledged
		}
		line := data[whole : whole+n]
		e, sum, err := follow(path, uint64(len(events)+1), last, line)
		switch {
		case err != nil && whole+n+1 == len(data) && bytes.IndexByte(line, 0) >= 0:
			return events, last, whole, nil // blocks that never reached the disk read as zeros
		case err != nil:
			return events, last, whole, err
		}
		events, last, whole = append(events, e), sum, whole+n+1
	}
	return events, last, whole, nil
}
