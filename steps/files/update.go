package files

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"belay/remote"
)

var (
	//go:embed offer.sh
	offerScript string
	//go:embed update.sh
	updateScript string
)

// Rsync is what a host's rsync can do. The zero Rsync is none that is of use:
// protocol 31, of rsync 3.1.0, is needed.
type Rsync struct {
	Version      string // "3.2.7"
	ACLs, Xattrs bool
}

// Is tells whether there is one.
func (r Rsync) Is() bool { return r.Version != "" }

var rsyncVersion = regexp.MustCompile(`^rsync +version v?([0-9][0-9.]*)\S* +protocol version ([0-9]+)\b`)

// parseRsync reads `rsync --version`, its lines joined.
func parseRsync(said string) Rsync {
	m := rsyncVersion.FindStringSubmatch(said)
	if m == nil {
		return Rsync{}
	}
	if n, err := strconv.Atoi(m[2]); err != nil || n < 31 {
		return Rsync{}
	}
	has := func(what string) bool {
		return strings.Contains(said, " "+what) && !strings.Contains(said, " no "+what)
	}
	return Rsync{Version: m[1], ACLs: has("ACLs"), Xattrs: has("xattrs")}
}

// ErrUnfit says that the rsyncs of the two hosts do not get along, or that one
// cannot be spoken to: nothing was sent.
var ErrUnfit = errors.New("rsync cannot be used between the two hosts")

// What rsync's exit status means; rsync(1), EXIT VALUES.
const (
	rsyncSyntax   = 1
	rsyncProtocol = 2
	rsyncAction   = 4
	rsyncStream   = 12 // the other end went away
	rsyncPartial  = 23
	rsyncVanished = 24
)

// rsyncLetters are the options: links, owners, modes, times, devices, pipes,
// hard links, sparse files; -I because the caller knows what differs.
func (r Road) rsyncLetters() string {
	letters := "ltpgoDHSI"
	if r.FromRsync.ACLs && r.ToRsync.ACLs {
		letters += "A"
	}
	if r.FromRsync.Xattrs && r.ToRsync.Xattrs {
		letters += "X"
	}
	return letters
}

// offered checks what the client wants the other end to be told: our own
// options and what its version can do ("e.LsfxCIvu"), nothing else. A host may
// be hostile.
var offered = regexp.MustCompile(`^-([A-Za-z]+)e[0-9]*\.[A-Za-z]*$`)

func (r Road) offers(said string) bool {
	m := offered.FindStringSubmatch(said)
	if m == nil {
		return false
	}
	has, want := []byte(m[1]), []byte(r.rsyncLetters()+"R") // R: --files-from implies it
	slices.Sort(has)
	slices.Sort(want)
	return bytes.Equal(has, want)
}

// Update is Send by rsync: of a file that the target has in another version, or
// has a part of, only what changed is sent. Former versions are looked for in
// the place itself and in Basis. A part of a file that had arrived when it
// breaks off stays in its place, unless rsync itself was killed. No keys are needed on the hosts and nothing
// listens: rsync's client runs at the target, and its connection to the source
// goes through belay's own two.
func (r Road) Update(ctx context.Context, entries []Entry) error {
	if len(entries) == 0 {
		return nil
	}
	list, loose := names(entries), word(r.Loose, "loose")
	in := remote.Sh(updateScript, r.ToDir, strconv.Itoa(list.Len()), r.rsyncLetters(), r.Basis, r.Temp, loose)
	down, toTarget := io.Pipe()
	up, toSource := io.Pipe()
	client := &rsyncClient{to: toSource, said: make(chan string, 1), count: r.Count}
	in.Stdin, in.Stdout, in.Stderr = io.MultiReader(list, down), client, (*rsyncWords)(client)
	sending, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	ended := make(chan error, 1)
	go func() {
		err := r.To.Run(ctx, in)
		down.CloseWithError(errOther) // what the source still writes
		toSource.Close()
		if err != nil {
			stop(errOther)
		}
		ended <- err
	}()
	var source error
	select {
	case said := <-client.said:
		if r.offers(said) {
			source = r.offer(sending, said, up, toTarget)
		} else {
			source = fmt.Errorf("%w: its client asks for %.100q", ErrUnfit, said)
		}
	case err := <-ended:
		ended <- err
	}
	up.CloseWithError(errOther)
	toTarget.Close()
	err := r.rsyncEnd(source, client.plain(<-ended), client.spoke)
	if err == nil && r.Count != nil {
		var all int64
		for _, e := range entries {
			if e.First == "" || e.First == e.Path {
				all += e.Size
			}
		}
		r.Count(max(all-client.done, 0))
	}
	return err
}

