package steps

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"belay/checks"
	"belay/remote"
)

func init() {
	register(Kind{
		Name:    "git.checkout",
		Summary: "Clones a repository to a host, or brings the clone that is there to a branch, tag or commit.",
		Example: `- step: Get the code of Fluxer
  on: chat
  git.checkout: {repo: "https://github.com/fluxerdev/fluxer.git", dir: /root/fluxer, ref: v1.2.0}
`,
		New: func() Step { return &gitCheckout{} },
	})
}

var (
	//go:embed git_prelude.sh
	gitPrelude string
	//go:embed git_look.sh
	gitLookScript string
	//go:embed git_apply.sh
	gitApplyScript string
	//go:embed git_undo.sh
	gitUndoScript string
)

type gitCheckout struct {
	Repo  string `yaml:"repo" required:"" doc:"URL or path of the repository, as the host sees it; no password in it"`
	Dir   string `yaml:"dir" required:"" doc:"absolute path of the working tree"`
	Ref   string `yaml:"ref" required:"" doc:"branch, tag or commit; a branch is resolved once a run, and its commit checked out"`
	Depth int    `yaml:"depth" doc:"fetch only so many commits; left out, all"`
	Clean string `yaml:"clean" enum:"refuse|stash|overwrite" default:"refuse" doc:"what happens to local changes: refuse stops and lists them, stash keeps them and undo puts them back, overwrite throws them away for good"`
}

var (
	gitCommit = regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`)
	gitScp    = regexp.MustCompile(`^[A-Za-z0-9_.@-]+:[^-:][^:]*$`)
	gitRefOK  = regexp.MustCompile(`^[A-Za-z0-9_@+=#][A-Za-z0-9_./@+=#-]*$`)
)

func (c *gitCheckout) Validate() error {
	errs := []error{fileCheckPath("dir", c.Dir)}
	if !gitRefOK.MatchString(c.Ref) || strings.Contains(c.Ref, "..") {
		errs = append(errs, Field("ref", "%q is not the name of a branch, a tag or a commit", c.Ref))
	}
	if c.Depth < 0 {
		errs = append(errs, Field("depth", "must be a number of commits"))
	}
	return errors.Join(append(errs, c.checkRepo())...)
}

func (c *gitCheckout) checkRepo() error {
	if u, err := url.Parse(c.Repo); err == nil && u.Host != "" {
		if _, secret := u.User.Password(); secret {
			return Field("repo", "a password in the URL would be seen in every list of processes; use a key or a credential helper on the host")
		}
		if slices.Contains([]string{"https", "http", "ssh", "git"}, u.Scheme) {
			return nil
		}
	}
	if path.IsAbs(c.Repo) || strings.HasPrefix(c.Repo, "file:///") || gitScp.MatchString(c.Repo) {
		return nil
	}
	return Field("repo", "%q is neither an https, http, ssh or git URL, nor user@host:path, nor an absolute path", c.Repo)
}

// Needs asks for git.
func (c *gitCheckout) Needs(on string) []checks.Check {
	return []checks.Check{&checks.ToolCheck{On: fileOn(on), Name: "git"}}
}

// fileOn is the host of a check that a step asks for.
func fileOn(on string) []string {
	if on == "" {
		return nil
	}
	return []string{on}
}

func (c *gitCheckout) Repeatable() bool { return true }

// gitState is what is at the directory.
type gitState struct {
	Kind   string   `json:"kind"`             // absent, empty, repository or other
	Head   string   `json:"head,omitempty"`   // commit
	Branch string   `json:"branch,omitempty"` // "-" when HEAD is detached
	Meta   string   `json:"meta,omitempty"`   // mode and owner of an empty directory
	Dirty  []string `json:"dirty,omitempty"`  // local changes as git status says them, 100 at most
	origin string
}

// gitBefore is remembered before anything is changed.
type gitBefore struct {
	gitState
	Commit string   `json:"commit"` // where the step goes; resolved once
	Made   []string `json:"made,omitempty"`
}

const gitKey = "git"

func gitSh(script string, args ...string) remote.Cmd { return remote.Sh(gitPrelude+script, args...) }

func (c *gitCheckout) look(ctx context.Context, e Env) (gitState, error) {
	cmd := gitSh(gitLookScript, path.Clean(c.Dir))
	cmd.Pure = true
	out, err := remote.Output(ctx, e.Host, cmd)
	if err != nil {
		return gitState{}, fmt.Errorf("%s: %w", c.Dir, err)
	}
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	s := gitState{Kind: lines[0]}
	switch {
	case s.Kind == "empty" && len(lines) == 2:
		s.Meta = lines[1]
	case s.Kind == "repository" && len(lines) >= 4:
		s.Head, s.Branch, s.origin, s.Dirty = lines[1], lines[2], lines[3], lines[4:]
		if len(s.Dirty) > 100 {
			s.Dirty = s.Dirty[:100]
		}
	case s.Kind != "absent" && s.Kind != "other":
		return s, fmt.Errorf("%s: unexpected answer %.200q", c.Dir, out)
	}
	return s, nil
}

// resolve is the commit that ref means: the one remembered by this run, else
// what the repository says now.
func (c *gitCheckout) resolve(ctx context.Context, e Env) (commit string, before gitBefore, found bool, err error) {
	if e.Memory != nil {
		if found, err = e.Memory.Get(gitKey, &before); err != nil || found {
			return before.Commit, before, found, err
		}
	}
	if gitCommit.MatchString(c.Ref) {
		return c.Ref, before, false, nil
	}
	cmd := gitSh(`g ls-remote -- "$1" "$2" "$2^{}" "refs/heads/$2" "refs/tags/$2" "refs/tags/$2^{}"`, c.Repo, c.Ref)
	cmd.Pure = true
	out, err := remote.Output(ctx, e.Host, cmd)
	if err != nil {
		return "", before, false, fmt.Errorf("%s: %w", c.Repo, err)
	}
	commit, err = gitPick(string(out), c.Ref)
	if err != nil {
		return "", before, false, fmt.Errorf("%s: %w", c.Repo, err)
	}
	return commit, before, false, nil
}

// gitPick finds ref in what ls-remote says. An annotated tag means the commit
// that it stands on ("^{}").
func gitPick(out, ref string) (string, error) {
	refs := map[string]string{}
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) == 2 && gitCommit.MatchString(f[0]) {
			refs[f[1]] = f[0]
		}
	}
	branch, tag := refs["refs/heads/"+ref], refs["refs/tags/"+ref]
	if peeled := refs["refs/tags/"+ref+"^{}"]; peeled != "" {
		tag = peeled
	}
	switch {
	case branch != "" && tag != "" && branch != tag:
		return "", fmt.Errorf("%q is both a branch and a tag; write refs/heads/%s or refs/tags/%s", ref, ref, ref)
	case tag != "":
		return tag, nil
	case branch != "":
		return branch, nil
	case refs[ref+"^{}"] != "":
		return refs[ref+"^{}"], nil
	case refs[ref] != "":
		return refs[ref], nil
	}
	return "", fmt.Errorf("there is no branch or tag %q (a commit must be written with all its 40 digits)", ref)
}

