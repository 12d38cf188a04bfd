package files

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Entry is one entry of a tree.
type Entry struct {
	Path   string // within the tree: "a/b"; the top is "."
	Type   byte   // f file, d directory, l symbolic link, p named pipe, s socket, c and b device
	Mode   uint32 // permissions, with setuid, setgid and sticky: at most 07777
	UID    uint32
	GID    uint32
	Size   int64  // of a file, in bytes
	Sec    int64  // time of the last change of what is in it
	Nano   int64  // -1: the host does not tell
	Change int64  // time of the last change of anything, in seconds
	Link   string // target of a symbolic link
	Device string // major:minor in hex, of a device
	Sum    string // SHA-256 of a file, 32 bytes; "" when it was not asked for, or not to be had
	First  string // of several hard links within the tree, the first by name; else ""

	inode string // device:inode of what has several links; else ""
}

var typeNames = map[byte]string{'f': "file", 'd': "directory", 'l': "link", 'p': "pipe", 's': "socket", 'c': "device", 'b': "block device"}

// Words is all of the entry that a comparison sees, for people: times are left
// out, and so is the mode of a link, which means nothing.
func (e Entry) Words() string {
	owner := fmt.Sprintf("%d:%d", e.UID, e.GID)
	switch e.Type {
	case 'l':
		return "link " + owner + " to " + e.Link
	case 'c', 'b':
		return fmt.Sprintf("%s %s %04o %s", typeNames[e.Type], e.Device, e.Mode, owner)
	case 'f':
		text := fmt.Sprintf("file %04o %s %d bytes", e.Mode, owner, e.Size)
		if e.Sum != "" {
			text += " sha256 " + hex.EncodeToString([]byte(e.Sum))
		}
		if e.First != "" && e.First != e.Path {
			text += " linked with " + e.First
		}
		return text
	}
	return fmt.Sprintf("%s %04o %s", typeNames[e.Type], e.Mode, owner)
}

// sameTime tells whether two entries were changed at the same moment, as far
// as both hosts tell, and archives keep, fractions of a second.
func (e Entry) sameTime(o Entry) bool {
	return e.Sec == o.Sec && (e.Nano == o.Nano || e.Nano <= 0 || o.Nano <= 0)
}

// Same tells whether a copy of e would be o: by what is in a file where both
// sums are known and content says so, else by its size and time.
func (e Entry) Same(o Entry, content bool) bool {
	if e.Type != o.Type || e.UID != o.UID || e.GID != o.GID || e.Link != o.Link || e.Device != o.Device || e.First != o.First {
		return false
	}
	if e.Type != 'l' && e.Mode != o.Mode {
		return false
	}
	if e.Type != 'f' {
		return true
	}
	if e.Size != o.Size || content && e.Sum != o.Sum {
		return false
	}
	return e.sameTime(o)
}

// kinds of file in the upper bits of st_mode.
var statTypes = map[uint64]byte{0o100000: 'f', 0o040000: 'd', 0o120000: 'l', 0o010000: 'p', 0o140000: 's', 0o020000: 'c', 0o060000: 'b'}

// parseStat reads a line of tree.sh: "81a4 0 0 12 1700000000 1700000000 1
// 2049:131 0:0 2023-11-14 22:13:20.123456789 +0000".
func parseStat(path, line string) (Entry, error) {
	bad := fmt.Errorf("%.200q: unexpected answer %.200q", path, line)
	f := strings.Fields(line)
	if len(f) < 11 {
		return Entry{}, bad
	}
	var failed error
	num := func(s string, base int) uint64 {
		n, err := strconv.ParseUint(s, base, 63)
		if err != nil {
			failed = bad
		}
		return n
	}
	sec := func(s string) int64 {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			failed = bad
		}
		return n
	}
	raw, links := num(f[0], 16), num(f[6], 10)
	e := Entry{Path: path, Type: statTypes[raw&0o170000], Mode: uint32(raw & 0o7777), UID: uint32(num(f[1], 10)), GID: uint32(num(f[2], 10)),
		Sec: sec(f[4]), Change: sec(f[5]), Nano: -1}
	if e.Type == 0 {
		failed = bad
	}
	if size := num(f[3], 10); e.Type == 'f' {
		e.Size = int64(size)
	}
	if links > 1 && e.Type != 'd' {
		e.inode = f[7]
	}
	if e.Type == 'c' || e.Type == 'b' {
		e.Device = f[8]
	}
	if _, frac, ok := strings.Cut(f[10], "."); ok && len(frac) == 9 {
		e.Nano = sec(frac)
	}
	return e, failed
}
