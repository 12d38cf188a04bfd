package steps

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"belay/checks"
	"belay/remote"
)

func init() {
	register(Kind{
		Name:    "files.copy",
		Summary: "Copies a file or a directory from this machine to a host, or a file of another host, or writes a text there; what it replaces is kept.",
		Example: `- step: Put the maintenance page up
  on: web
  files.copy: {content: "<h1>Back at 22:45</h1>\n", to: /var/www/maintenance.html, mode: "0644"}
`,
		New: func() Step { return &filesCopy{} },
	})
}

type filesCopy struct {
	From    string  `yaml:"from" doc:"path on the machine that belay runs on, or on that of host"`
	Host    string  `yaml:"host" host:"" doc:"host that has from: one file of at most 64 MiB, which keeps its mode and the names of its owner and group; no difference is shown, as it may hold secrets (a directory is for files.sync)"`
	Content *string `yaml:"content" doc:"the text itself, instead of from"`
	To      string  `yaml:"to" required:"" doc:"absolute path on the host; missing directories on the way are made"`
	Dir     bool    `yaml:"dir" doc:"from is a directory, and to becomes exactly like it; a directory that is there is kept aside"`
	Mode    string  `yaml:"mode" doc:"permissions of the file, such as 0644; left out, those of the file that is replaced, else those of from, else 0644"`
	Owner   string  `yaml:"owner" doc:"user who shall own it; left out, the owner of what is replaced"`
	Group   string  `yaml:"group" doc:"group that shall own it"`
}

func (c *filesCopy) Validate() error {
	errs := []error{fileCheckPath("to", c.To), fileCheckMeta(c.Mode, c.Owner, c.Group)}
	switch {
	case c.From == "" && c.Content == nil:
		errs = append(errs, Field("from", "either from or content is needed"))
	case c.From != "" && c.Content != nil:
		errs = append(errs, Field("content", "from and content exclude each other"))
	case c.Dir && c.Content != nil:
		errs = append(errs, Field("dir", "content is one file; a directory needs from"))
	}
	if c.Host != "" && (c.From == "" || c.Dir) {
		errs = append(errs, Field("host", "host goes with from, the path of one file"))
	}
	if c.Host != "" && c.From != "" {
		errs = append(errs, fileCheckPath("from", c.From))
	}
	if c.Dir && c.Mode != "" {
		errs = append(errs, Field("mode", "the files of a directory keep their own modes"))
	}
	return errors.Join(errs...)
}

// Needs asks for tar where a directory is sent.
func (c *filesCopy) Needs(on string) []checks.Check {
	if !c.Dir {
		return nil
	}
	return fileTarNeeds(on, "none")
}

func (c *filesCopy) Repeatable() bool { return true }

func (c *filesCopy) Pending(ctx context.Context, e Env) ([]Change, error) {
	if c.Dir {
		return c.tree().pending(ctx, e)
	}
	s, w, closeData, err := c.look(ctx, e)
	if err != nil {
		return nil, err
	}
	defer closeData()
	if s.Kind != "file" && s.Kind != "absent" {
		return nil, fmt.Errorf("%s is a %s, not a file; name the file itself", c.To, s.Kind)
	}
	fileSeen(e, s)
	if s.Sum == w.Sum {
		var changes []Change
		for _, d := range w.metaDiffers(s) {
			changes = append(changes, Change{Text: fmt.Sprintf("set %s: %s", c.To, d)})
		}
		return changes, nil
	}
	return c.describe(ctx, e, s, w)
}

func (c *filesCopy) describe(ctx context.Context, e Env, s fileState, w fileWant) ([]Change, error) {
	b, err := io.ReadAll(io.LimitReader(w.Data, fileDiffMax+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.From, err)
	}
	size := w.Size
	ch := Change{Text: fmt.Sprintf("write %s (new, %s)", c.To, remote.FormatBytes(size)), Bytes: size}
	old := []byte(nil)
	if s.Kind == "file" {
		ch.Text = fmt.Sprintf("replace %s (%s by %s)", c.To, remote.FormatBytes(s.Size), remote.FormatBytes(size))
		if s.Size <= fileDiffMax {
			if old, err = remote.ReadFile(ctx, e.Host, s.Path); err != nil {
				return nil, err
			}
		}
	}
	if c.Host == "" && s.Size <= fileDiffMax && fileIsText(b) && fileIsText(old) {
		ch.Diff = fileDiff(c.To, string(old), string(b))
	}
	return []Change{ch}, nil
}

func (c *filesCopy) Apply(ctx context.Context, e Env) error {
	if c.Dir {
		return c.tree().apply(ctx, e)
	}
	s, w, closeData, err := c.look(ctx, e)
	if err != nil {
		return err
	}
	defer closeData()
	if err := fileAsSeen(e, s); err != nil {
		return err
	}
	w.Data = &fileMeter{r: w.Data, total: w.Size, text: c.To, say: e.Say}
	if err := filePlace(ctx, e, s, w); err != nil {
		return err
	}
	fmt.Fprintf(e.Log, "wrote %s (%s, sha256 %s)\n", c.To, remote.FormatBytes(w.Size), w.Sum)
	return nil
}

// Verify reads the file back: its SHA-256, mode and owner as the host sees them.
func (c *filesCopy) Verify(ctx context.Context, e Env) error {
	if c.Dir {
		return c.tree().verify(ctx, e)
	}
	s, w, closeData, err := c.look(ctx, e)
	if err != nil {
		return err
	}
	defer closeData()
	if s.Sum != w.Sum {
		return fmt.Errorf("%s has SHA-256 %s, not %s as it should", c.To, s.Sum, w.Sum)
	}
	if d := w.metaDiffers(s); len(d) > 0 {
		return fmt.Errorf("%s has %s", c.To, d[0])
	}
	return nil
}

