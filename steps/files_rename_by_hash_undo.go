package steps

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"slices"

	"belay/steps/files"
)

func hashedSum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// Undo sets the rows back and removes the new names that the step made, unless
// somebody needs them by now.
func (c *filesRenameByHash) Undo(ctx context.Context, e Env) error {
	m, _, err := c.remembered(ctx, e)
	if err != nil || m == nil {
		return err
	}
	used := map[string]bool{}
	if c.Rows != nil {
		if used, err = c.undoRows(ctx, e, m); err != nil {
			return fmt.Errorf("%s: %w; no row was set back, and no file removed", c.Rows, err)
		}
	}
	kept, err := c.undoFiles(ctx, e, m, used)
	if err != nil {
		return err
	}
	if kept > 0 {
		return fmt.Errorf("%d files of %s are kept, for they are no longer under their old names in %s (the log names them): put them there from %s by hand, then skip this step",
			kept, m.To, m.From, m.To)
	}
	err = fileUnplace(ctx, e, func(b fileBefore, s fileState) error {
		fmt.Fprintf(e.Log, "%s was changed since; it stays\n", s.Path)
		return nil
	})
	if err != nil {
		return err
	}
	return errors.Join(e.Memory.Put(hashedDoneKey, false), e.Memory.Put(hashedKey, hashedRecord{}))
}

// undoRows sets back what still has the new name, and returns the names that
// rows use afterwards.
func (c *filesRenameByHash) undoRows(ctx context.Context, e Env, m *hashedManifest) (map[string]bool, error) {
	t, err := c.Rows.open(ctx, e)
	if err != nil {
		return nil, err
	}
	defer t.close()
	var back []hashedRow
	for _, r := range m.Rows {
		back = append(back, hashedRow{Key: r.Key, Old: r.New, New: r.Old})
	}
	err = t.change(ctx, back, func(r hashedRow, now string, there bool) error {
		if there {
			fmt.Fprintf(e.Log, "row %q names %q by now; it stays so\n", r.Key, now)
		}
		return nil
	}, func(int) {})
	if err != nil {
		return nil, err
	}
	used := map[string]bool{}
	return used, t.each(ctx, func(r hashedRow) error {
		used[r.Old] = true
		return nil
	})
}

// undoFiles removes what was made. It returns how many files it kept because
// nobody else has them.
func (c *filesRenameByHash) undoFiles(ctx context.Context, e Env, m *hashedManifest, used map[string]bool) (kept int, err error) {
	var rec hashedRecord
	if _, err := e.Memory.Get(hashedKey, &rec); err != nil {
		return 0, err
	}
	dst, err := hashedList(ctx, e, m.To, true)
	if errors.Is(err, files.ErrAbsent) {
		dst, err = nil, nil
	}
	if err != nil {
		return 0, err
	}
	src, err := hashedList(ctx, e, m.From, false)
	if errors.Is(err, files.ErrAbsent) {
		src, err = nil, nil
	}
	if err != nil {
		return 0, err
	}
	var names bytes.Buffer
	told, olden := map[string]bool{}, m.olden(src)
	for _, f := range m.Files {
		d, there := dst[f.New]
		if !f.Made || !there || told[f.New] {
			continue
		}
		told[f.New] = true
		switch {
		case d.Type != 'f' || hex.EncodeToString([]byte(d.Sum)) != f.Sum:
			fmt.Fprintf(e.Log, "%s was changed since; it stays\n", f.New)
		case c.Rows != nil && used[c.Rows.New+f.New]:
			fmt.Fprintf(e.Log, "%s stays: a row that came since names it\n", f.New)
		case !olden[f.New]:
			fmt.Fprintf(e.Log, "%s stays: %s is gone\n", f.New, files.Name(f.Old))
			kept++
		default:
			names.WriteString(f.New + "\x00")
		}
	}
	if names.Len() > 0 {
		drop := hashedCmd("drop", m.To)
		drop.Stdin, drop.Stderr = &names, e.Log
		if err := e.Host.Run(ctx, drop); err != nil {
			return kept, fmt.Errorf("%s: %w", m.To, err)
		}
	}
	dirs := slices.Clone(rec.Dirs)
	slices.Reverse(dirs)
	return kept, e.Host.Run(ctx, hashedCmd(append([]string{"tidy", path.Join(m.To, path.Base(c.stage(e)))}, dirs...)...))
}

// olden are the new names of files that are there under an old one.
func (m *hashedManifest) olden(src map[string]files.Entry) map[string]bool {
	all := map[string]bool{}
	for _, f := range m.Files {
		if s, there := src[f.Old]; there && s.Type == 'f' && s.Size == f.Size {
			all[f.New] = true
		}
	}
	return all
}