// offer runs the end that reads.
func (r Road) offer(ctx context.Context, letters string, in io.Reader, out io.Writer) error {
	args := []string{r.FromDir, letters, "--numeric-ids", "--no-implied-dirs", "--files-from=-", "--from0"}
	if r.Loose {
		args = append(args, "--ignore-missing-args")
	}
	cmd := remote.Sh(offerScript, args...)
	cmd.Stdin, cmd.Stdout, cmd.Pure = in, &counted{out, r.Wire}, true
	return r.From.Run(ctx, cmd)
}

// rsyncEnd puts two ends together. The client tells the troubles of both, unless
// the other end went away from it.
func (r Road) rsyncEnd(source, target error, spoke bool) error {
	exit, ended := errors.AsType[*remote.ExitError](target)
	other, ours := errors.AsType[*remote.ExitError](source)
	switch {
	case errors.Is(source, ErrUnfit):
		return source
	case target == nil && (source == nil || ours && other.Status == rsyncVanished):
		return nil
	case ended && exit.Status == rsyncVanished && r.Loose:
		return nil
	case ended && (!spoke || exit.Status == rsyncSyntax || exit.Status == rsyncProtocol || exit.Status == rsyncAction):
		return fmt.Errorf("%w: on %s: %w", ErrUnfit, r.To.Name, target)
	case ours && (other.Status == rsyncSyntax || other.Status == rsyncProtocol || other.Status == rsyncAction):
		return fmt.Errorf("%w: on %s: %w", ErrUnfit, r.From.Name, source)
	case target != nil && !ended && !errors.Is(target, io.ErrClosedPipe) && !errors.Is(target, errOther):
		return fmt.Errorf("write on %s: %w", r.To.Name, target)
	case source != nil && !errors.Is(source, errOther) && !errors.Is(source, io.ErrClosedPipe) && (!ours || target == nil || ended && exit.Status == rsyncStream):
		return fmt.Errorf("read on %s: %w", r.From.Name, source)
	}
	return fmt.Errorf("rsync to %s: %w", r.To.Name, target)
}

// Partly tells whether rsync brought over all but some files, which it names.
func Partly(err error) bool {
	exit, ok := errors.AsType[*remote.ExitError](err)
	return ok && exit.Status == rsyncPartial
}

// rsyncClient takes what the client's end writes: the line with its options,
// then what is for the other end.
type rsyncClient struct {
	to    *io.PipeWriter
	said  chan string // the line, once
	line  []byte
	spoke bool
	count func(int64)
	done  int64  // bytes, by its progress
	part  []byte // of a line of stderr
	words string // the first that is no progress
}

const maxOffer = 200 // bytes; a real line has some 25

func (c *rsyncClient) Write(p []byte) (int, error) {
	if c.spoke {
		return c.to.Write(p)
	}
	head, rest, whole := bytes.Cut(p, []byte("\n"))
	if c.line = append(c.line, head...); len(c.line) > maxOffer {
		return 0, fmt.Errorf("unexpected answer %.100q", c.line)
	}
	if !whole {
		return len(p), nil
	}
	c.spoke = true
	c.said <- string(c.line)
	n, err := c.to.Write(rest)
	return len(head) + 1 + n, err
}

// plain makes an exit's words those of rsync alone, without its progress.
func (c *rsyncClient) plain(err error) error {
	exit, ok := errors.AsType[*remote.ExitError](err)
	if !ok {
		return err
	}
	clean := *exit
	clean.Stderr = c.words
	return &clean
}

// rsyncWords is the client's stderr: "  32768  10%  1.00MB/s  0:00:00" and the
// like, each after a carriage return, then what went wrong.
type rsyncWords rsyncClient

func (w *rsyncWords) Write(p []byte) (int, error) {
	for _, b := range p {
		if b != '\r' && b != '\n' {
			if len(w.part) < 1000 {
				w.part = append(w.part, b)
			}
			continue
		}
		w.take(strings.TrimSpace(string(w.part)))
		w.part = w.part[:0]
	}
	return len(p), nil
}

func (w *rsyncWords) take(line string) {
	first, rest, _ := strings.Cut(line, " ")
	n, err := strconv.ParseInt(first, 10, 64)
	if err == nil && strings.Contains(rest, "%") {
		if n > w.done && w.count != nil {
			w.count(n - w.done)
		}
		w.done = max(w.done, n)
	} else if line != "" && w.words == "" {
		w.words = line
	}
}

// counted tells how much was written.
type counted struct {
	w   io.Writer
	say func(int64)
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	if c.say != nil {
		c.say(int64(n))
	}
	return n, err
}
