package steps

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"io"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"belay/remote"
)

//go:embed files_archive_list.sh
var fileArchiveListScript string

// fileTarList reads the listing of an archive as it streams by, and judges
// whether the archive may be unpacked.
type fileTarList struct {
	sum, beside string // SHA-256 of the archive, and what the file beside it says
	count       int64
	bytes       int64
	top         bool // the archive holds "./" itself

	keepLinks bool
	links     map[string]string // symbolic links: name → target
	under     map[string]string // directory that entries lie in → one of them
	mu        sync.Mutex
	bad       []string
	ended     bool
	part      []byte
}

// fileTarLine is a line of tar -tv, by GNU tar or busybox.
var fileTarLine = regexp.MustCompile(`^([-a-zA-Z])[-rwxsStTlL]{9}\S* +\S+ +(\d+)(?:,\s*\d+)? +\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)? (.*)$`)

// read lists an archive on the host.
func (l *fileTarList) read(ctx context.Context, e Env, archive, packer string, keepLinks bool) error {
	l.keepLinks, l.links, l.under = keepLinks, map[string]string{}, map[string]string{}
	c := remote.Sh(fileArchiveListScript, archive, packer)
	c.Pure, c.Stdout, c.Stderr = true, l, &fileTarMeter{log: fileTarComplaints{l, e.Log}, say: e.Say}
	if err := e.Host.Run(ctx, c); err != nil {
		return fmt.Errorf("%s: %w", archive, err)
	}
	if !l.ended || l.sum == "" {
		return fmt.Errorf("%s: its listing is not complete", archive)
	}
	return nil
}

// Write takes the listing line by line, so that its size does not matter.
func (l *fileTarList) Write(p []byte) (int, error) {
	l.part = append(l.part, p...)
	for {
		i := bytes.IndexByte(l.part, '\n')
		if i < 0 {
			if len(l.part) > 1<<20 {
				return 0, fmt.Errorf("a name in the archive is longer than 1 MiB")
			}
			return len(p), nil
		}
		l.line(string(l.part[:i]))
		l.part = l.part[i+1:]
	}
}

func (l *fileTarList) line(s string) {
	switch {
	case l.sum == "":
		f := strings.Fields(s)
		if len(f) == 3 && f[0] == "sum" {
			l.sum, l.beside = f[1], f[2]
		}
		return
	case s == "end":
		l.ended = true
		return
	}
	l.count++
	m := fileTarLine.FindStringSubmatch(s)
	if m == nil {
		l.refuse("a line that is not understood: %.200q", s)
		return
	}
	size, _ := strconv.ParseInt(m[2], 10, 64)
	name, target := m[3], ""
	switch m[1] {
	case "-", "d", "C", "S": // C and S: GNU's contiguous and sparse files
		if m[1] == "-" && strings.Contains(name, " -> ") { // busybox shows a hard link so
			name, target, _ = strings.Cut(name, " -> ")
			l.inside(target, "the hard link %q leads to %q", name, target)
		}
		l.bytes += size
	case "h":
		name, target, _ = strings.Cut(name, " link to ")
		l.inside(target, "the hard link %q leads to %q", name, target)
	case "l":
		l.link(name)
		return
	case "p", "V", "M":
	default:
		l.refuse("%q is a device", name)
	}
	l.entry(name)
}

// entry takes a name in, and its directory.
func (l *fileTarList) entry(name string) {
	if !l.inside(name, "%q leads out of the directory", name) {
		return
	}
	clean := path.Clean(name)
	if clean == "." {
		l.top = true
		return
	}
	for d := path.Dir(clean); d != "."; d = path.Dir(d) {
		if _, known := l.under[d]; known {
			break
		}
		l.under[d] = name
	}
}

// link takes "name -> target" in. Where the arrow stands several times, every
// reading must be harmless.
func (l *fileTarList) link(s string) {
	parts := strings.Split(s, " -> ")
	for i := 1; i < len(parts); i++ {
		name, target := strings.Join(parts[:i], " -> "), strings.Join(parts[i:], " -> ")
		l.links[path.Clean(name)] = target
		l.entry(name)
		if l.keepLinks {
			continue
		}
		if path.IsAbs(target) || fileClimbs(path.Join(path.Dir(name), target)) {
			l.refuse("the symbolic link %q leads to %q, out of the directory (links: keep allows that)", name, target)
		}
	}
}

func fileClimbs(p string) bool {
	p = path.Clean(p)
	return p == ".." || strings.HasPrefix(p, "../")
}

// inside refuses a name that is absolute or climbs out.
func (l *fileTarList) inside(name, format string, args ...any) bool {
	bad := path.IsAbs(name) || name == ""
	for _, seg := range strings.Split(name, "/") {
		bad = bad || seg == ".."
	}
	if bad {
		l.refuse(format, args...)
	}
	return !bad
}

func (l *fileTarList) refuse(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.bad) < 20 {
		l.bad = append(l.bad, fmt.Sprintf(format, args...))
	}
}

// fileTarComplaints listens to what tar says on stderr. GNU tar and busybox
// make unsafe names harmless, also in their listings, and say so ("Removing
// leading `../' from member names"); nobody needs an archive with such names.
type fileTarComplaints struct {
	l   *fileTarList
	log io.Writer
}

func (c fileTarComplaints) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "emoving leading") {
		c.l.refuse("%s", strings.TrimSpace(string(p)))
	}
	return c.log.Write(p)
}

// judge says why the archive may not be unpacked.
func (l *fileTarList) judge(archive string) error {
	for d, name := range l.under {
		if target, ok := l.links[d]; ok {
			l.refuse("%q would be written through the symbolic link %q, to %q", name, d, target)
		}
	}
	switch {
	case len(l.bad) > 0:
		return fmt.Errorf("%s is refused, nothing was unpacked: %s", archive, fileSome(l.bad, 5))
	case l.beside != "-" && l.beside != l.sum:
		return fmt.Errorf("%s is refused, nothing was unpacked: it has SHA-256 %s, and %s.sha256 says %s", archive, l.sum, archive, l.beside)
	case l.count == 0:
		return fmt.Errorf("%s is empty", archive)
	}
	return nil
}