func (c *filesCopy) Undo(ctx context.Context, e Env) error {
	if c.Dir {
		return c.tree().undo(ctx, e)
	}
	return fileUnplace(ctx, e, func(b fileBefore, s fileState) error { return fileConflict(b, s, "") })
}

func (c *filesCopy) tree() fileTree {
	return fileTree{from: c.From, to: c.To, owner: fileOwner(c.Owner, c.Group)}
}

// look reads both sides. The data is read once here for its sum; a file that
// changes between that and the sending is refused by the host.
func (c *filesCopy) look(ctx context.Context, e Env) (s fileState, w fileWant, closeData func() error, err error) {
	w = fileWant{Mode: c.Mode, New: "0644", Owner: fileOwner(c.Owner, c.Group)}
	closeData = func() error { return nil }
	switch {
	case c.Content != nil:
		w.take([]byte(*c.Content))
	case c.Host != "":
		err = c.lookThere(ctx, e, &w)
	default:
		closeData, err = c.lookHere(&w)
	}
	if err != nil {
		return s, w, nil, err
	}
	if s, err = fileLook(ctx, e, c.To); err != nil {
		return s, w, nil, errors.Join(err, closeData())
	}
	return s, w, closeData, nil
}

// take makes b the data.
func (w *fileWant) take(b []byte) {
	sum := sha256.Sum256(b)
	w.Sum, w.Data, w.Size = hex.EncodeToString(sum[:]), bytes.NewReader(b), int64(len(b))
}

// lookHere opens the file of this machine.
func (c *filesCopy) lookHere(w *fileWant) (closeData func() error, err error) {
	f, err := os.Open(c.From)
	if err != nil {
		return nil, fmt.Errorf("on this machine: %w", err)
	}
	st, err := f.Stat()
	if err == nil && st.IsDir() {
		err = fmt.Errorf("%s is a directory; say dir: true to copy it", c.From)
	}
	h := sha256.New()
	if err == nil {
		_, err = io.Copy(h, f)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	w.New = fmt.Sprintf("%04o", st.Mode().Perm())
	w.Sum, w.Data, w.Size = hex.EncodeToString(h.Sum(nil)), f, st.Size()
	return f.Close, nil
}

// fileCapped takes no more than left bytes.
type fileCapped struct {
	bytes.Buffer
	left int
}

func (w *fileCapped) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errors.New("the file grew too large")
	}
	return w.Buffer.Write(p)
}

// fileThereMax is how large a file of another host may be: it goes through the
// memory of this machine.
const fileThereMax = 64 << 20

// lookThere reads the file of the other host.
func (c *filesCopy) lookThere(ctx context.Context, e Env, w *fileWant) error {
	there := e
	there.Host = remote.ReadOnly(e.Hosts[c.Host])
	s, err := fileLook(ctx, there, c.From)
	switch {
	case err != nil:
		return fmt.Errorf("on %s: %w", c.Host, err)
	case s.Kind != "file":
		return fmt.Errorf("on %s: %s is %s, not a file; a directory is for files.sync", c.Host, c.From, s.Kind)
	case s.Size > fileThereMax:
		return fmt.Errorf("on %s: %s has %s; this copies files of at most %s, files.sync any", c.Host, c.From, remote.FormatBytes(s.Size), remote.FormatBytes(fileThereMax))
	}
	read := remote.Sh(`exec cat <"$1"`, s.Path)
	read.Pure = true
	b := &fileCapped{left: fileThereMax}
	read.Stdout = b
	if err := there.Host.Run(ctx, read); err != nil {
		return fmt.Errorf("on %s: read %s: %w", c.Host, c.From, err)
	}
	w.take(b.Bytes())
	if w.Sum != s.Sum {
		return fmt.Errorf("on %s: %s changed while it was read; nothing was changed: try again", c.Host, c.From)
	}
	w.New = "0" + s.Mode
	if w.Mode == "" {
		w.Mode = w.New
	}
	if w.Owner == "" {
		w.Owner = s.Names
	}
	return nil
}

// fileMeter tells how much was read from r.
type fileMeter struct {
	r           io.Reader
	done, total int64
	text        string
	say         func(Progress)
}

func (m *fileMeter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.done += int64(n)
	m.say(Progress{Done: m.done, Total: m.total, Unit: "B", Text: m.text})
	return n, err
}

// What Pending showed is remembered, so that Apply does not do something else
// than what a person agreed to. A dry run keeps no memory; that costs nothing.
const fileSeenKey = "seen"

func fileSeen(e Env, s fileState) {
	if e.Memory == nil {
		return
	}
	var seen string
	if found, err := e.Memory.Get(fileSeenKey, &seen); err == nil && !(found && seen == s.Sum) {
		_ = e.Memory.Put(fileSeenKey, s.Sum) // a dry run's memory may refuse
	}
}

func fileAsSeen(e Env, s fileState) error {
	var seen string
	found, err := e.Memory.Get(fileSeenKey, &seen)
	if err != nil || !found || seen == s.Sum {
		return err
	}
	var b fileBefore
	if found, err := e.Memory.Get(fileBeforeKey, &b); err != nil || found && b.wrote(s.Sum) {
		return err // an attempt of this step that broke off after writing
	}
	return fmt.Errorf("%s was changed since this step showed what it would do; nothing was changed now. Look at the step again and retry", s.Path)
}
