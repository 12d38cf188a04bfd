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
		Summary: "Copies a file or a directory from this machine to a host, or writes a text there; what it replaces is kept.",
		Example: `- step: Put the maintenance page up
  on: web
  files.copy: {content: "<h1>Back at 22:45</h1>\n", to: /var/www/maintenance.html, mode: "0644"}
`,
		New: func() Step { return &filesCopy{} },
	})
}

type filesCopy struct {
	From    string  `yaml:"from" doc:"path on the machine that belay runs on"`
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
	size, err := c.size()
	if err != nil {
		return nil, err
	}
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
	if s.Size <= fileDiffMax && fileIsText(b) && fileIsText(old) {
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
	size, err := c.size()
	if err != nil {
		return err
	}
	w.Data = &fileMeter{r: w.Data, total: size, text: c.To, say: e.Say}
	if err := filePlace(ctx, e, s, w); err != nil {
		return err
	}
	fmt.Fprintf(e.Log, "wrote %s (%s, sha256 %s)\n", c.To, remote.FormatBytes(size), w.Sum)
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
	if c.Content != nil {
		sum := sha256.Sum256([]byte(*c.Content))
		w.Sum, w.Data = hex.EncodeToString(sum[:]), bytes.NewReader([]byte(*c.Content))
	} else {
		f, err := os.Open(c.From)
		if err != nil {
			return s, w, nil, fmt.Errorf("on this machine: %w", err)
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
			return s, w, nil, errors.Join(err, f.Close())
		}
		w.New = fmt.Sprintf("%04o", st.Mode().Perm())
		w.Sum, w.Data, closeData = hex.EncodeToString(h.Sum(nil)), f, f.Close
	}
	if s, err = fileLook(ctx, e, c.To); err != nil {
		return s, w, nil, errors.Join(err, closeData())
	}
	return s, w, closeData, nil
}

func (c *filesCopy) size() (int64, error) {
	if c.Content != nil {
		return int64(len(*c.Content)), nil
	}
	st, err := os.Stat(c.From)
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
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
