package steps

import (
	"context"
	"fmt"

	"belay/checks"
	"belay/remote"
	"belay/steps/files"
)

// filesSyncCheck judges what a files.sync relies on, before anything changes.
type filesSyncCheck struct{ step *filesSync }

// CheckName is how findings call it.
func (c *filesSyncCheck) CheckName() string { return "files.sync" }

// HostNames are those of the step.
func (c *filesSyncCheck) HostNames() []string { return c.step.HostNames() }

// Assess finds out what would be sent, and whether there is room for it.
func (c *filesSyncCheck) Assess(ctx context.Context, w checks.World) ([]checks.Finding, error) {
	s := c.step
	f := checks.Finding{Key: s.To.String(), Host: s.To.Host, Level: checks.Block}
	e := Env{ID: "assessment", Hosts: w.Hosts}
	work, err := s.places(ctx, e)
	defer work.close()
	switch {
	case err != nil && work.src.Kind == "absent":
		f.Level, f.Text = checks.Warn, s.From.String()+" is not there yet"
		f.Fix = "go on only if an earlier step makes it"
		return []checks.Finding{f}, nil
	case err != nil && work.dst.Kind == "full" && !s.Delta:
		// It may be this very step's own copy, in a run that is resumed.
	case err != nil && work.src.Kind != "" && work.dst.Kind != "":
		f.Text, f.Fix = err.Error(), "see to it before the run begins"
		return []checks.Finding{f}, nil
	case err != nil:
		return nil, err
	}
	if err := s.trees(ctx, e, work, false); err != nil {
		return nil, err
	}
	if work.todo, err = files.Delta(work.old, work.now, files.How{}); err != nil {
		return nil, err
	}
	return []checks.Finding{c.judge(f, work)}, nil
}

func (c *filesSyncCheck) judge(f checks.Finding, w *filesSyncWork) checks.Finding {
	s, t := c.step, w.todo
	text := fmt.Sprintf("%s are to go from %s to %s, and %s are free there", remote.FormatBytes(t.Bytes), s.From, s.To, remote.FormatBytes(w.dst.Free))
	if err := s.enough(w); err != nil {
		f.Text, f.Fix = text, "make room on "+s.To.Host
		return f
	}
	if w.dst.Kind == "full" && !s.Delta && t.Extra > 0 {
		f.Level = checks.Warn
		f.Text = fmt.Sprintf("%s is to be empty, and holds %s that %s has not", s.To, filesCount(t.Extra, "entry"), s.From)
		f.Fix = "look at what it is; the step refuses to begin on it"
		return f
	}
	f.Level, f.Text = checks.Pass, text
	if !w.dst.Root {
		f.Level = checks.Warn
		f.Text += fmt.Sprintf("; the login on %s is not root, so it cannot give files to other owners", s.To.Host)
		f.Fix = "say sudo: true for the host, unless all files belong to that login"
	}
	return f
}

var _ checks.Hoster = (*filesSyncCheck)(nil)
