package steps

import (
	"context"
	"fmt"
	"path"
	"slices"

	"belay/remote"
	"belay/steps/files"
)

// Apply sends what differs, in archives that are unpacked while they come.
// Whatever an earlier attempt brought stays; what it left half done differs,
// and is sent again.
func (c *filesSync) Apply(ctx context.Context, e Env) error {
	w, err := c.look(ctx, e)
	defer w.close()
	if err != nil {
		return err
	}
	if err := c.enough(w); err != nil {
		return err
	}
	if err := c.remember(e, w); err != nil {
		return err
	}
	if err := c.ready(ctx, e, w); err != nil {
		return err
	}
	if err := c.send(ctx, e, w); err != nil {
		return fmt.Errorf("%w; what had arrived stays in %s, and the next attempt goes on from there", err, c.To)
	}
	return c.finish(ctx, e, w)
}

// remember keeps what Undo needs, before anything is changed.
func (c *filesSync) remember(e Env, w *filesSyncWork) error {
	if !w.begun {
		w.rec = filesSynced{Was: w.dst.Kind, Mode: w.dst.Mode, Owner: w.dst.Owner, Dir: path.Clean(c.To.Path)}
		if w.dst.Kind != "absent" {
			w.rec.Dir = w.dst.Top
		}
		if w.rec.Was == "full" {
			w.rec.Aside = c.aside(e, w)
		}
	}
	w.rec.Begun, w.rec.Print = w.old.At.Unix(), ""
	return e.Memory.Put(filesSyncKey, w.rec)
}

// ready makes way for what comes, and the directories for it.
func (c *filesSync) ready(ctx context.Context, e Env, w *filesSyncWork) error {
	var acts []files.Act
	add := func(do byte, paths ...string) {
		for _, p := range paths {
			acts = append(acts, files.Act{Do: do, Path: p})
		}
	}
	ours := func(string) bool { return true }
	if w.rec.Was == "full" {
		ours = func(p string) bool { return w.made[p] }
		for _, d := range w.todo.Meta {
			add('s', d.Path)
		}
		fresh, err := w.todo.Fresh()
		if err != nil {
			return err
		}
		for _, p := range fresh {
			if !w.made[p] {
				add('c', p)
			}
		}
	}
	for _, p := range slices.Concat(w.todo.Remove, w.todo.Replace) {
		switch {
		case ours(p) && w.todo.Update[p]: // it stays until it is replaced
		case ours(p):
			add('r', p)
		case w.todo.Update[p]:
			add('k', p)
		default:
			add('m', p)
		}
	}
	for _, d := range w.todo.Dirs {
		add('d', d.Path)
	}
	if len(acts) == 0 && w.dst.Kind != "absent" {
		return nil
	}
	return files.Ready(ctx, w.to, w.rec.Dir, w.rec.Aside, acts)
}

// finish remembers what the target is now.
func (c *filesSync) finish(ctx context.Context, e Env, w *filesSyncWork) error {
	print, err := c.print(ctx, e, w.to, w.rec)
	if err != nil {
		return err
	}
	w.rec.Print = print
	if err := e.Memory.Put(filesSyncKey, w.rec); err != nil {
		return err
	}
	t := w.todo
	fmt.Fprintf(e.Log, "sent %s and %s (%s) of %s to %s\n", filesCount(t.Send, "file"), filesCount(int64(len(t.Dirs)), "directory"), remote.FormatBytes(t.Bytes), c.From, c.To)
	if w.rec.Aside != "" && len(t.Replace)+len(t.Remove) > 0 {
		fmt.Fprintf(e.Log, "what was there before and had to go is kept in %s\n", w.rec.Aside)
	}
	for _, p := range t.Skipped {
		fmt.Fprintf(e.Log, "left out, for it is a socket: %s\n", files.Name(p))
	}
	return nil
}

