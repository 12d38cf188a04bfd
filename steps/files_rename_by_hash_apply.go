package steps

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"belay/remote"
	"belay/steps/files"
)

var hashedExtension = regexp.MustCompile(`^[A-Za-z0-9]{1,10}$`)

// name is what a file shall be called.
func (c *filesRenameByHash) name(p, sum string) string {
	base := path.Base(p)
	if c.Of == "name" {
		sum = hashedSum(base)
	}
	if i := strings.LastIndexByte(base, '.'); c.Extension && i > 0 && hashedExtension.MatchString(base[i+1:]) {
		return sum + base[i:]
	}
	return sum
}

// hashedWork is one look at all that there is.
type hashedWork struct {
	*hashedManifest
	todo  []hashedFile // of the files, those whose new name is to be made, each once
	left  []string     // what is no file and stays as it is
	alone []string     // files that no row names
	lost  []string     // rows that name no file
	todoR []hashedRow
}

// survey reads every file. was is what an earlier attempt remembered, or nil.
func (c *filesRenameByHash) survey(ctx context.Context, e Env, was *hashedManifest) (*hashedWork, error) {
	say := func(entries, read int64) {
		e.Say(Progress{Done: read, Unit: "files", Text: "read " + c.Path})
	}
	src, err := files.Read(ctx, e.Host, c.Path, files.Look{Exclude: append([]string{".belay-" + e.ID}, c.Exclude...), Sums: true, Say: say})
	if err != nil {
		return nil, err
	}
	defer src.Close()
	to, dst, err := c.target(ctx, e, src)
	if err != nil {
		return nil, err
	}
	w := &hashedWork{hashedManifest: &hashedManifest{From: src.Dir, To: to}}
	err = src.Each(func(f files.Entry) error {
		in := strings.HasPrefix(src.Dir+"/"+f.Path, to+"/") && to != src.Dir
		switch {
		case f.Type == 'd' || in:
		case f.Type != 'f':
			w.left = append(w.left, files.Name(f.Path))
		case f.Sum == "":
			return fmt.Errorf("%s cannot be read, or vanished meanwhile; nothing was changed", files.Name(f.Path))
		default:
			sum := hex.EncodeToString([]byte(f.Sum))
			w.Files = append(w.Files, hashedFile{Old: f.Path, New: c.name(f.Path, sum), Sum: sum, Size: f.Size})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	w.sort()
	if err := w.collide(dst, was); err != nil {
		return nil, err
	}
	if c.Rows != nil {
		err = c.surveyRows(ctx, e, w)
	}
	if was != nil {
		w.keep(was)
	}
	w.sort()
	return w, err
}

// target is the directory of the new names, with links followed, and what is
// there.
func (c *filesRenameByHash) target(ctx context.Context, e Env, src *files.Tree) (string, map[string]files.Entry, error) {
	s, err := fileLook(ctx, e, c.To)
	if err != nil {
		return "", nil, err
	}
	if s.Kind == "absent" {
		return s.Path, nil, nil
	}
	if s.Kind != "directory" {
		return "", nil, fmt.Errorf("%s is not a directory; nothing was changed", c.To)
	}
	dst, err := files.Read(ctx, e.Host, c.To, files.Look{Exclude: []string{"*/*"}, Sums: true})
	if err != nil {
		return "", nil, err
	}
	defer dst.Close()
	all := map[string]files.Entry{}
	return dst.Dir, all, dst.Each(func(f files.Entry) error {
		all[f.Path] = f
		return nil
	})
}

// collide finds out which new names are to be made, and refuses what cannot be.
func (w *hashedWork) collide(dst map[string]files.Entry, was *hashedManifest) error {
	ours := map[string]bool{}
	if was != nil {
		for _, f := range was.Files {
			ours[f.New] = f.Made
		}
	}
	first := map[string]int{}
	for i := range w.Files {
		f := &w.Files[i]
		if j, twice := first[f.New]; twice {
			if w.Files[j].Sum != f.Sum {
				return fmt.Errorf("%s and %s would get one name, and what they hold differs: hash the content instead; nothing was changed",
					files.Name(w.Files[j].Old), files.Name(f.Old))
			}
			f.Made = w.Files[j].Made
			continue
		}
		first[f.New] = i
		d, there := dst[f.New]
		switch {
		case !there:
			f.Made = true
			w.todo = append(w.todo, *f)
		case d.Type != 'f' || hex.EncodeToString([]byte(d.Sum)) != f.Sum:
			return fmt.Errorf("%s is in %s already, and is not what %s holds: look at both; nothing was changed", f.New, w.To, files.Name(f.Old))
		default:
			f.Made = ours[f.New]
		}
	}
	return nil
}

func (c *filesRenameByHash) surveyRows(ctx context.Context, e Env, w *hashedWork) error {
	match := w.match(c.Rows)
	err := c.Rows.each(ctx, e, func(r hashedRow) error {
		match.row(r, w.hashedManifest, c.Rows)
		return nil
	})
	w.Rows, w.lost = match.rows, match.lost
	w.todoR = slices.Clone(match.rows)
	for i, f := range w.Files {
		if !match.found[i] {
			w.alone = append(w.alone, files.Name(f.Old))
		}
	}
	return err
}

// keep takes over what an earlier attempt made and what it changed.
func (w *hashedWork) keep(was *hashedManifest) {
	have := map[string]bool{}
	for _, f := range w.Files {
		have[f.Old] = true
	}
	for _, f := range was.Files {
		if f.Made && !have[f.Old] {
			w.Files = append(w.Files, f)
		}
	}
	rows := map[string]bool{}
	for _, r := range w.Rows {
		rows[r.Key] = true
	}
	for _, r := range was.Rows {
		if !rows[r.Key] {
			w.Rows = append(w.Rows, r)
		}
	}
}

// judge names what does not fit together.
func (c *filesRenameByHash) judge(e Env, w *hashedWork) error {
	for _, l := range []struct {
		what string
		all  []string
	}{{"left as they are, for they are no files: ", w.left}, {"in no row of " + fmt.Sprint(c.Rows) + ": ", w.alone}, {"without a file: ", w.lost}} {
		if len(l.all) > 0 {
			fmt.Fprintln(e.Log, l.what+fileSome(l.all, 200))
		}
	}
	if c.Unmatched == "name" || len(w.alone)+len(w.lost) == 0 {
		return nil
	}
	var say []string
	if len(w.lost) > 0 {
		say = append(say, fmt.Sprintf("%d rows name no file (%s)", len(w.lost), fileSome(w.lost, 5)))
	}
	if len(w.alone) > 0 {
		say = append(say, fmt.Sprintf("%d files are in no row (%s)", len(w.alone), fileSome(w.alone, 5)))
	}
	return fmt.Errorf("%s: %s; nothing was changed. See whether path, old, column and where are right; if that is how it is, say unmatched: name", c.Rows, strings.Join(say, ", and "))
}

// Apply makes the new names, then changes the rows.
func (c *filesRenameByHash) Apply(ctx context.Context, e Env) error {
	was, _, err := c.remembered(ctx, e)
	if err != nil {
		return err
	}
	w, err := c.survey(ctx, e, was)
	if err != nil {
		return err
	}
	if err := c.judge(e, w); err != nil {
		return err
	}
	if err := c.room(ctx, e, w); err != nil {
		return err
	}
	if err := c.begin(ctx, e, w); err != nil {
		return err
	}
	if err := c.make(ctx, e, w); err != nil {
		return err
	}
	if c.Rows != nil {
		if err := c.change(ctx, e, w.todoR); err != nil {
			return fmt.Errorf("%s: %w; no row was changed, and the files have both names", c.Rows, err)
		}
	}
	fmt.Fprintf(e.Log, "%d files of %s have new names in %s, of which %d were made now; %d rows were changed; all stands in %s\n",
		len(w.Files), w.From, w.To, len(w.todo), len(w.todoR), c.Manifest)
	return e.Memory.Put(hashedDoneKey, true)
}

// room refuses before anything is written.
func (c *filesRenameByHash) room(ctx context.Context, e Env, w *hashedWork) error {
	p, err := files.LookAt(ctx, e.Host, c.To, "", "")
	if err != nil {
		return err
	}
	var need int64
	for _, f := range w.todo {
		need += f.Size
	}
	switch {
	case !p.Xargs:
		return fmt.Errorf("%s has no xargs -0: names with blanks and line breaks could not be told apart; nothing was changed", e.Host.Name)
	case c.By != "link" && need > p.Free:
		return fmt.Errorf("%s: %s are free there, and %d copies take %s; make room, or say by: link; nothing was changed",
			c.To, remote.FormatBytes(p.Free), len(w.todo), remote.FormatBytes(need))
	case c.By != "link" && p.Inodes > 0 && int64(len(w.todo)) > p.Inodes:
		return fmt.Errorf("%s: only %d more files can be made there, and it takes %d; nothing was changed", c.To, p.Inodes, len(w.todo))
	}
	return nil
}

// begin remembers everything and writes the manifest, before the first file is
// made.
func (c *filesRenameByHash) begin(ctx context.Context, e Env, w *hashedWork) error {
	text, sum := w.text()
	var rec hashedRecord
	if _, err := e.Memory.Get(hashedKey, &rec); err != nil {
		return err
	}
	s, err := fileLook(ctx, e, c.Manifest)
	if err != nil {
		return err
	}
	var before fileBefore
	if _, err := e.Memory.Get(fileBeforeKey, &before); err != nil {
		return err
	}
	if s.Kind != "absent" && !before.wrote(s.Sum) {
		return fmt.Errorf("%s is there already, and this step did not make it: name another manifest, or move that one away; nothing was changed", c.Manifest)
	}
	if rec.Sum == "" {
		in, err := fileLook(ctx, e, path.Join(c.To, "x"))
		if err != nil {
			return err
		}
		rec.Dirs = in.Made
	}
	rec.Sum, rec.Text = sum, ""
	if err := errors.Join(rec.pack(text), e.Memory.Put(hashedKey, rec)); err != nil {
		return err
	}
	return filePlace(ctx, e, s, fileWant{Sum: sum, Mode: "600", New: "600", Data: bytes.NewReader(text)})
}

const hashedFiles = 500 // made by one command

// make makes the new names. Each is put together aside and read back before it
// gets its name.
func (c *filesRenameByHash) make(ctx context.Context, e Env, w *hashedWork) error {
	done := 0
	for part := range slices.Chunk(w.todo, hashedFiles) {
		e.Say(Progress{Done: int64(done), Total: int64(len(w.todo)), Unit: "files", Text: "make " + c.To})
		if err := c.makeSome(ctx, e, w.hashedManifest, part); err != nil {
			return err
		}
		done += len(part)
	}
	if done == 0 {
		return nil
	}
	return e.Host.Run(ctx, hashedCmd("flush", w.To))
}

func (c *filesRenameByHash) makeSome(ctx context.Context, e Env, m *hashedManifest, part []hashedFile) error {
	var pairs, names bytes.Buffer
	want := map[string]string{}
	stage := path.Join(m.To, path.Base(c.stage(e)))
	for _, f := range part {
		fmt.Fprintf(&pairs, "./%s\x00%s/%s\x00", f.Old, stage, f.New)
		fmt.Fprintf(&names, "%s\x00", f.New)
		want[f.New] = f.Sum
	}
	cmd := hashedCmd("stage", m.From, m.To, stage, c.By)
	cmd.Stdin, cmd.Stderr = &pairs, e.Log
	out, err := remote.Output(ctx, e.Host, cmd)
	if err != nil {
		return fmt.Errorf("%s: %w; nothing but %s was written now", m.To, err, stage)
	}
	for line := range strings.Lines(string(out)) {
		sum, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "  ./")
		if want[name] != sum {
			return fmt.Errorf("%s: %q was written to while it was copied: stop who writes, and try again", m.From, name)
		}
		delete(want, name)
	}
	if len(want) > 0 {
		return fmt.Errorf("%s: %d of %d files did not arrive, the first is %s", stage, len(want), len(part), slices.Sorted(maps.Keys(want))[0])
	}
	cmd = hashedCmd("put", stage, m.To)
	cmd.Stdin, cmd.Stderr = &names, e.Log
	if err := e.Host.Run(ctx, cmd); err != nil {
		return fmt.Errorf("%s: %w", m.To, err)
	}
	return nil
}

// change sets the rows from old to new, all or none.
func (c *filesRenameByHash) change(ctx context.Context, e Env, rows []hashedRow) error {
	if len(rows) == 0 {
		return nil
	}
	t, err := c.Rows.open(ctx, e)
	if err != nil {
		return err
	}
	defer t.close()
	odd := func(r hashedRow, now string, there bool) error {
		if !there {
			return fmt.Errorf("row %q was deleted meanwhile: stop who writes, and try again", r.Key)
		}
		return fmt.Errorf("row %q names %q now, and no more %q: stop who writes, and try again", r.Key, now, r.Old)
	}
	return t.change(ctx, rows, odd, func(done int) {
		e.Say(Progress{Done: int64(done), Total: int64(len(rows)), Unit: "rows", Text: "change " + c.Rows.String()})
	})
}
