package steps

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"belay/checks"
	"belay/remote"
)

// How nginx_site.sh ends.
const (
	nginxRefuses  = 45
	nginxNoReload = 46
)

// Apply does all in one command on the host, which a lost connection does not
// end half way: what is there is kept, the new is put, tested and loaded, or the
// old comes back.
func (c *nginxSite) Apply(ctx context.Context, e Env) error {
	s, err := c.look(ctx, e)
	if err != nil {
		return err
	}
	if !s.begun {
		s.rec = nginxSiteRec{File: s.file, Link: s.link, FileWas: s.fileIs, LinkWas: s.linkIs}
	}
	if s.begun && !slices.Contains([]string{s.rec.FileWas, s.want}, s.fileIs) && !slices.Contains(s.rec.FileOurs, s.fileIs) {
		return fmt.Errorf("site %s: %s was changed by somebody else after this step first wrote it; nothing was changed now. Look at it, and at the copy beside it, %s", c.Name, s.file, c.kept(e, s.file))
	}
	if s.want != "" && !slices.Contains(s.rec.FileOurs, s.want) {
		s.rec.FileOurs = append(s.rec.FileOurs, s.want)
	}
	s.rec.Done = false
	if err := e.Memory.Put(nginxSiteKey, s.rec); err != nil {
		return err
	}
	filedo, sum, _ := strings.Cut(s.want, " ")
	if s.filePut && s.fileIs == s.rec.FileWas {
		filedo = "keep" // what an earlier attempt put is put again: it comes back where nginx refuses
	}
	linkdo := "keep"
	switch {
	case s.linked && s.linkIs == s.rec.LinkWas:
	case c.Enabled:
		linkdo = "link"
	default:
		linkdo = "absent"
	}
	cmd := c.command(e, false, "put", s.file, s.link, nginxMade(filedo, s.rec.FileWas), nginxMade(linkdo, s.rec.LinkWas), sum, s.mode)
	cmd.Stdin = strings.NewReader(s.text)
	out, err := remote.Output(ctx, e.Host, cmd)
	if err != nil {
		return c.refused(err, out)
	}
	s.rec.Done = true
	fmt.Fprintf(e.Log, "site %s: nginx took it and was reloaded\n", c.Name)
	return e.Memory.Put(nginxSiteKey, s.rec)
}

// nginxMade tells the script that there was nothing before the first attempt.
func nginxMade(do, was string) string {
	if do != "keep" && was == "absent" {
		return do + "-made"
	}
	return do
}

func (c *nginxSite) kept(e Env, p string) string {
	return path.Join(path.Dir(p), "."+path.Base(p)+".belay-"+e.ID)
}

// refused puts nginx's own line into the error.
func (c *nginxSite) refused(err error, out []byte) error {
	exit, ok := errors.AsType[*remote.ExitError](err)
	switch {
	case ok && exit.Status == nginxRefuses:
		return fmt.Errorf("site %s: nginx does not take it%s; what was there before was put back at once, and nginx goes on with it", c.Name, nginxSaid(out))
	case ok && exit.Status == nginxNoReload:
		return fmt.Errorf("site %s: nginx was not reloaded%s; what was there before was put back at once", c.Name, nginxSaid(out))
	}
	return fmt.Errorf("site %s: %w", c.Name, err)
}

// nginxSaid is the line that says why: the one with the gravest mark.
func nginxSaid(out []byte) string {
	first := ""
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if strings.Contains(line, "[emerg]") || strings.Contains(line, "[error]") {
			first = strings.TrimPrefix(line, "[emerg] ")
			break
		}
		if first == "" {
			first = line
		}
	}
	if first == "" {
		return ""
	}
	return ": " + checks.OneLine(first, 400)
}

// Undo puts back the very file and link that were there, and reloads.
func (c *nginxSite) Undo(ctx context.Context, e Env) error {
	var rec nginxSiteRec
	if found, err := e.Memory.Get(nginxSiteKey, &rec); err != nil || !found {
		return err
	}
	said, err := c.ask(ctx, e, rec.File, rec.Link)
	if err != nil {
		return err
	}
	touched := len(rec.FileOurs) > 0
	file := said["file"]
	if touched && file != rec.FileWas && !slices.Contains(rec.FileOurs, file) {
		return fmt.Errorf("site %s: %s was changed by somebody else after this step; it was left as it is. What was there before is %s", c.Name, rec.File, c.before(e, rec))
	}
	filedo := "untouched"
	if touched {
		if filedo, err = c.undoOne(rec.File, rec.FileWas, file, said["kept"]); err != nil {
			return err
		}
	}
	linkdo := "untouched"
	if rec.Link != "" {
		if rec.LinkWas == "absent" && !c.Enabled && said["link"] != "absent" {
			fmt.Fprintf(e.Log, "%s was made by somebody else after this step, and stays\n", rec.Link)
		} else if linkdo, err = c.undoOne(rec.Link, rec.LinkWas, said["link"], said["kept-link"]); err != nil {
			return err
		}
	}
	out, err := remote.Output(ctx, e.Host, c.command(e, false, "back", rec.File, rec.Link, filedo, linkdo, "", ""))
	if exit, ok := errors.AsType[*remote.ExitError](err); ok && (exit.Status == nginxRefuses || exit.Status == nginxNoReload) {
		return fmt.Errorf("site %s: what was there before is back, and nginx was not reloaded%s", c.Name, nginxSaid(out))
	}
	if err != nil {
		return fmt.Errorf("site %s: %w", c.Name, err)
	}
	if len(out) > 0 {
		fmt.Fprintf(e.Log, "%s", out)
	}
	return nil
}

// undoOne says what the script shall do with one path.
func (c *nginxSite) undoOne(p, was, is, kept string) (string, error) {
	switch {
	case was == "absent":
		return "absent", nil
	case kept == "absent" && is != was:
		return "", fmt.Errorf("site %s: the copy of what was at %s is gone; nothing was changed", c.Name, p)
	}
	return "there", nil
}

func (c *nginxSite) before(e Env, rec nginxSiteRec) string {
	if rec.FileWas == "absent" {
		return "nothing"
	}
	return c.kept(e, rec.File)
}

// nginxSiteCheck judges nginx's configuration as it is before anything changes.
type nginxSiteCheck struct {
	site *nginxSite
	on   string
}

// CheckName is how findings call it.
func (c *nginxSiteCheck) CheckName() string { return "nginx" }

// HostNames are the host of the step.
func (c *nginxSiteCheck) HostNames() []string { return []string{c.on} }

// Assess runs nginx's own test of what is there now.
func (c *nginxSiteCheck) Assess(ctx context.Context, w checks.World) ([]checks.Finding, error) {
	h, ok := w.Hosts[c.on]
	if !ok {
		return nil, fmt.Errorf("host %q was not reached", c.on)
	}
	f := checks.Finding{Key: c.site.Name, Host: c.on, Level: checks.Pass, Text: "nginx takes its configuration as it is"}
	out, err := remote.Output(ctx, h, c.site.command(Env{ID: "assessment"}, true, "dump", "/", "", "", "", "", ""))
	exit, ok := errors.AsType[*remote.ExitError](err)
	switch {
	case ok && exit.Status == nginxRefuses:
		f.Level, f.Text = checks.Block, "nginx does not take its configuration as it is"+nginxSaid(out)
		f.Fix = "mend it, or install nginx, before the run begins: `" + c.site.Nginx + " -t` says more"
	case err != nil:
		return nil, err
	}
	return []checks.Finding{f}, nil
}