func (c *gitCheckout) Pending(ctx context.Context, e Env) ([]Change, error) {
	s, err := c.look(ctx, e)
	if err != nil {
		return nil, err
	}
	commit, _, _, err := c.resolve(ctx, e)
	if err != nil {
		return nil, err
	}
	switch s.Kind {
	case "other":
		return nil, fmt.Errorf("%s is there and is not a git working tree; move it away", c.Dir)
	case "absent", "empty":
		return []Change{{Text: fmt.Sprintf("clone %s to %s at %s (%.12s)", c.Repo, c.Dir, c.Ref, commit)}}, nil
	}
	if s.Head == commit && s.Branch == "-" && len(s.Dirty) == 0 {
		return nil, nil
	}
	text := fmt.Sprintf("check out %s (%.12s) in %s, from %s", c.Ref, commit, c.Dir, s.where())
	if s.origin != c.Repo {
		text += "; its origin is " + fileMask(s.origin)
	}
	if len(s.Dirty) > 0 {
		if c.Clean == "refuse" || c.Clean == "" {
			return nil, c.dirty(s)
		}
		text += fmt.Sprintf("; %s its local changes: %s", c.Clean, fileSome(s.Dirty, 10))
	}
	return []Change{{Text: text}}, nil
}

func (s gitState) where() string {
	if s.Branch != "-" && s.Branch != "" {
		return fmt.Sprintf("branch %s (%.12s)", s.Branch, s.Head)
	}
	return fmt.Sprintf("%.12s", s.Head)
}

func (c *gitCheckout) dirty(s gitState) error {
	return fmt.Errorf("%s has local changes, and nothing was changed: %s. Commit or take them away, or say clean: stash", c.Dir, fileSome(s.Dirty, 20))
}

