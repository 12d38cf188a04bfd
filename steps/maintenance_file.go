package steps

import (
	"context"
	"errors"
	"fmt"

	"belay/remote"
)

// copyStep is the kind that puts the file and takes it back.
func (c *maintenance) copyStep() *filesCopy {
	f := c.File
	return &filesCopy{Content: &f.Content, To: f.Path, Mode: f.Mode, Owner: f.Owner, Group: f.Group}
}

func (c *maintenance) filePending(ctx context.Context, e Env, rec maintenanceRec, begun bool) ([]Change, error) {
	var all []Change
	if c.Switch == "off" {
		s, err := fileLook(ctx, e, c.File.Path)
		if err != nil {
			return nil, err
		}
		if s.Kind != "absent" {
			all = append(all, Change{Text: "take away " + c.File.Path})
		}
	} else {
		var err error
		if all, err = c.copyStep().Pending(ctx, e); err != nil {
			return nil, err
		}
	}
	if c.File.Then != "" && (len(all) > 0 || begun && rec.Changed && rec.Done != c.Switch) {
		all = append(all, Change{Text: "then run", Cmd: c.File.Then})
	}
	return all, nil
}

func (c *maintenance) fileApply(ctx context.Context, e Env, rec maintenanceRec) error {
	todo, err := c.filePending(ctx, e, rec, true)
	if err != nil {
		return err
	}
	if len(todo) == 0 {
		rec.Done = c.Switch
		return e.Memory.Put(maintenanceKey, rec)
	}
	rec.Changed, rec.Done = true, ""
	if c.Switch == "off" {
		err = c.fileAway(ctx, e, &rec)
	} else if err = e.Memory.Put(maintenanceKey, rec); err == nil {
		err = c.copyStep().Apply(ctx, e)
	}
	if err != nil {
		return err
	}
	if err := c.then(ctx, e); err != nil {
		if !isExit(err) {
			return err
		}
		back := c.fileUndo(ctx, e, rec)
		if back == nil {
			return fmt.Errorf("%w; the file was put back as it was", err)
		}
		return errors.Join(err, back)
	}
	rec.Done = c.Switch
	fmt.Fprintf(e.Log, "maintenance was switched %s by %s\n", c.Switch, c.File.Path)
	return e.Memory.Put(maintenanceKey, rec)
}

// fileAway keeps the very file beside its place.
func (c *maintenance) fileAway(ctx context.Context, e Env, rec *maintenanceRec) error {
	s, err := fileLook(ctx, e, c.File.Path)
	switch {
	case err != nil:
		return err
	case s.Kind == "directory" || s.Kind == "other":
		return fmt.Errorf("%s is not a regular file; nothing was changed", c.File.Path)
	case s.Kind == "absent":
		return e.Memory.Put(maintenanceKey, *rec)
	}
	rec.File, rec.Sum = s.Path, s.Sum
	if err := e.Memory.Put(maintenanceKey, *rec); err != nil {
		return err
	}
	const script = `s=$(sha256sum <"$1") || exit 1
[ "${s%% *}" = "$3" ] || exit 43
mv -f "$1" "$2"`
	return fileChanged(s.Path, e.Host.Run(ctx, remote.Sh(script, s.Path, s.Copy(), s.Sum)))
}

// then tells the service to look.
func (c *maintenance) then(ctx context.Context, e Env) error {
	if c.File.Then == "" {
		return nil
	}
	cmd := remote.Sh(c.File.Then)
	cmd.Stdout, cmd.Stderr = e.Log, e.Log
	if err := e.Host.Run(ctx, cmd); err != nil {
		return fmt.Errorf("after %s was switched: %w", c.File.Path, err)
	}
	return nil
}

func (c *maintenance) fileVerify(ctx context.Context, e Env) error {
	if c.Switch == "on" {
		return c.copyStep().Verify(ctx, e)
	}
	s, err := fileLook(ctx, e, c.File.Path)
	if err == nil && s.Kind != "absent" {
		err = fmt.Errorf("%s is there again", c.File.Path)
	}
	return err
}

func (c *maintenance) fileUndo(ctx context.Context, e Env, rec maintenanceRec) error {
	if c.Switch == "on" {
		if err := c.copyStep().Undo(ctx, e); err != nil {
			return err
		}
		return c.then(ctx, e)
	}
	if rec.File == "" {
		return nil
	}
	const script = `[ -e "$2" ] || exit 0
[ ! -e "$1" ] || { echo "$1 is there again; it was left as it is, and the former one is $2" >&2; exit 1; }
mv "$2" "$1"`
	copied := fileState{Path: rec.File, copyID: e.ID}.Copy()
	if err := e.Host.Run(ctx, remote.Sh(script, rec.File, copied)); err != nil {
		return fmt.Errorf("%s: %w", rec.File, err)
	}
	return c.then(ctx, e)
}
