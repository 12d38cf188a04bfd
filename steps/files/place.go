package files

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"sync/atomic"

	"belay/remote"
)

var (
	//go:embed look.sh
	lookScript string
	//go:embed ready.sh
	readyScript string
	//go:embed back.sh
	backScript string
	//go:embed send.sh
	sendScript string
	//go:embed take.sh
	takeScript string
)

// Place is what a host can do with a directory.
type Place struct {
	Kind   string // absent, empty, full or other
	Top    string // the directory, or the nearest one above it that exists, links followed
	Free   int64  // bytes
	Inodes int64  // free ones; 0: the file system does not tell
	Mode   string // "755"
	Owner  string // "0:0"
	Tar    string // gnu, busy or none
	Root   bool
	Mount  bool   // the directory is where a file system begins
	Xargs  bool   // xargs -0 works
	Kept   string // "beside" or "in" when a step's own directory is there; else ""
	Rsync  Rsync
}

// LookAt asks a host about the directory dir. beside and inside are where a step
// may have put what it keeps.
func LookAt(ctx context.Context, h remote.Host, dir, beside, inside string) (Place, error) {
	cmd := remote.Sh(lookScript, dir, beside, inside)
	cmd.Pure = true
	out, err := remote.Output(ctx, h, cmd)
	if err != nil {
		return Place{}, fmt.Errorf("%s on %s: %w", dir, h.Name, err)
	}
	var p Place
	before, rest, _ := strings.Cut(string(out), "\ntop ")
	top, rest, ok := strings.Cut(rest, "\x00\n")
	p.Top = top
	if !ok || !path.IsAbs(top) {
		return p, fmt.Errorf("%s on %s: unexpected answer %.200q", dir, h.Name, out)
	}
	for line := range strings.Lines(before + "\n" + rest) {
		key, val, _ := strings.Cut(strings.TrimSpace(line), " ")
		if val == "-" {
			val = ""
		}
		n, _ := strconv.ParseInt(val, 10, 64)
		switch key {
		case "kind":
			p.Kind = val
		case "free":
			p.Free = n
		case "inodes":
			p.Inodes = n
		case "meta":
			p.Mode, p.Owner, _ = strings.Cut(val, " ")
		case "tar":
			p.Tar = val
		case "root":
			p.Root = val == "1"
		case "mount":
			p.Mount = val == "1"
		case "xargs":
			p.Xargs = val == "1"
		case "kept":
			p.Kept = val
		case "rsync":
			p.Rsync = parseRsync(val)
		}
	}
	return p, nil
}

// Road is how files get from one host's directory to another's.
type Road struct {
	From, To       remote.Host
	FromDir, ToDir string
	FromTar, ToTar string        // gnu or busy
	Loose          bool          // what vanishes meanwhile is left out
	Count          func(n int64) // bytes done; nil: nobody asks

	// For Update alone:
	FromRsync, ToRsync Rsync
	Basis              string        // at the target: former versions of files, by the same paths; "" for none
	Temp               string        // at the target: where files under way are; "" for beside their places
	Wire               func(n int64) // bytes that the source sent
}

// names is a list for xargs -0.
func names(entries []Entry) *bytes.Reader {
	var b bytes.Buffer
	for _, e := range entries {
		b.WriteString("./" + e.Path + "\x00")
	}
	return bytes.NewReader(b.Bytes())
}

// Send puts entries in their place: one archive, unpacked while it is written.
// Files that are there are replaced, never written through.
func (r Road) Send(ctx context.Context, entries []Entry) error {
	if len(entries) == 0 {
		return nil
	}
	how, here := "rich", "rich"
	switch {
	case r.FromTar == "busy":
		how, here = "busy", r.ToTar
	case r.ToTar == "busy":
		how, here = "gnu", "busy"
	}
	loose := word(r.Loose, "loose")
	out := remote.Sh(sendScript, r.FromDir, how, loose)
	out.Stdin, out.Pure = names(entries), true
	in := remote.Sh(takeScript, r.ToDir, here)
	if err := r.pipe(ctx, out, in); err != nil || r.ToTar != "busy" {
		return err
	}
	return r.ownLinks(ctx, entries)
}

// ownLinks gives symbolic links their owners, which busybox's tar does not.
func (r Road) ownLinks(ctx context.Context, entries []Entry) error {
	const script = `cd -P -- "$1" || exit 1
[ "$(id -u)" = 0 ] || exit 0
xargs -0 sh -c 'for x do p=${x#* }; [ ! -L "$p" ] || chown -h "${x%% *}" "$p" || exit 255; done' sh`
	var b bytes.Buffer
	for _, e := range entries {
		if e.Type == 'l' {
			fmt.Fprintf(&b, "%d:%d ./%s\x00", e.UID, e.GID, e.Path)
		}
	}
	if b.Len() == 0 {
		return nil
	}
	cmd := remote.Sh(script, r.ToDir)
	cmd.Stdin = &b
	if err := r.To.Run(ctx, cmd); err != nil {
		return fmt.Errorf("write on %s: owners of links: %w", r.To.Name, err)
	}
	return nil
}

// errOther ends one side because the other one has.
var errOther = errors.New("the other host's command ended")

// pipe runs one command on each host, the first one's output being the second
// one's input. What ended first is told first.
func (r Road) pipe(ctx context.Context, out, in remote.Cmd) error {
	reader, writer := io.Pipe()
	counted := &counter{r: reader, say: r.Count}
	out.Stdout, in.Stdin = writer, counted
	sending, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	sent := make(chan error, 1)
	go func() {
		err := r.From.Run(sending, out)
		if err == nil {
			writer.CloseWithError(nil)
		} else {
			writer.CloseWithError(fmt.Errorf("%s: %w", r.From.Name, err))
		}
		sent <- err
	}()
	err := r.To.Run(ctx, in)
	ended := counted.ended.Load() // whether the taker saw the end of the archive
	reader.CloseWithError(errOther)
	if err != nil {
		stop(errOther)
	}
	from := <-sent
	switch {
	case from != nil && !errors.Is(from, errOther) && !errors.Is(from, io.ErrClosedPipe):
		return fmt.Errorf("read on %s: %w", r.From.Name, from)
	case err != nil:
		return fmt.Errorf("write on %s: %w", r.To.Name, err)
	case from != nil && !ended:
		return fmt.Errorf("write on %s: ended before all had arrived", r.To.Name)
	}
	return nil
}

// counter tells how much was read, and that the end was.
type counter struct {
	r     io.Reader
	say   func(int64)
	ended atomic.Bool
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if err != nil {
		c.ended.Store(errors.Is(err, io.EOF))
	}
	if c.say != nil && n > 0 {
		c.say(int64(n))
	}
	return n, err
}

// Act is one thing that Ready does at the target.
type Act struct {
	Do   byte // d make a directory, c write down that it will be made, m put aside, k put aside unless that was done, r remove, s write down a directory's settings
	Path string
}

// Ready does the acts in dir, in order. aside is where it keeps what goes;
// empty: nothing may be put aside.
func Ready(ctx context.Context, h remote.Host, dir, aside string, acts []Act) error {
	var b bytes.Buffer
	for _, a := range acts {
		b.WriteByte(a.Do)
		b.WriteString("./" + a.Path + "\x00")
	}
	cmd := remote.Sh(readyScript, dir, aside)
	cmd.Stdin = &b
	if err := h.Run(ctx, cmd); err != nil {
		return fmt.Errorf("%s on %s: %w", dir, h.Name, err)
	}
	return nil
}
