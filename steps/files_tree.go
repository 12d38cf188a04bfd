package steps

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"belay/remote"
)

//go:embed files_list.sh
var fileListScript string

// fileTree copies a directory of this machine to a host.
type fileTree struct{ from, to, owner string }

// fileEntry is one entry of a tree.
type fileEntry struct {
	kind string // file, directory, link or other
	mode string // "755"; not of a link
	what string // SHA-256 of a file, target of a link
	size int64  // on this machine only
	user string // "root:root"; on the host only
}

type fileEntries map[string]fileEntry // by path within the tree; the top is "."

func (t fileTree) swap(e Env) fileSwap {
	beside := path.Join(path.Dir(t.to), "."+path.Base(t.to)+".belay-"+e.ID)
	return fileSwap{To: path.Clean(t.to), Stage: beside + ".part", Aside: beside}
}

// here lists the tree on this machine.
func (t fileTree) here() (fileEntries, error) {
	all := fileEntries{}
	err := filepath.WalkDir(t.from, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(t.from, p)
		if err != nil {
			return err
		}
		if strings.ContainsAny(rel, "\n\\") {
			return fmt.Errorf("%s: a name with a line break or a backslash in it is not supported", p)
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		entry, err := fileEntryHere(p, st)
		all[filepath.ToSlash(rel)] = entry
		return err
	})
	if err == nil && all["."].kind != "directory" {
		err = fmt.Errorf("%s is not a directory; leave dir out to copy a file", t.from)
	}
	if err != nil {
		return nil, fmt.Errorf("on this machine: %w", err)
	}
	return all, nil
}

func fileEntryHere(p string, st fs.FileInfo) (fileEntry, error) {
	e := fileEntry{mode: fmt.Sprintf("%o", st.Mode().Perm())}
	switch {
	case st.IsDir():
		e.kind = "directory"
		return e, nil
	case st.Mode()&fs.ModeSymlink != 0:
		to, err := os.Readlink(p)
		return fileEntry{kind: "link", what: to}, err
	case !st.Mode().IsRegular():
		return e, fmt.Errorf("%s is neither a file, a directory nor a link", p)
	}
	f, err := os.Open(p)
	if err != nil {
		return e, err
	}
	h := sha256.New()
	e.size, err = io.Copy(h, f)
	e.kind, e.what = "file", hex.EncodeToString(h.Sum(nil))
	return e, errors.Join(err, f.Close())
}

// there lists a tree on the host; nil when there is none.
func (t fileTree) there(ctx context.Context, e Env, dir string) (fileEntries, error) {
	c := remote.Sh(fileListScript, dir)
	c.Pure = true
	out, err := remote.Output(ctx, e.Host, c)
	if exit, ok := errors.AsType[*remote.ExitError](err); ok && exit.Status == 44 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return fileParseList(string(out)), nil
}

// fileParseList reads what files_list.sh says. Lines that it does not
// understand (names with line breaks) become entries that are like no other.
func fileParseList(out string) fileEntries {
	all := fileEntries{}
	kinds := map[string]string{"regular file": "file", "regular empty file": "file", "directory": "directory", "symbolic link": "link"}
	lines := strings.Split(out, "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		if line == "" {
			continue
		}
		if name, ok := strings.CutPrefix(line, "L"); ok && i+1 < len(lines) {
			i++
			name = path.Clean(name)
			all[name] = fileEntry{kind: "link", what: lines[i], user: all[name].user}
			continue
		}
		if rest, ok := strings.CutPrefix(line, "H"); ok && len(rest) > 66 {
			name := path.Clean(rest[66:])
			entry := all[name]
			entry.what = rest[:64]
			all[name] = entry
			continue
		}
		f := strings.SplitN(line, "|", 5)
		if len(f) != 5 {
			all[line] = fileEntry{kind: "other"}
			continue
		}
		kind := kinds[f[1]]
		if kind == "" {
			kind = "other"
		}
		all[path.Clean(f[4])] = fileEntry{kind: kind, mode: f[0], user: f[2] + ":" + f[3]}
	}
	return all
}

