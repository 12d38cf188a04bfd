package steps

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"belay/checks"
	"belay/remote"
)

func init() {
	register(Kind{
		Name:    "files.restore",
		Summary: "Unpacks an archive into a directory of the same host; the directory that is there is kept aside.",
		Example: `- step: Put the files of Stoat Chat back
  on: chat
  files.restore: {from: /var/backups/stoat.tar.gz, to: /root/stoatchat}
`,
		New: func() Step { return &filesRestore{} },
	})
}

var (
	//go:embed files_restore.sh
	fileRestoreScript string
	//go:embed files_compare.sh
	fileCompareScript string
)

type filesRestore struct {
	From     string `yaml:"from" required:"" doc:"absolute path of the archive on the host; if <from>.sha256 is beside it, it must match"`
	To       string `yaml:"to" required:"" doc:"directory that shall hold exactly what is in the archive"`
	Keep     bool   `yaml:"keep" default:"true" doc:"move what is at to aside, as <to>.before-<run>; false refuses when something is there"`
	Links    string `yaml:"links" enum:"refuse|keep" default:"refuse" doc:"symbolic links that lead out of the directory; nothing is ever written through one"`
	Compress string `yaml:"compress" enum:"auto|zstd|gzip|none" default:"auto" doc:"auto goes by the name: .zst or .tzst, .gz or .tgz, else none"`
}

func (c *filesRestore) Validate() error {
	errs := []error{fileCheckPath("from", c.From), fileCheckPath("to", c.To)}
	if strings.HasPrefix(path.Clean(c.From)+"/", path.Clean(c.To)+"/") {
		errs = append(errs, Field("from", "the archive lies within %s, which would be moved aside", c.To))
	}
	return errors.Join(errs...)
}

// Needs asks for tar and for the program that unpacks.
func (c *filesRestore) Needs(on string) []checks.Check {
	return fileTarNeeds(on, filePacker(c.From, c.Compress))
}

func (c *filesRestore) Repeatable() bool { return true }

func (c *filesRestore) swap(e Env) fileSwap {
	to := path.Clean(c.To)
	return fileSwap{To: to, Aside: to + ".before-" + e.ID, Stage: path.Join(path.Dir(to), "."+path.Base(to)+".belay-"+e.ID+".part")}
}

func (c *filesRestore) list(ctx context.Context, e Env) (*fileTarList, error) {
	l := &fileTarList{}
	if err := l.read(ctx, e, path.Clean(c.From), filePacker(c.From, c.Compress), c.Links == "keep"); err != nil {
		return l, err
	}
	return l, l.judge(c.From)
}

// room looks at the place where the archive shall go: free bytes, and what is
// there: "", "empty" or "full".
func (c *filesRestore) room(ctx context.Context, e Env) (free int64, there string, err error) {
	const script = `to=$1; dir=${to%/*}; dir=${dir:-/}
while [ ! -d "$dir" ]; do dir=${dir%/*}; dir=${dir:-/}; done
df -Pk "$dir" | awk 'NR == 2 { print $4 }'
if [ -d "$to" ] && [ -z "$(ls -A "$to")" ]; then echo empty
elif [ -e "$to" ] || [ -L "$to" ]; then echo full; fi`
	cmd := remote.Sh(script, path.Clean(c.To))
	cmd.Pure = true
	out, err := remote.Output(ctx, e.Host, cmd)
	if err != nil {
		return 0, "", fmt.Errorf("%s: %w", c.To, err)
	}
	kib, there, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	n, err := strconv.ParseInt(kib, 10, 64)
	if err != nil {
		return 0, "", fmt.Errorf("%s: free space: unexpected answer %.100q", c.To, out)
	}
	return n << 10, there, nil
}

// check says what stands in the way.
func (c *filesRestore) check(ctx context.Context, e Env) (l *fileTarList, there string, err error) {
	if l, err = c.list(ctx, e); err != nil {
		return l, "", err
	}
	free, there, err := c.room(ctx, e)
	if err != nil {
		return l, "", err
	}
	if there == "full" && !c.Keep {
		return l, "", fmt.Errorf("%s is there and not empty, and keep is false; nothing was changed", c.To)
	}
	if l.bytes > free {
		return l, "", fmt.Errorf("%s: %s are free there, and the archive unpacks to %s; nothing was changed",
			c.To, remote.FormatBytes(free), remote.FormatBytes(l.bytes))
	}
	return l, there, nil
}

func (c *filesRestore) Pending(ctx context.Context, e Env) ([]Change, error) {
	done, err := c.swap(e).inPlace(ctx, e)
	if err != nil || done {
		return nil, err
	}
	l, there, err := c.check(ctx, e)
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf("unpack %s (%d entries, %s) as %s", c.From, l.count, remote.FormatBytes(l.bytes), c.To)
	if there != "" {
		text += "; what is there is kept as " + c.swap(e).Aside
	}
	return []Change{{Text: text, Bytes: l.bytes}}, nil
}

func (c *filesRestore) Apply(ctx context.Context, e Env) error {
	w := c.swap(e)
	done, err := w.inPlace(ctx, e)
	if err != nil || done {
		return err
	}
	// A broken-off attempt may have moved the old directory aside already.
	l, _, err := c.check(ctx, e)
	if err != nil {
		return err
	}
	rec, err := w.begin(ctx, e)
	if err != nil {
		return err
	}
	top := ""
	if l.top {
		top = "1"
	}
	cmd := remote.Sh(fileRestoreScript, path.Clean(c.From), filePacker(c.From, c.Compress), l.sum, w.Stage, w.To, top)
	meter := &fileTarMeter{log: e.Log, say: e.Say, total: l.bytes, text: "unpack " + c.From}
	cmd.Stderr = meter
	err = e.Host.Run(ctx, cmd)
	meter.flush()
	if err != nil {
		return fmt.Errorf("%s: %w; %s was left as it was", c.From, err, c.To)
	}
	if rec.Print, err = filePrint(ctx, e, w.Stage); err != nil {
		return err
	}
	if err := w.commit(ctx, e, rec); err != nil {
		return err
	}
	fmt.Fprintf(e.Log, "unpacked %s as %s: %d entries, %s\n", c.From, c.To, l.count, remote.FormatBytes(l.bytes))
	return nil
}

// Verify compares the directory with the archive: every byte, mode and owner
// where the host has GNU tar, else the number of entries.
func (c *filesRestore) Verify(ctx context.Context, e Env) error {
	done, err := c.swap(e).inPlace(ctx, e)
	if err != nil {
		return err
	}
	if !done {
		return fmt.Errorf("%s is not the directory that this step made", c.To)
	}
	l, err := c.list(ctx, e)
	if err != nil {
		return err
	}
	top := ""
	if l.top {
		top = "1"
	}
	cmd := remote.Sh(fileCompareScript, path.Clean(c.From), filePacker(c.From, c.Compress), path.Clean(c.To), strconv.FormatInt(l.count, 10), top)
	cmd.Pure, cmd.Stderr = true, e.Log
	if err := e.Host.Run(ctx, cmd); err != nil {
		return fmt.Errorf("%s is not what %s holds: %w", c.To, c.From, err)
	}
	return nil
}

func (c *filesRestore) Undo(ctx context.Context, e Env) error {
	w := c.swap(e)
	return w.undo(ctx, e, func() (string, error) { return filePrint(ctx, e, w.To) })
}
