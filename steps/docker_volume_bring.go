package steps

import (
	"context"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sync/errgroup"

	"belay/remote"
	"belay/steps/docker"
)

// bring makes the directory beside the volume's own, and returns the sum of
// what is in it, read from there. What was copied has the same sum at its source.
func (c *dockerVolume) bring(ctx context.Context, e Env, src dockerVolumeSource, rec dockerFilled) (string, error) {
	if c.Restore != "" {
		return c.unpack(ctx, e, rec)
	}
	tools, err := docker.Common(ctx, src.host, e.Host)
	if err != nil {
		return "", err
	}
	want, err := c.copy(ctx, e, src, rec, tools)
	if err != nil {
		return "", err
	}
	var got string
	g, both := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		got, err = c.sumNew(both, e, rec, tools.Sum)
		return err
	})
	if want == dockerVolumeUntold {
		g.Go(func() (err error) {
			if want, err = c.script(both, src.host, true, "sum", src.seen.data, "-", tools.Sum); err != nil {
				return fmt.Errorf("volume %s on %s: %w", c.fromVolume(), c.From, err)
			}
			return nil
		})
	}
	e.Say(Progress{Text: "compare volume " + c.Volume + " with " + c.From})
	if err := g.Wait(); err != nil {
		return "", err
	}
	if c.Live == "" && got != want {
		return "", fmt.Errorf("volume %s did not come over equal: %s; what is in the volume was not touched", c.Volume, c.differs(ctx, e, src, rec))
	}
	return got, nil
}

func (c *dockerVolume) unpack(ctx context.Context, e Env, rec dockerFilled) (string, error) {
	if _, err := c.script(ctx, e.Host, false, "take", rec.Data, e.ID, filePacker(c.Restore, "auto"), c.Restore); err != nil {
		return "", fmt.Errorf("volume %s from %s: %w; what is in the volume was not touched", c.Volume, c.Restore, err)
	}
	tools, err := docker.Common(ctx, e.Host)
	if err != nil {
		return "", err
	}
	return c.sumNew(ctx, e, rec, tools.Sum)
}

// sumNew also waits until all of it is on the disk.
func (c *dockerVolume) sumNew(ctx context.Context, e Env, rec dockerFilled, maker string) (string, error) {
	got, err := c.script(ctx, e.Host, true, "sumnew", rec.Data, e.ID, maker)
	if err != nil {
		return "", fmt.Errorf("volume %s on %s: %w", c.Volume, e.Host.Name, err)
	}
	return got, nil
}

// dockerVolumeMaker is the program that made a sum.
func dockerVolumeMaker(sum string) string {
	if strings.HasPrefix(sum, "b2:") {
		return "b2sum"
	}
	return "sha256sum"
}

// dockerVolumeUntold is for the sum of a source that the copying could not take
// on its way: files have holes, which do not go over as they are read, or changed
// meanwhile.
const dockerVolumeUntold = "-"

// copy streams the data through belay. It returns the sum of what the source
// read, or dockerVolumeUntold; "" where writers go on.
func (c *dockerVolume) copy(ctx context.Context, e Env, src dockerVolumeSource, rec dockerFilled, tools docker.Tools) (string, error) {
	sum, maker := "", tools.Sum
	if c.Live != "" {
		maker = ""
	}
	meter := &fileTarMeter{log: e.Log, say: e.Say, total: src.seen.need, text: "volume " + c.Volume}
	said := &docker.Marked{Mark: "belay-sum ", Rest: meter, Tell: func(v string) { sum = v }}
	send := c.verb("send", src.seen.data, "-", tools.Pack, maker)
	send.Pure, send.Stderr = true, said
	take := c.verb("take", rec.Data, e.ID)
	take.Stdout, take.Stderr = e.Log, e.Log
	err := docker.Relay(ctx, src.host, send, e.Host, take)
	said.Flush()
	meter.flush()
	if err != nil {
		return "", fmt.Errorf("volume %s from %s: %w; what is in the volume was not touched", c.Volume, c.From, err)
	}
	if maker != "" && sum == "" {
		return "", fmt.Errorf("volume %s from %s: that host did not say what it sent; what is in the volume was not touched", c.Volume, c.From)
	}
	return sum, nil
}

// differs names what is not equal, for people.
func (c *dockerVolume) differs(ctx context.Context, e Env, src dockerVolumeSource, rec dockerFilled) string {
	list := func(h remote.Host, data string) map[string]string {
		out, err := c.script(ctx, h, true, "names", data, "-")
		if err != nil {
			fmt.Fprintf(e.Log, "%s: %v\n", h.Name, err)
			return nil
		}
		all := map[string]string{}
		for line := range strings.SplitSeq(out, "\x00") {
			if what, name, ok := strings.Cut(line, "\t"); ok {
				if strings.HasPrefix(what, "d ") { // the size of a directory is its file system's affair
					f := strings.Fields(what)
					f[3] = "-"
					what = strings.Join(f, " ")
				}
				all[name] = what
			}
		}
		return all
	}
	a, b := list(src.host, src.seen.data), list(e.Host, path.Join(path.Dir(rec.Data), "_belay-new-"+e.ID))
	var bad []string
	for name, what := range a {
		switch {
		case b[name] == "":
			bad = append(bad, fmt.Sprintf("%q did not come", name))
		case b[name] != what:
			bad = append(bad, fmt.Sprintf("%q is %s there and %s here", name, what, b[name]))
		}
	}
	if len(bad) == 0 {
		return "contents or extended attributes differ; does somebody write to it?"
	}
	for _, line := range bad {
		fmt.Fprintln(e.Log, line)
	}
	return fileSome(bad, 5)
}
