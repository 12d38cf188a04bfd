package files

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"time"

	"belay/remote"
)

//go:embed tree.sh
var treeScript string

// ErrAbsent is the error of Read for a directory that is not there.
var ErrAbsent = errors.New("no such directory")

// absentStatus is how tree.sh says that.
const absentStatus = 44

// Look says what of a directory is told.
type Look struct {
	Exclude []string                  // patterns: with a slash in it from the top of the tree (* takes slashes, too), else any name
	Sums    bool                      // read every file
	Loose   bool                      // the directory is in use: what vanishes or cannot be read is left out
	Say     func(entries, read int64) // now and then; read are the files that were read for their sums
}

// Tree is what is in a directory at one moment. Close frees it.
type Tree struct {
	Dir     string    // with symbolic links followed
	At      time.Time // when it was begun, by the host's clock; whole seconds
	Entries int64     // with the directory itself
	Files   int64
	Bytes   int64 // of the files
	Summed  bool

	spool spool
	first map[string]string // inode of what has several links → the first of its names
	links map[string]int    // inode → how many names in the tree
}

// Read tells what is in a directory of a host. It changes nothing there.
func Read(ctx context.Context, h remote.Host, dir string, l Look) (*Tree, error) {
	args := []string{dir, word(l.Sums, "sums"), word(l.Loose, "loose")}
	cmd := remote.Sh(treeScript, append(args, l.Exclude...)...)
	cmd.Pure = true
	t := &Tree{Summed: l.Sums, first: map[string]string{}, links: map[string]int{}}
	r, w := io.Pipe()
	cmd.Stdout = w
	parsed := make(chan error, 1)
	go func() {
		err := t.take(bufio.NewReaderSize(r, 256<<10), l)
		r.CloseWithError(errors.Join(err, io.ErrClosedPipe))
		parsed <- err
	}()
	err := h.Run(ctx, cmd)
	w.CloseWithError(io.ErrUnexpectedEOF)
	bad := <-parsed
	switch exit, ok := errors.AsType[*remote.ExitError](err); {
	case ok && exit.Status == absentStatus:
		err = ErrAbsent
	case err == nil || bad != nil && !errors.Is(bad, io.ErrUnexpectedEOF):
		err = bad
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s on %s: %w", dir, h.Name, err), t.Close())
	}
	return t, nil
}

func word(yes bool, w string) string {
	if yes {
		return w
	}
	return ""
}

// Close frees what the tree takes on the disk.
func (t *Tree) Close() error {
	if t == nil {
		return nil
	}
	return t.spool.close()
}

const (
	maxName  = 64 << 10 // longer paths no kernel takes
	maxBatch = 10 << 20 // names that one run of find's -exec takes
)

// take reads what tree.sh says.
func (t *Tree) take(in *bufio.Reader, l Look) error {
	head, err := upTo(in, 0)
	if err != nil {
		return err
	}
	f := strings.SplitN(head, " ", 3)
	if len(f) != 3 || f[0] != "belay-tree" || !path.IsAbs(f[2]) {
		return fmt.Errorf("unexpected answer %.200q", head)
	}
	sec, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil {
		return fmt.Errorf("unexpected answer %.200q", head)
	}
	t.At, t.Dir = time.Unix(sec, 0).UTC(), f[2]
	var read int64
	for {
		line, err := upTo(in, '\n')
		if err != nil {
			return err
		}
		if line == "end" {
			return nil
		}
		n, err := strconv.Atoi(line[min(1, len(line)):])
		if err != nil || n < 0 || n > maxBatch {
			return fmt.Errorf("unexpected answer %.200q", line)
		}
		if err := t.section(in, line[0], n, &read); err != nil {
			return err
		}
		if l.Say != nil {
			l.Say(t.Entries, read)
		}
	}
}

// section reads n entries of one kind of news.
func (t *Tree) section(in *bufio.Reader, kind byte, n int, read *int64) error {
	names := make([]string, n)
	for i := range names {
		name, err := upTo(in, 0)
		if err != nil {
			return err
		}
		if name != "." && !strings.HasPrefix(name, "./") || name != "." && !proper(name[2:]) {
			return fmt.Errorf("unexpected name %.200q", name)
		}
		names[i] = path.Clean(name)
	}
	end := byte('\n')
	if kind == 'L' {
		end = 0
	}
	for _, name := range names {
		what, err := upTo(in, end)
		if err != nil {
			return err
		}
		if err := t.news(kind, name, what, read); err != nil {
			return err
		}
	}
	return nil
}

// proper refuses paths that would lead elsewhere: a host may be hostile.
func proper(p string) bool {
	return p != "" && path.Clean(p) == p && !path.IsAbs(p) && p != ".." && !strings.HasPrefix(p, "../")
}

func (t *Tree) news(kind byte, name, what string, read *int64) error {
	switch kind {
	case 'S':
		if what == "-" {
			return nil
		}
		e, err := parseStat(name, what)
		if err != nil {
			return err
		}
		t.Entries++
		if e.Type == 'f' {
			t.Files++
			t.Bytes += e.Size
		}
		if e.inode != "" {
			t.links[e.inode]++
			if f, ok := t.first[e.inode]; !ok || name < f {
				t.first[e.inode] = name
			}
		}
		return t.spool.add(name, "S", what)
	case 'H':
		what = strings.TrimPrefix(what, "\\")
		if what == "-" || what == "" {
			return nil
		}
		sum, err := hex.DecodeString(what[:min(64, len(what))])
		if err != nil || len(sum) != 32 {
			return fmt.Errorf("%.200q: unexpected answer %.200q", name, what)
		}
		*read++
		return t.spool.add(name, "H", string(sum))
	case 'L':
		return t.spool.add(name, "L", what)
	}
	return fmt.Errorf("unexpected answer %q", kind)
}

// upTo reads until the byte end, which is not part of the answer.
func upTo(in *bufio.Reader, end byte) (string, error) {
	var all []byte
	for {
		part, err := in.ReadSlice(end)
		all = append(all, part...)
		if err == nil {
			return string(all[:len(all)-1]), nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return "", fmt.Errorf("the list of files broke off: %w", err)
		}
		if len(all) > maxName {
			return "", fmt.Errorf("unexpected answer %.100q", all)
		}
	}
}

// part puts one part of the tree together. What was gone by the time of its
// stat is left out.
func (t *Tree) part(i int) (map[string]Entry, error) {
	all, sums, links := map[string]Entry{}, map[string]string{}, map[string]string{}
	err := t.spool.records(i, func(f []string) error {
		switch f[1] {
		case "S":
			e, err := parseStat(f[0], f[2])
			if err != nil {
				return err
			}
			if t.links[e.inode] > 1 {
				e.First = t.first[e.inode]
			}
			all[f[0]] = e
		case "H":
			sums[f[0]] = f[2]
		case "L":
			links[f[0]] = f[2]
		}
		return nil
	})
	for p, e := range all {
		switch e.Type {
		case 'f':
			e.Sum = sums[p]
		case 'l':
			e.Link = links[p]
		default:
			continue
		}
		all[p] = e
	}
	return all, err
}

// Each gives every entry, those of a directory together and by name.
func (t *Tree) Each(each func(Entry) error) error {
	for i := range spoolParts {
		part, err := t.part(i)
		if err != nil {
			return err
		}
		for _, e := range sorted(part) {
			if err := each(e); err != nil {
				return err
			}
		}
	}
	return nil
}