func (c *gitCheckout) Apply(ctx context.Context, e Env) error {
	s, err := c.look(ctx, e)
	if err != nil {
		return err
	}
	commit, before, found, err := c.resolve(ctx, e)
	if err != nil {
		return err
	}
	switch {
	case s.Kind == "other":
		return fmt.Errorf("%s is there and is not a git working tree; nothing was changed", c.Dir)
	case len(s.Dirty) > 0 && (c.Clean == "refuse" || c.Clean == ""):
		return c.dirty(s)
	}
	if !found {
		before = gitBefore{gitState: s, Commit: commit}
		if s.Kind == "absent" {
			st, err := fileLook(ctx, e, c.Dir)
			if err != nil {
				return err
			}
			before.Made = st.Made
		}
		if err := e.Memory.Put(gitKey, before); err != nil {
			return err
		}
	}
	depth := ""
	if c.Depth > 0 {
		depth = strconv.Itoa(c.Depth)
	}
	cmd := gitSh(gitApplyScript, c.Repo, path.Clean(c.Dir), commit, c.Ref, depth, c.Clean, c.temp(e), c.note(e))
	meter := &gitMeter{e}
	cmd.Stdout, cmd.Stderr = meter, meter
	if err := e.Host.Run(ctx, cmd); err != nil {
		return fmt.Errorf("%s: check out %s: %w", c.Dir, c.Ref, err)
	}
	return nil
}

func (c *gitCheckout) temp(e Env) string {
	return path.Join(path.Dir(path.Clean(c.Dir)), "."+path.Base(c.Dir)+".belay-"+e.ID+".part")
}

func (c *gitCheckout) note(e Env) string { return "belay " + e.ID }

var gitPercent = regexp.MustCompile(`([A-Z][a-z]+ [a-z]+):\s+\d+% \((\d+)/(\d+)\)`)

// gitMeter shows git's own progress and passes everything on to the log. It is
// a pointer, so that a Runner that gets it for both streams writes to it from
// one of them at a time.
type gitMeter struct{ e Env }

func (m *gitMeter) Write(p []byte) (int, error) {
	if all := gitPercent.FindAllSubmatch(p, -1); len(all) > 0 {
		last := all[len(all)-1]
		done, _ := strconv.ParseInt(string(last[2]), 10, 64)
		total, _ := strconv.ParseInt(string(last[3]), 10, 64)
		m.e.Say(Progress{Done: done, Total: total, Unit: "objects", Text: strings.ToLower(string(last[1]))})
	}
	return m.e.Log.Write(p)
}

// Verify asks git where the tree is, and whether its files are that commit's.
func (c *gitCheckout) Verify(ctx context.Context, e Env) error {
	s, err := c.look(ctx, e)
	if err != nil {
		return err
	}
	commit, _, _, err := c.resolve(ctx, e)
	if err != nil {
		return err
	}
	switch {
	case s.Kind != "repository":
		return fmt.Errorf("%s is not a git working tree", c.Dir)
	case s.Head != commit:
		return fmt.Errorf("%s is at %s, and %s is %.12s", c.Dir, s.where(), c.Ref, commit)
	case len(s.Dirty) > 0:
		return fmt.Errorf("%s is not as %s has it: %s", c.Dir, c.Ref, fileSome(s.Dirty, 20))
	}
	return nil
}

func (c *gitCheckout) Undo(ctx context.Context, e Env) error {
	var b gitBefore
	found, err := e.Memory.Get(gitKey, &b)
	if err != nil || !found {
		return err
	}
	slices.Reverse(b.Made)
	args := []string{path.Clean(c.Dir), b.Kind, b.Head, b.Branch, b.Commit, c.temp(e), c.note(e), path.Clean(c.Dir) + ".after-" + e.ID, b.Meta}
	cmd := gitSh(gitUndoScript, append(args, b.Made...)...)
	cmd.Stdout, cmd.Stderr = e.Log, e.Log
	if err := e.Host.Run(ctx, cmd); err != nil {
		return fmt.Errorf("%s: go back: %w", c.Dir, err)
	}
	if c.Clean == "overwrite" && len(b.Dirty) > 0 {
		return fmt.Errorf("%s is at its former commit, but the local changes that the plan said to overwrite are lost (%s): %w",
			c.Dir, fileSome(b.Dirty, 20), ErrNoWayBack)
	}
	return nil
}
