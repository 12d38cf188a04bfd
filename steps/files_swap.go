package steps

import (
	"context"
	_ "embed"
	"fmt"
	"path"
	"slices"
	"strings"

	"belay/remote"
)

var (
	//go:embed files_swap.sh
	fileSwapScript string
	//go:embed files_unswap.sh
	fileUnswapScript string
)

// fileSwap replaces a directory as a whole: the new one is built beside it
// (Stage) and takes its place by renaming, the old one stays at Aside.
type fileSwap struct {
	To, Stage, Aside string
}

// fileSwapped is what the way back needs.
type fileSwapped struct {
	Inode string   `json:"inode,omitempty"` // of the new directory, once it is built
	Print string   `json:"print,omitempty"` // of its content, as it was built
	Made  []string `json:"made,omitempty"`  // directories made on the way
}

const fileSwapKey = "swap"

// begin remembers what is there, before anything is changed. It refuses when
// something that is not the step's own stands where the old one shall go.
func (w fileSwap) begin(ctx context.Context, e Env) (fileSwapped, error) {
	var rec fileSwapped
	found, err := e.Memory.Get(fileSwapKey, &rec)
	if err != nil || found {
		return rec, err
	}
	s, err := fileLook(ctx, e, path.Dir(w.To))
	if err != nil {
		return rec, err
	}
	rec.Made = s.Made
	if s.Kind == "absent" {
		rec.Made = append(rec.Made, s.Path)
	}
	return rec, e.Memory.Put(fileSwapKey, rec)
}

// commit remembers the finished stage and puts it in place.
func (w fileSwap) commit(ctx context.Context, e Env, rec fileSwapped) error {
	c := remote.Sh(`stat -c %i "$1"`, w.Stage)
	c.Pure = true
	out, err := remote.Output(ctx, e.Host, c)
	if err != nil {
		return fmt.Errorf("%s: %w", w.Stage, err)
	}
	rec.Inode = strings.TrimSpace(string(out))
	if err := e.Memory.Put(fileSwapKey, rec); err != nil {
		return err
	}
	if err := e.Host.Run(ctx, remote.Sh(fileSwapScript, w.To, w.Stage, w.Aside, rec.Inode)); err != nil {
		return fmt.Errorf("%s: put the new directory in place: %w", w.To, err)
	}
	return nil
}

// inPlace tells whether To is the directory that this step built.
func (w fileSwap) inPlace(ctx context.Context, e Env) (bool, error) {
	var rec fileSwapped
	if e.Memory == nil {
		return false, nil
	}
	found, err := e.Memory.Get(fileSwapKey, &rec)
	if err != nil || !found || rec.Inode == "" {
		return false, err
	}
	c := remote.Sh(`[ ! -e "$1" ] || stat -c %i "$1"`, w.To)
	c.Pure = true
	out, err := remote.Output(ctx, e.Host, c)
	if err != nil {
		return false, fmt.Errorf("%s: %w", w.To, err)
	}
	return strings.TrimSpace(string(out)) == rec.Inode, nil
}

// undo puts the old directory back. print says what the new one holds now: if
// that is not what the step built, the new one is kept under another name.
func (w fileSwap) undo(ctx context.Context, e Env, print func() (string, error)) error {
	var rec fileSwapped
	found, err := e.Memory.Get(fileSwapKey, &rec)
	if err != nil || !found {
		return err
	}
	ours, err := w.inPlace(ctx, e)
	if err != nil {
		return err
	}
	keep := ""
	if ours {
		now, err := print()
		if err != nil {
			return err
		}
		if now != rec.Print {
			keep = w.To + ".after-" + e.ID
			fmt.Fprintf(e.Log, "%s was changed after this step; it is kept as %s\n", w.To, keep)
		}
	}
	slices.Reverse(rec.Made)
	args := append([]string{w.To, w.Stage, w.Aside, rec.Inode, keep}, rec.Made...)
	if err := e.Host.Run(ctx, remote.Sh(fileUnswapScript, args...)); err != nil {
		return fmt.Errorf("%s: put the former directory back: %w", w.To, err)
	}
	return nil
}

// filePrint is a fingerprint of a tree: names, sizes and times of change.
func filePrint(ctx context.Context, e Env, dir string) (string, error) {
	c := remote.Sh(`cd "$1" && LC_ALL=C find . -exec stat -c '%n|%s|%y' {} + | LC_ALL=C sort | sha256sum`, dir)
	c.Pure = true
	out, err := remote.Output(ctx, e.Host, c)
	if err != nil {
		return "", fmt.Errorf("%s: %w", dir, err)
	}
	return strings.TrimSpace(string(out)), nil
}
