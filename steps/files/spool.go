package files

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"os"
	"path"
	"slices"
)

// spoolParts is in how many parts a tree is kept; one at a time is in memory.
const spoolParts = 64

// spool keeps records on the disk, in parts by directory, so that neighbours
// stay together.
type spool struct {
	file *os.File // unlinked; nil until there is much
	size int64
	part [spoolParts]spoolPart
}

type spoolPart struct {
	fresh []byte
	at    []span
}

type span struct{ from, size int64 }

// spoolChunk is how much of a part waits in memory.
const spoolChunk = 32 << 10

func partOf(p string) int {
	h := fnv.New32a()
	h.Write([]byte(path.Dir(p)))
	return int(h.Sum32() % spoolParts)
}

// add keeps one record: its strings, each with its length.
func (s *spool) add(name string, fields ...string) error {
	p := &s.part[partOf(name)]
	p.fresh = binary.AppendUvarint(p.fresh, uint64(len(fields)+1))
	for _, f := range append([]string{name}, fields...) {
		p.fresh = binary.AppendUvarint(p.fresh, uint64(len(f)))
		p.fresh = append(p.fresh, f...)
	}
	if len(p.fresh) < spoolChunk {
		return nil
	}
	if s.file == nil {
		f, err := os.CreateTemp("", "belay-tree-")
		if err != nil {
			return err
		}
		s.file = f
		if err := os.Remove(f.Name()); err != nil {
			return err
		}
	}
	if _, err := s.file.WriteAt(p.fresh, s.size); err != nil {
		return fmt.Errorf("keep what a host tells of its files: %w", err)
	}
	p.at = append(p.at, span{s.size, int64(len(p.fresh))})
	s.size += int64(len(p.fresh))
	p.fresh = p.fresh[:0]
	return nil
}

var errSpool = errors.New("a part of the list of files cannot be read back")

// records gives the records of a part in the order in which they were added.
func (s *spool) records(part int, each func(fields []string) error) error {
	p := &s.part[part]
	for i := range len(p.at) + 1 {
		chunk := p.fresh
		if i < len(p.at) {
			chunk = make([]byte, p.at[i].size)
			if _, err := s.file.ReadAt(chunk, p.at[i].from); err != nil {
				return fmt.Errorf("%w: %w", errSpool, err)
			}
		}
		for len(chunk) > 0 {
			var fields []string
			n, used := binary.Uvarint(chunk)
			chunk = chunk[max(used, 0):]
			for range n {
				size, used := binary.Uvarint(chunk)
				if used <= 0 || uint64(len(chunk)-used) < size {
					return errSpool
				}
				fields = append(fields, string(chunk[used:used+int(size)]))
				chunk = chunk[used+int(size):]
			}
			if len(fields) == 0 {
				return errSpool
			}
			if err := each(fields); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *spool) close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

// sorted are the entries of a part by path.
func sorted(part map[string]Entry) []Entry {
	all := make([]Entry, 0, len(part))
	for _, p := range slices.Sorted(maps.Keys(part)) {
		all = append(all, part[p])
	}
	return all
}
