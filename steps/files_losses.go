package steps

import (
	"context"
	"fmt"
	"path"
	"time"

	"belay/remote"
	"belay/steps/files"
)

// Losses implements Loser: whether the target is as the step left it, by names,
// sizes and times, and how many files are newer than the copying. No file is
// read.
func (c *filesSync) Losses(ctx context.Context, e Env) ([]Loss, error) {
	var rec filesSynced
	if found, err := e.Memory.Get(filesSyncKey, &rec); err != nil || !found || rec.Print == "" {
		return nil, err
	}
	to, err := filesSyncHost(e, c.To.Host)
	if err != nil {
		return nil, err
	}
	_, inside := c.asides(e.ID)
	t, err := files.Read(ctx, to, rec.Dir, files.Look{Exclude: []string{"/" + path.Base(inside)}, Loose: true})
	if err != nil {
		return nil, err
	}
	defer t.Close() // an unlinked temporary file
	print, err := t.Print()
	if err != nil {
		return nil, err
	}
	mark := filesMark{sinceCopied, rec.Begun}
	marked, err := e.Memory.Get(lossMarkKey, &mark)
	if err != nil {
		return nil, err
	}
	l := Loss{Store: c.To.String(), Unit: "files", Since: mark.Since}
	if print == rec.Print {
		return []Loss{l}, nil
	}
	dirs := int64(0) // in which something came, went, or got another name
	err = t.Each(func(f files.Entry) error {
		switch {
		case f.Sec < mark.At:
		case f.Type == 'f':
			l.Count++
		case f.Type == 'd':
			dirs++
		}
		return nil
	})
	l.About, l.Detail = true, "counted by their times, from "+time.Unix(mark.At, 0).UTC().Format("2006-01-02 15:04 MST")+" on; what was deleted or renamed is not counted"
	if l.Count == 0 && marked && dirs == 0 { // it differs from the copy since before
		return []Loss{l}, err
	}
	if l.Count == 0 {
		l.Count, l.About, l.Detail = -1, false, "nothing is newer than the copying, yet names, sizes or times differ: something was deleted, renamed or put back"
	}
	l.Kept = "what is there is kept beside it"
	return []Loss{l}, err
}

// filesMark is the moment that Losses counts from, instead of the copy's, by the
// target's clock.
type filesMark struct {
	Since string `json:"since"`
	At    int64  `json:"at"`
}

// Mark implements Marker: it asks the time.
func (c *filesSync) Mark(ctx context.Context, e Env, since string) error {
	to, err := filesSyncHost(e, c.To.Host)
	if err != nil {
		return err
	}
	clock := remote.Sh("date +%s")
	clock.Pure = true
	out, err := remote.Output(ctx, to, clock)
	if err != nil {
		return err
	}
	m := filesMark{Since: since}
	if _, err := fmt.Sscan(string(out), &m.At); err != nil {
		return fmt.Errorf("%s: date +%%s: unexpected answer %.40q", to.Name, out)
	}
	return e.Memory.Put(lossMarkKey, m)
}

// Fills implements Filler.
func (c *filesSync) Fills() string { return c.To.String() }
