package files

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"belay/remote"
)

// Kept is what Ready wrote down beside what it put aside.
type Kept struct {
	Made []string // what was not there before, in the order of its making
	Dirs []string // "MODE UID:GID SECONDS PATH" of directories as they were, the first word on each
}

// Set is Made as a set.
func (k Kept) Set() map[string]bool {
	set := make(map[string]bool, len(k.Made))
	for _, p := range k.Made {
		set[p] = true
	}
	return set
}

// Recall reads what Ready wrote down in aside; nothing, when it never did.
func Recall(ctx context.Context, h remote.Host, aside string) (Kept, error) {
	cmd := remote.Sh(`cd "$1" 2>/dev/null || exit 0; if [ -e made ]; then cat made || exit 1; fi; printf '\0'; if [ -e dirs ]; then cat dirs; fi`, aside)
	var out bytes.Buffer
	cmd.Stdout, cmd.Pure = &out, true
	if err := h.Run(ctx, cmd); err != nil {
		return Kept{}, fmt.Errorf("%s on %s: %w", aside, h.Name, err)
	}
	made, dirs, _ := strings.Cut("\x00"+out.String(), "\x00\x00")
	var k Kept
	for p := range strings.SplitSeq(made, "\x00") {
		if p == "" {
			continue
		}
		if !proper(p) && p != "." {
			return k, fmt.Errorf("%s on %s: it lists %.200q, which is not of this directory; look at it", aside, h.Name, p)
		}
		k.Made = append(k.Made, p)
	}
	seen := map[string]bool{}
	for d := range strings.SplitSeq(dirs, "\x00") {
		f := strings.SplitN(d, " ", 4)
		if len(f) != 4 || seen[f[3]] || f[3] != "." && !proper(f[3]) {
			continue
		}
		seen[f[3]] = true
		k.Dirs = append(k.Dirs, d)
	}
	return k, nil
}

// Back makes dir what it was before Ready: what was made goes, what was put
// aside comes back. after is where what goes is kept; empty: it is removed.
func (k Kept) Back(ctx context.Context, h remote.Host, dir, aside, after string) error {
	made := slices.Clone(k.Made)
	slices.Reverse(made)
	dirs := slices.Clone(k.Dirs)
	depth := func(d string) int { return strings.Count(d, "/") }
	slices.SortStableFunc(dirs, func(a, b string) int { return depth(b) - depth(a) })
	for _, part := range []struct {
		name string
		list []string
	}{{"first", made}, {"second", dirs}} {
		cmd := remote.Sh(backScript, dir, aside, after, part.name)
		text := strings.Join(part.list, "\x00")
		if text != "" {
			text += "\x00"
		}
		cmd.Stdin = strings.NewReader(text)
		if err := h.Run(ctx, cmd); err != nil {
			return fmt.Errorf("%s on %s: put back what was there: %w", dir, h.Name, err)
		}
	}
	return nil
}
