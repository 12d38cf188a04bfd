package steps

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"belay/remote"
	"belay/remote/secret"
)

func init() {
	register(Kind{
		Name:    "files.edit",
		Summary: "Changes single settings in a file (environment file, lines, JSON, YAML) and nothing else in it; shows the diff, keeps a copy.",
		Example: `- step: Point the app at the new database
  on: app
  files.edit:
    path: /srv/app/.env
    env:
      set: {DB_HOST: db2.internal, DB_PASSWORD: {secret: db_password}}
      rename: {MAIL_DRIVER: MAIL_MAILER}
      remove: [LEGACY_MODE]
`,
		New: func() Step { return &filesEdit{} },
	})
}

// fileValue is a text of the plan or a secret.
type fileValue struct {
	Text   string `yaml:"text" scalar:"" doc:"the text"`
	Secret string `yaml:"secret" secretname:"" doc:"name of a secret, instead of text"`
}

type filesEdit struct {
	Path   string        `yaml:"path" required:"" doc:"absolute path of the file; a symbolic link is followed"`
	Create bool          `yaml:"create" doc:"make the file if it is not there (mode 0600 if a secret goes into it); otherwise that is an error"`
	Mode   string        `yaml:"mode" doc:"permissions, such as 0600; left out, they stay"`
	Env    *fileEnvEdit  `yaml:"env" doc:"changes to KEY=value lines; comments, order, quotes, export and line breaks stay"`
	Lines  *fileLineEdit `yaml:"lines" doc:"changes to the lines of any text file"`
	JSON   *filePathEdit `yaml:"json" doc:"changes to a JSON file by path; key order and indentation stay"`
	YAML   *filePathEdit `yaml:"yaml" doc:"changes to a YAML file by path; comments, order, quotes and indentation stay"`
}

func (c *filesEdit) Validate() error {
	errs := []error{fileCheckPath("path", c.Path), fileCheckMeta(c.Mode, "", "")}
	n := 0
	if c.Env != nil {
		n++
		errs = append(errs, c.Env.validate()...)
	}
	if c.JSON != nil {
		n++
		errs = append(errs, c.JSON.validate("json")...)
	}
	if c.YAML != nil {
		n++
		errs = append(errs, c.YAML.validate("yaml")...)
	}
	switch {
	case n > 1:
		errs = append(errs, Field("path", "a file is an environment file, JSON or YAML: only one of env, json and yaml can be given"))
	case n == 0 && c.Lines == nil:
		errs = append(errs, Field("path", "nothing is to be changed: one of env, lines, json, yaml is needed"))
	}
	if c.Lines != nil {
		errs = append(errs, c.Lines.validate()...)
	}
	return errors.Join(errs...)
}

func (c *filesEdit) Repeatable() bool { return true }

// fileEdited is one look at a file: as it is, as it shall be, and both as they
// may be shown.
type fileEdited struct {
	state          fileState
	old, new       string
	shownA, shownB string
	hide           *secret.Redactor
	secrets        bool
}

func (c *filesEdit) look(ctx context.Context, e Env) (ed fileEdited, err error) {
	if ed.state, err = fileLook(ctx, e, c.Path); err != nil {
		return ed, err
	}
	switch {
	case ed.state.Kind == "absent" && !c.Create:
		return ed, fmt.Errorf("%s is not there; if it shall be made, say create: true", c.Path)
	case ed.state.Kind == "file":
		if ed.old, err = c.read(ctx, e, ed.state); err != nil {
			return ed, err
		}
	case ed.state.Kind != "absent":
		return ed, fmt.Errorf("%s is not a regular file", c.Path)
	}
	ed.hide = &secret.Redactor{}
	reveal := func(name string) (string, error) {
		v, err := e.Secret(ctx, name)
		if err != nil {
			return "", err
		}
		ed.hide.Add(v)
		ed.secrets = true
		return v.Reveal(), nil
	}
	if ed.new, err = c.edit(ed.old, reveal); err != nil {
		return ed, fmt.Errorf("%s: %w", c.Path, err)
	}
	if ed.shownB, err = c.edit(ed.old, fileMasked); err != nil {
		return ed, fmt.Errorf("%s: %w", c.Path, err)
	}
	ed.shownA = c.masked(ed.old)
	return ed, nil
}

