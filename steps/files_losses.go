package steps

import (
	"context"
	"path"
	"time"

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
	l := Loss{Store: c.To.String(), Unit: "files", Since: "since it was copied"}
	if print == rec.Print {
		return []Loss{l}, nil
	}
	err = t.Each(func(f files.Entry) error {
		if f.Type == 'f' && f.Sec >= rec.Begun {
			l.Count++
		}
		return nil
	})
	l.About, l.Detail = true, "counted by their times, from "+time.Unix(rec.Begun, 0).UTC().Format("2006-01-02 15:04 MST")+" on; what was deleted or renamed is not counted"
	if l.Count == 0 {
		l.Count, l.About, l.Detail = -1, false, "nothing is newer than the copying, yet names, sizes or times differ: something was deleted, renamed or put back"
	}
	l.Kept = "what is there is kept beside it"
	return []Loss{l}, err
}
