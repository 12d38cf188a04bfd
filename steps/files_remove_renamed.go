package steps

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"

	"belay/checks"
	"belay/steps/files"
)

func init() {
	register(Kind{
		Name:    "files.remove_renamed",
		Summary: "Removes the old names of files that files.rename_by_hash gave new ones, after reading all of both again; there is no way back, so it stands in close.",
		Example: `- step: Remove the old names of the uploads
  on: app
  files.remove_renamed: {manifest: /var/backups/uploads.manifest}
`,
		Close: true,
		New:   func() Step { return &filesRemoveRenamed{} },
	})
}

// filesRemoveRenamed removes the old names of a manifest.
type filesRemoveRenamed struct {
	Manifest string      `yaml:"manifest" scalar:"" required:"" doc:"absolute path on the host of the manifest that files.rename_by_hash wrote"`
	Rows     *hashedRows `yaml:"rows" doc:"the rows that named the files, as that step has them; if one still uses an old name, nothing is removed"`
}

func (c *filesRemoveRenamed) Validate() error {
	return errors.Join(fileCheckPath("manifest", c.Manifest), c.Rows.validate("rows"))
}

// HostNames is the database's host, if another one reaches it.
func (c *filesRemoveRenamed) HostNames() []string { return c.Rows.hosts() }

// Needs a login.
func (c *filesRemoveRenamed) Needs(on string) []checks.Check { return c.Rows.needs(on) }

// Repeatable: what is gone is gone.
func (c *filesRemoveRenamed) Repeatable() bool { return true }

// Underway: Apply goes on with what is left.
func (c *filesRemoveRenamed) Underway(Env) (bool, error) { return true, nil }

func (c *filesRemoveRenamed) read(ctx context.Context, e Env) (*hashedManifest, error) {
	s, err := fileLook(ctx, e, c.Manifest)
	if err != nil {
		return nil, err
	}
	if s.Kind == "absent" {
		return nil, fmt.Errorf("manifest %s: %w; nothing was removed", c.Manifest, fs.ErrNotExist)
	}
	text, err := hashedFetch(ctx, e.Host, c.Manifest)
	if err != nil {
		return nil, err
	}
	m, err := hashedParse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; nothing was removed", c.Manifest, err)
	}
	return m, nil
}

// old are the files that are still there under an old name which is not the
// new one as well.
func (c *filesRemoveRenamed) old(ctx context.Context, e Env, m *hashedManifest, sums bool) (there []hashedFile, src map[string]files.Entry, err error) {
	src, err = hashedList(ctx, e, m.From, sums)
	if errors.Is(err, files.ErrAbsent) {
		return nil, nil, nil
	}
	for _, f := range m.Files {
		if _, ok := src[f.Old]; ok && m.From+"/"+f.Old != m.To+"/"+f.New {
			there = append(there, f)
		}
	}
	return there, src, err
}

// Pending says how many there are.
func (c *filesRemoveRenamed) Pending(ctx context.Context, e Env) ([]Change, error) {
	m, err := c.read(ctx, e)
	if errors.Is(err, fs.ErrNotExist) {
		return []Change{{Text: fmt.Sprintf("remove the old names that %s lists; how many can be told when it is there", c.Manifest)}}, nil
	}
	if err != nil {
		return nil, err
	}
	there, _, err := c.old(ctx, e, m, false)
	if err != nil || len(there) == 0 {
		return nil, err
	}
	ch := Change{Text: fmt.Sprintf("remove %d files from %s, which are in %s under new names", len(there), m.From, m.To)}
	for _, f := range there {
		ch.Bytes += f.Size
	}
	return []Change{ch}, nil
}

// Apply reads every file under both names, and removes the old ones only if
// all are what the manifest says.
func (c *filesRemoveRenamed) Apply(ctx context.Context, e Env) error {
	m, err := c.read(ctx, e)
	if err != nil {
		return err
	}
	if err := m.hold(ctx, e, true, false); err != nil {
		return fmt.Errorf("%w; no old name was removed", err)
	}
	there, src, err := c.old(ctx, e, m, true)
	if err != nil {
		return err
	}
	var names bytes.Buffer
	for _, f := range there {
		if d := src[f.Old]; d.Type != 'f' || hex.EncodeToString([]byte(d.Sum)) != f.Sum {
			return fmt.Errorf("%s of %s is not what it was when it got its new name: somebody wrote to it since, and that would be lost; no old name was removed", files.Name(f.Old), m.From)
		}
		fmt.Fprintf(&names, "./%s\x00", f.Old)
	}
	if c.Rows != nil {
		old := m.olds(c.Rows)
		err := c.Rows.each(ctx, e, func(r hashedRow) error {
			if to, named := old[r.Old]; named && to != r.Old {
				return fmt.Errorf("%s of row %s is still %s", c.Rows, files.Name(r.Key), files.Name(r.Old))
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("%w; no old name was removed", err)
		}
	}
	if names.Len() == 0 {
		return nil
	}
	drop := hashedCmd("drop", m.From)
	drop.Stdin, drop.Stderr = &names, e.Log
	if err := e.Host.Run(ctx, drop); err != nil {
		return fmt.Errorf("%s: %w; some old names may be gone, and all new ones are there", m.From, err)
	}
	fmt.Fprintf(e.Log, "removed %d old names from %s\n", len(there), m.From)
	return nil
}

// Verify looks for old names, and reads the new ones again.
func (c *filesRemoveRenamed) Verify(ctx context.Context, e Env) error {
	m, err := c.read(ctx, e)
	if err != nil {
		return err
	}
	there, _, err := c.old(ctx, e, m, false)
	if err == nil && len(there) > 0 {
		err = fmt.Errorf("%s of %s is still there", files.Name(there[0].Old), m.From)
	}
	if err != nil {
		return err
	}
	return m.hold(ctx, e, false, false)
}

var _ interface {
	Resumer
	Repeater
	Needer
	Hoster
	Validator
} = &filesRemoveRenamed{}