func (c *filesSync) print(ctx context.Context, e Env, to remote.Host, rec filesSynced) (string, error) {
	_, inside := c.asides(e.ID)
	t, err := files.Read(ctx, to, rec.Dir, files.Look{Exclude: []string{"/" + path.Base(inside)}, Loose: true})
	if err != nil {
		return "", err
	}
	print, err := t.Print()
	_ = t.Close() // an unlinked temporary file
	return print, err
}

// Undo makes the target what it was. What was written there since the step was
// done is kept: the copy then goes to a directory of its own.
func (c *filesSync) Undo(ctx context.Context, e Env) error {
	var rec filesSynced
	found, err := e.Memory.Get(filesSyncKey, &rec)
	if err != nil || !found {
		return err
	}
	to, err := filesSyncHost(e, c.To.Host)
	if err != nil {
		return err
	}
	beside, inside := c.asides(e.ID)
	dst, err := files.LookAt(ctx, to, rec.Dir, beside, inside)
	if err != nil {
		return err
	}
	if dst.Kind != "empty" && dst.Kind != "full" {
		return nil
	}
	after := ""
	if rec.Print != "" {
		now, err := c.print(ctx, e, to, rec)
		if err != nil {
			return err
		}
		if now != rec.Print {
			after = c.after(e, rec)
		}
	}
	if rec.Was == "full" {
		err = c.undoDelta(ctx, to, rec, after)
	} else {
		err = filesSyncClear(ctx, to, rec, after)
	}
	if err == nil && after != "" {
		fmt.Fprintf(e.Log, "%s was written to after this step; what this step had brought, as it was in the end, is kept in %s\n", c.To, after)
	}
	return err
}

// after is where a copy goes that somebody wrote to.
func (c *filesSync) after(e Env, rec filesSynced) string {
	_, inside := c.asides(e.ID)
	if path.Dir(rec.Aside) == rec.Dir && rec.Aside != "" {
		return inside + ".after"
	}
	return rec.Dir + ".after-" + e.ID
}

func (c *filesSync) undoDelta(ctx context.Context, to remote.Host, rec filesSynced, after string) error {
	if there, err := filesIsDir(ctx, to, rec.Aside); err != nil || !there {
		return err // nothing was done yet, or all is back
	}
	kept, err := files.Recall(ctx, to, rec.Aside)
	if err != nil {
		return err
	}
	if err := kept.Back(ctx, to, rec.Dir, rec.Aside, after); err != nil {
		return err
	}
	if err := to.Run(ctx, remote.Sh(`rm -rf "$1"`, rec.Aside)); err != nil {
		return fmt.Errorf("%s on %s: %w", rec.Aside, to.Name, err)
	}
	return nil
}

func filesIsDir(ctx context.Context, h remote.Host, dir string) (bool, error) {
	cmd := remote.Sh(`[ -d "$1" ] && echo yes || echo no`, dir)
	cmd.Pure = true
	out, err := remote.Output(ctx, h, cmd)
	return string(out) == "yes\n", err
}

// filesSyncClear empties a directory that was empty, or not there, before.
func filesSyncClear(ctx context.Context, to remote.Host, rec filesSynced, after string) error {
	const script = `cd -P -- "$1" || exit 1
if [ -n "$2" ]; then
	[ ! -e "$2" ] || { echo "$2 exists already: move it away; $1 was left as it is" >&2; exit 1; }
	(umask 077; mkdir "$2.part") || exit 1
	find . ! -name . -prune -exec sh -c 'to=$0; for e do mv "$e" "$to/" || exit 1; done' "$2.part" {} + || exit 1
	mv "$2.part" "$2" || exit 1
else
	find . ! -name . -prune -exec rm -rf {} + || exit 1
fi
if [ "$3" = absent ]; then
	cd / && rmdir "$1"
else
	chown "$5" . && chmod "$4" .
fi`
	if err := to.Run(ctx, remote.Sh(script, rec.Dir, after, rec.Was, rec.Mode, rec.Owner)); err != nil {
		return fmt.Errorf("%s on %s: take the copy away: %w", rec.Dir, to.Name, err)
	}
	return nil
}