func fileMasked(string) (string, error) { return secret.Mask, nil }

func (c *filesEdit) read(ctx context.Context, e Env, s fileState) (string, error) {
	b, err := remote.ReadFile(ctx, e.Host, s.Path)
	if err != nil {
		return "", err
	}
	if bytes.IndexByte(b, 0) >= 0 {
		return "", fmt.Errorf("%s is not a text file (it holds NUL bytes)", c.Path)
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != s.Sum {
		return "", fmt.Errorf("%s is being changed by somebody else right now; try again", c.Path)
	}
	return string(b), nil
}

// edit is the whole change, from text to text. reveal gives the secrets.
func (c *filesEdit) edit(text string, reveal func(name string) (string, error)) (string, error) {
	text, bom := strings.CutPrefix(text, "\ufeff")
	var err error
	switch {
	case c.Env != nil:
		text, err = c.Env.apply(text, func(v fileValue) (string, error) {
			if v.Secret != "" {
				return reveal(v.Secret)
			}
			return v.Text, nil
		})
	case c.JSON != nil:
		text, err = c.JSON.apply("json", text, fileJSONEdit, fileRevealer(reveal))
	case c.YAML != nil:
		text, err = c.YAML.apply("yaml", text, fileYAMLEdit, fileRevealer(reveal))
	}
	if err == nil && c.Lines != nil {
		text, err = c.Lines.apply(text)
	}
	if bom {
		text = "\ufeff" + text
	}
	return text, err
}

// fileRevealer puts secrets in the place of {secret: name}, at any depth.
func fileRevealer(reveal func(name string) (string, error)) func(any) (any, error) {
	var fill func(v any) (any, error)
	fill = func(v any) (any, error) {
		switch v := v.(type) {
		case map[string]any:
			if name, ok := v["secret"].(string); ok && len(v) == 1 {
				return reveal(name)
			}
			out := map[string]any{}
			for k, x := range v {
				filled, err := fill(x)
				if err != nil {
					return nil, err
				}
				out[k] = filled
			}
			return out, nil
		case []any:
			out := make([]any, len(v))
			for i, x := range v {
				var err error
				if out[i], err = fill(x); err != nil {
					return nil, err
				}
			}
			return out, nil
		}
		return v, nil
	}
	return fill
}

// masked is text with a mask where a secret is to be set: what stands there
// before is most likely a secret, too.
func (c *filesEdit) masked(text string) string {
	text, bom := strings.CutPrefix(text, "\ufeff")
	switch {
	case c.Env != nil:
		text = c.Env.masked(text)
	case c.JSON != nil:
		text = c.JSON.masked(text, fileJSONEdit)
	case c.YAML != nil:
		text = c.YAML.masked(text, fileYAMLEdit)
	}
	if bom {
		text = "\ufeff" + text
	}
	return text
}

func (ed fileEnvEdit) masked(text string) string {
	lines := fileEnvParse(text)
	var b strings.Builder
	for _, l := range lines {
		key := l.key
		if to, ok := ed.Rename[key]; ok {
			key = to
		}
		if v, ok := ed.Set[key]; ok && v.Secret != "" && l.key != "" {
			l.value = secret.Mask + strings.Repeat("\n", strings.Count(l.value, "\n"))
		}
		b.WriteString(l.String())
	}
	return b.String()
}

func (ed filePathEdit) masked(text string, by fileTextEdit) string {
	for p, v := range ed.Set {
		hidden := false
		_, _ = fileRevealer(func(string) (string, error) { hidden = true; return "", nil })(v)
		segs, err := filePath(p)
		if !hidden || err != nil {
			continue
		}
		if _, err := by.remove(text, segs); errors.Is(err, errFileNoSuch) {
			continue // nothing stands there yet
		}
		if out, err := by.set(text, segs, secret.Mask); err == nil {
			text = out
		} else {
			return "" // rather no diff than one that tells
		}
	}
	return text
}

func (ed fileEdited) diff(path string) string {
	return ed.hide.String(fileDiffShown(path, ed.old, ed.new, ed.shownA, ed.shownB))
}

func (c *filesEdit) want(ed fileEdited) fileWant {
	sum := sha256.Sum256([]byte(ed.new))
	w := fileWant{Sum: hex.EncodeToString(sum[:]), Mode: c.Mode, New: "0644", Data: strings.NewReader(ed.new)}
	if ed.secrets {
		w.New = "0600"
	}
	return w
}

func (c *filesEdit) Pending(ctx context.Context, e Env) ([]Change, error) {
	ed, err := c.look(ctx, e)
	if err != nil {
		return nil, err
	}
	fileSeen(e, ed.state)
	var changes []Change
	if ed.state.Kind == "absent" {
		changes = append(changes, Change{Text: "make " + c.Path, Diff: ed.diff(c.Path)})
	} else if ed.new != ed.old {
		d := ed.diff(c.Path)
		changes = append(changes, Change{Text: fmt.Sprintf("edit %s (%s)%s", c.Path, fileDiffCount(d), c.twice(ed.old)), Diff: d})
	}
	if ed.state.Kind == "file" {
		for _, d := range c.want(ed).metaDiffers(ed.state) {
			changes = append(changes, Change{Text: fmt.Sprintf("set %s: %s", c.Path, d)})
		}
	}
	return changes, nil
}

// twice warns about keys that stand several times.
func (c *filesEdit) twice(text string) string {
	if c.Env == nil {
		return ""
	}
	n, out := map[string]int{}, ""
	for _, l := range fileEnvParse(text) {
		if _, ok := c.Env.Set[l.key]; ok && l.key != "" {
			if n[l.key]++; n[l.key] == 2 {
				out += fmt.Sprintf("; %s stands there more than once: the last one counts and is changed", l.key)
			}
		}
	}
	return out
}

func (c *filesEdit) Apply(ctx context.Context, e Env) error {
	ed, err := c.look(ctx, e)
	if err != nil {
		return err
	}
	if err := fileAsSeen(e, ed.state); err != nil {
		return err
	}
	if err := filePlace(ctx, e, ed.state, c.want(ed)); err != nil {
		return err
	}
	if ed.new != ed.old {
		fmt.Fprintf(e.Log, "edited %s:\n%s", c.Path, ed.diff(c.Path))
	}
	return nil
}

// Verify reads the file back and asks whether anything would still change.
func (c *filesEdit) Verify(ctx context.Context, e Env) error {
	ed, err := c.look(ctx, e)
	if err != nil {
		return err
	}
	if ed.state.Kind != "file" {
		return fmt.Errorf("%s is not there", c.Path)
	}
	if ed.new != ed.old {
		return fmt.Errorf("%s does not hold what was asked:\n%s", c.Path, ed.diff(c.Path))
	}
	if d := c.want(ed).metaDiffers(ed.state); len(d) > 0 {
		return fmt.Errorf("%s has %s", c.Path, d[0])
	}
	return nil
}

// Undo puts the old bytes back, unless somebody else changed the file since.
func (c *filesEdit) Undo(ctx context.Context, e Env) error {
	return fileUnplace(ctx, e, func(b fileBefore, s fileState) error {
		diff := ""
		if s.Kind == "file" {
			now, err := c.read(ctx, e, s)
			if err != nil {
				return errors.Join(fileConflict(b, s, ""), err)
			}
			old := ""
			if s.CopySum != fileAbsent {
				kept, err := remote.ReadFile(ctx, e.Host, s.Copy())
				if err != nil {
					return errors.Join(fileConflict(b, s, ""), err)
				}
				old = string(kept)
			}
			diff = fileDiffShown(c.Path, now, old, c.masked(now), c.masked(old))
		}
		return fileConflict(b, s, diff)
	})
}
