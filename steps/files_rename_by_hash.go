package steps

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"path"
	"strings"

	"belay/checks"
	"belay/remote"
	"belay/steps/files"
)

func init() {
	register(Kind{
		Name: "files.rename_by_hash",
		Summary: "Gives files names by the SHA-256 of their content: copies or hard links them, never moves, keeps a manifest, " +
			"and changes the database's column that names them in one transaction.",
		Example: `- step: Give uploads names by their content
  on: app
  files.rename_by_hash:
    path: /storage
    to: /app/storage/uploads
    manifest: /var/backups/uploads.manifest
    rows:
      mysql: {user: root, password: {secret: db_root}, database: chatnio}
      table: files
      column: file_path
      new: uploads/
`,
		New: func() Step { return &filesRenameByHash{} },
	})
}

//go:embed files_rename_by_hash.sh
var hashedScript string

// filesRenameByHash gives files further names, by their content.
type filesRenameByHash struct {
	Path      string      `yaml:"path" required:"" doc:"directory with the files; symbolic links in it are left as they are"`
	To        string      `yaml:"to" required:"" doc:"directory of the new names, all at one level; it may be path itself, and is made if it is not there"`
	Of        string      `yaml:"of" enum:"content|name" default:"content" doc:"what is hashed; name, the file's own without directories, is for applications that look for that: two files of one name are refused if they differ"`
	Extension bool        `yaml:"extension" default:"true" doc:"keep what follows the last dot of the old name, if that is at most ten letters and digits"`
	By        string      `yaml:"by" enum:"copy|link" default:"copy" doc:"link, a hard link, takes no room and needs one file system; but whoever writes into the file then changes it under both names"`
	Exclude   []string    `yaml:"exclude" doc:"what stays out, with all below it: a name such as *.tmp, or with a slash a path from the top such as cache/*"`
	Manifest  string      `yaml:"manifest" required:"" doc:"absolute path on the host of the list of old and new names, sizes and SHA-256; files.remove_renamed goes by it"`
	Rows      *hashedRows `yaml:"rows" doc:"the rows of a database that name the files"`
	Unmatched string      `yaml:"unmatched" enum:"refuse|name" default:"refuse" doc:"when rows name files that are not there, or files are in no row: refuse before anything is changed, or name them in the log and leave such rows as they are"`
}

func (c *filesRenameByHash) Validate() error {
	errs := []error{fileCheckPath("path", c.Path), fileCheckPath("to", c.To), fileCheckPath("manifest", c.Manifest)}
	for _, dir := range []string{c.Path, c.To} {
		if strings.HasPrefix(path.Clean(c.Manifest), path.Clean(dir)+"/") {
			errs = append(errs, Field("manifest", "it would lie among the files, in %s", dir))
			break
		}
	}
	for i, x := range c.Exclude {
		if x == "" || x == "*" || strings.ContainsAny(x, "\n\x00") {
			errs = append(errs, Field(fmt.Sprintf("exclude.%d", i), "%q is not a pattern", x))
		}
	}
	return errors.Join(append(errs, c.Rows.validate("rows"))...)
}

// HostNames is the database's host, if another one reaches it.
func (c *filesRenameByHash) HostNames() []string { return c.Rows.hosts() }

// Needs a login.
func (c *filesRenameByHash) Needs(on string) []checks.Check { return c.Rows.needs(on) }

// Repeatable: what is there is not made again.
func (c *filesRenameByHash) Repeatable() bool { return true }

// Underway: Apply looks at all that is there, and does the rest.
func (c *filesRenameByHash) Underway(Env) (bool, error) { return true, nil }

// stage is where files are put together before they get their names.
func (c *filesRenameByHash) stage(e Env) string { return path.Join(c.To, ".belay-"+e.ID) }

// Pending says how much there is; it does not read the files.
func (c *filesRenameByHash) Pending(ctx context.Context, e Env) ([]Change, error) {
	was, done, err := c.remembered(ctx, e)
	if err != nil {
		return nil, err
	}
	if done {
		if err := c.proof(ctx, e, was, false); err == nil {
			return nil, nil
		}
	}
	src, err := files.Read(ctx, e.Host, c.Path, files.Look{Exclude: c.Exclude, Loose: true})
	if errors.Is(err, files.ErrAbsent) {
		return []Change{{Text: fmt.Sprintf("give the files of %s names by their %s; how many can be told when it is there", c.Path, c.Of)}}, nil
	}
	if err != nil {
		return nil, err
	}
	defer src.Close()
	if src.Files == 0 && c.Rows == nil {
		return nil, nil
	}
	verb := "copy"
	if c.By == "link" {
		verb = "link"
	}
	all := []Change{{Text: fmt.Sprintf("%s %d files of %s to %s, under names by their %s", verb, src.Files, c.Path, c.To, c.Of), Bytes: src.Bytes}}
	if c.Rows == nil {
		return all, nil
	}
	return append(all, c.pendingRows(ctx, e, src)), nil
}

// pendingRows counts the rows that name one of the files. A table that cannot
// be read is no failure: an earlier step may make it.
func (c *filesRenameByHash) pendingRows(ctx context.Context, e Env, src *files.Tree) Change {
	names := map[string]bool{}
	err := src.Each(func(f files.Entry) error {
		if f.Type == 'f' {
			names[c.Rows.Old+f.Path] = true
		}
		return nil
	})
	var n int64
	if err == nil {
		err = c.Rows.each(ctx, e, func(r hashedRow) error {
			if names[r.Old] {
				n++
			}
			return nil
		})
	}
	if err != nil {
		return Change{Text: fmt.Sprintf("change %s of the rows that name them; how many cannot be told yet: %v", c.Rows, err)}
	}
	return Change{Text: fmt.Sprintf("change %s in one transaction", c.Rows), Rows: n}
}

// Verify reads the new files, and looks at old names and rows.
func (c *filesRenameByHash) Verify(ctx context.Context, e Env) error {
	m, _, err := c.remembered(ctx, e)
	if err != nil || m == nil {
		return err
	}
	return c.proof(ctx, e, m, true)
}

// proof holds a manifest against what is there. Files may have come since.
func (c *filesRenameByHash) proof(ctx context.Context, e Env, m *hashedManifest, sums bool) error {
	if sums {
		if s, err := fileLook(ctx, e, c.Manifest); err != nil {
			return err
		} else if _, sum := m.text(); s.Sum != sum {
			return fmt.Errorf("%s is not the manifest that this step wrote", c.Manifest)
		}
	}
	if err := m.hold(ctx, e, sums, true); err != nil {
		return err
	}
	if c.Rows == nil {
		return nil
	}
	return m.holdRows(ctx, e, c.Rows)
}

func hashedCmd(args ...string) remote.Cmd { return remote.Sh(hashedScript, args...) }

var _ interface {
	Undoer
	Resumer
	Repeater
	Needer
	Hoster
	Validator
} = &filesRenameByHash{}