// differences names the entries that are not alike, sorted.
func (t fileTree) differences(want, have fileEntries) []string {
	var diff []string
	for _, name := range slices.Sorted(maps.Keys(want)) {
		w, h := want[name], have[name]
		user, group, _ := strings.Cut(t.owner, ":")
		isUser, isGroup, _ := strings.Cut(h.user, ":")
		switch {
		case h.kind == "":
			diff = append(diff, name+" is missing")
		case w.kind != h.kind:
			diff = append(diff, fmt.Sprintf("%s is a %s", name, h.kind))
		case w.what != h.what:
			diff = append(diff, name+" differs")
		case w.kind != "link" && w.mode != h.mode:
			diff = append(diff, fmt.Sprintf("%s has mode %s instead of %s", name, h.mode, w.mode))
		case user != "" && user != isUser, group != "" && group != isGroup:
			diff = append(diff, fmt.Sprintf("%s belongs to %s", name, h.user))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if _, ok := want[name]; !ok {
			diff = append(diff, name+" is too much")
		}
	}
	return diff
}

func (t fileTree) pending(ctx context.Context, e Env) ([]Change, error) {
	want, err := t.here()
	if err != nil {
		return nil, err
	}
	have, err := t.there(ctx, e, t.to)
	if err != nil {
		return nil, err
	}
	diff := t.differences(want, have)
	if len(diff) == 0 {
		return nil, nil
	}
	ch := Change{Text: fmt.Sprintf("make %s of %d entries from %s (new)", t.to, len(want), t.from)}
	for _, w := range want {
		ch.Bytes += w.size
	}
	if have != nil {
		ch.Text = fmt.Sprintf("replace %s by %s; the one there is kept as %s. Differences: %d (%s)",
			t.to, t.from, t.swap(e).Aside, len(diff), fileSome(diff, 5))
	}
	return []Change{ch}, nil
}

// fileSome writes the first n of a list.
func fileSome(list []string, n int) string {
	if len(list) > n {
		return strings.Join(list[:n], ", ") + fmt.Sprintf(" and %d more", len(list)-n)
	}
	return strings.Join(list, ", ")
}

func (t fileTree) apply(ctx context.Context, e Env) error {
	want, err := t.here()
	if err != nil {
		return err
	}
	have, err := t.there(ctx, e, t.to)
	if err != nil || len(t.differences(want, have)) == 0 {
		return err
	}
	w := t.swap(e)
	rec, err := w.begin(ctx, e)
	if err != nil {
		return err
	}
	if err := t.send(ctx, e, want, w.Stage); err != nil {
		return err
	}
	got, err := t.there(ctx, e, w.Stage)
	if err != nil {
		return err
	}
	if diff := t.differences(want, got); len(diff) > 0 {
		return fmt.Errorf("%s: what arrived in %s is not what was sent (%s); %s was left as it was", t.to, w.Stage, fileSome(diff, 5), t.to)
	}
	if rec.Print, err = filePrint(ctx, e, w.Stage); err != nil {
		return err
	}
	if err := w.commit(ctx, e, rec); err != nil {
		return err
	}
	fmt.Fprintf(e.Log, "copied %d entries to %s\n", len(want), t.to)
	return nil
}

// send streams the tree as a tar archive into the stage.
func (t fileTree) send(ctx context.Context, e Env, want fileEntries, stage string) error {
	const script = `rm -rf "$1" && mkdir -p "${1%/*}/" && (umask 077; mkdir "$1") && tar -xopf - -C "$1" || exit 1
[ -z "$2" ] || chown -R -h "$2" "$1"`
	r, w := io.Pipe()
	defer r.Close()
	go func() { w.CloseWithError(t.write(w, want, e.Say)) }()
	c := remote.Sh(script, stage, t.owner)
	sent := &fileErrReader{r: r}
	c.Stdin = sent
	err := e.Host.Run(ctx, c)
	if failed := sent.err.Load(); failed != nil {
		err = *failed // the host only saw a stream that ended early
	}
	if err != nil {
		return fmt.Errorf("%s: copy %s there: %w", stage, t.from, err)
	}
	return nil
}

// fileErrReader keeps the error that a Runner does not tell: for it, the end
// of stdin is the end.
type fileErrReader struct {
	r   io.Reader
	err atomic.Pointer[error]
}

func (f *fileErrReader) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && err != io.EOF {
		f.err.Store(&err)
	}
	return n, err
}

func (t fileTree) write(out io.Writer, want fileEntries, say func(Progress)) error {
	var total int64
	for _, w := range want {
		total += w.size
	}
	tw := tar.NewWriter(out)
	var done int64
	for _, name := range slices.Sorted(maps.Keys(want)) {
		w := want[name]
		h := &tar.Header{Name: "./" + name, Format: tar.FormatGNU}
		switch w.kind {
		case "directory":
			h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
		case "link":
			h.Typeflag, h.Linkname = tar.TypeSymlink, w.what
		default:
			h.Typeflag, h.Size = tar.TypeReg, w.size
		}
		if err := fileHeader(tw, h, filepath.Join(t.from, filepath.FromSlash(name))); err != nil {
			return err
		}
		done += w.size
		say(Progress{Done: done, Total: total, Unit: "B", Text: name})
	}
	return tw.Close()
}

func fileHeader(tw *tar.Writer, h *tar.Header, p string) error {
	st, err := os.Lstat(p)
	if err != nil {
		return err
	}
	h.Mode, h.ModTime = int64(st.Mode().Perm()), st.ModTime()
	if err := tw.WriteHeader(h); err != nil || h.Typeflag != tar.TypeReg {
		return err
	}
	f, err := os.Open(p)
	if err != nil {
		return err
	}
	_, err = io.Copy(tw, f) // more than the header said is an error of tw
	return errors.Join(err, f.Close())
}

func (t fileTree) verify(ctx context.Context, e Env) error {
	want, err := t.here()
	if err != nil {
		return err
	}
	have, err := t.there(ctx, e, t.to)
	if err != nil {
		return err
	}
	if diff := t.differences(want, have); len(diff) > 0 {
		return fmt.Errorf("%s is not like %s: %s", t.to, t.from, fileSome(diff, 5))
	}
	return nil
}

func (t fileTree) undo(ctx context.Context, e Env) error {
	w := t.swap(e)
	return w.undo(ctx, e, func() (string, error) { return filePrint(ctx, e, w.To) })
}
