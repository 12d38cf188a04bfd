package steps

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"belay/checks"
	"belay/remote"
	"belay/steps/files"
)

func init() {
	register(Kind{
		Name:    "files.sync",
		Summary: "Makes a directory of one host like that of another, through belay's own connections: only what differs is sent.",
		Example: `- step: Copy the uploads while the old server goes on
  files.sync: {from: {host: old, path: /srv/uploads}, to: {host: new, path: /srv/uploads}, live: true, exclude: ["*.tmp"]}
`,
		NoHost: true,
		New:    func() Step { return &filesSync{} },
	})
}

// filesEnd is a directory on a host.
type filesEnd struct {
	Host string `yaml:"host" required:"" host:"" doc:"the host"`
	Path string `yaml:"path" required:"" doc:"absolute path of the directory; a symbolic link is followed"`
}

func (f filesEnd) String() string { return f.Host + ":" + path.Clean(f.Path) }

type filesSync struct {
	From    filesEnd `yaml:"from" required:"" doc:"what is copied; nothing is changed there"`
	To      filesEnd `yaml:"to" required:"" doc:"the copy; modes, times, links and (as root) numeric owners are kept. It is to be empty, or not there, unless delta says otherwise"`
	Delta   bool     `yaml:"delta" doc:"the copy was begun by an earlier step: send what differs since; what is replaced is kept aside for the way back"`
	Delete  bool     `yaml:"delete" doc:"with delta, put aside what the source does not have; left out, it stays"`
	Live    bool     `yaml:"live" doc:"the source is still written to: what changes meanwhile is no failure, and left to a later step with delta"`
	Exclude []string `yaml:"exclude" doc:"what stays out on both sides, with all below it: a name such as *.tmp, or with a slash a path from the top such as cache/*"`
	By      string   `yaml:"by" default:"auto" enum:"auto|rsync|tar" doc:"rsync or tar for everything; auto takes rsync, where both hosts have 3.1 or later, for files that the target has in another version or in part, and tar for what is new, which is quicker so. Either goes through belay's own connections: the hosts need no keys for each other"`
	Content bool     `yaml:"content" doc:"find what differs by reading every file on both sides, not by size and time"`
}

// HostNames are both ends.
func (c *filesSync) HostNames() []string { return []string{c.From.Host, c.To.Host} }

func (c *filesSync) Validate() error {
	errs := []error{fileCheckPath("from.path", c.From.Path), fileCheckPath("to.path", c.To.Path)}
	if c.From.Host == c.To.Host {
		a, b := path.Clean(c.From.Path)+"/", path.Clean(c.To.Path)+"/"
		if strings.HasPrefix(a, b) || strings.HasPrefix(b, a) {
			errs = append(errs, Field("to.path", "one of the two directories would lie within the other"))
		}
	}
	if c.Delete && !c.Delta {
		errs = append(errs, Field("delete", "without delta, the directory has nothing but the copy in it, and all that the source does not have goes anyway"))
	}
	for i, x := range c.Exclude {
		if x == "" || x == "*" || strings.ContainsAny(x, "\n\x00") {
			errs = append(errs, Field(fmt.Sprintf("exclude.%d", i), "%q is not a pattern", x))
		}
	}
	return errors.Join(errs...)
}

// Needs asks for both directories, for the tools, and for the room.
func (c *filesSync) Needs(string) []checks.Check { return []checks.Check{&filesSyncCheck{c}} }

// Repeatable: what has arrived is not sent again.
func (c *filesSync) Repeatable() bool { return true }

const (
	filesSyncBatch   = 128 << 20 // bytes of an archive
	filesSyncLarge   = 1 << 30   // bytes of what rsync is given at a time
	filesSyncEntries = 5000      // entries of an archive
	filesSyncNames   = 1 << 20   // bytes of their names
	filesSyncArgs    = 16 << 10  // where they go on a command line
	filesSyncStreams = 2         // archives under way at a time
)

// filesSynced is what the step remembers.
type filesSynced struct {
	Was   string `json:"was"`            // the target before: absent, empty or full
	Mode  string `json:"mode,omitempty"` // of an empty one
	Owner string `json:"owner,omitempty"`
	Dir   string `json:"dir"`             // with links followed
	Aside string `json:"aside,omitempty"` // where a full one's former things are
	Begun int64  `json:"begun,omitempty"` // of the last attempt, by the source's clock
	Print string `json:"print,omitempty"` // of the target when the step was done
}

const (
	filesSyncKey    = "sync"
	filesSyncReread = "reread" // the proof failed where size and time agree: read every file
)

// filesSyncWork is one look at both sides.
type filesSyncWork struct {
	from, to remote.Host
	src, dst files.Place
	rec      filesSynced
	begun    bool            // by an earlier attempt
	made     map[string]bool // of a full target: what earlier attempts made where nothing was
	old, now *files.Tree
	todo     *files.Todo
}

func (w *filesSyncWork) close() {
	_ = w.old.Close() // unlinked temporary files
	_ = w.now.Close()
}

// places asks both hosts what is there and what they can do.
func (c *filesSync) places(ctx context.Context, e Env) (w *filesSyncWork, err error) {
	w = &filesSyncWork{}
	if w.from, err = filesSyncHost(e, c.From.Host); err != nil {
		return w, err
	}
	if w.to, err = filesSyncHost(e, c.To.Host); err != nil {
		return w, err
	}
	if e.Memory != nil {
		if w.begun, err = e.Memory.Get(filesSyncKey, &w.rec); err != nil {
			return w, err
		}
	}
	beside, inside := c.asides(e.ID)
	var g errgroup.Group
	g.Go(func() (err error) {
		w.src, err = files.LookAt(ctx, w.from, path.Clean(c.From.Path), beside, inside)
		return err
	})
	g.Go(func() (err error) {
		w.dst, err = files.LookAt(ctx, w.to, path.Clean(c.To.Path), beside, inside)
		return err
	})
	if err = g.Wait(); err != nil {
		return w, err
	}
	return w, c.fit(w)
}

func filesSyncHost(e Env, name string) (remote.Host, error) {
	h, ok := e.Hosts[name]
	if !ok {
		return h, fmt.Errorf("host %q is not of this plan", name)
	}
	return h, nil
}

// asides are where a step may put what it keeps: beside the target, or in it
// where it is a file system of its own.
func (c *filesSync) asides(id string) (beside, inside string) {
	to := path.Clean(c.To.Path)
	return path.Join(path.Dir(to), "."+path.Base(to)+".belay-"+id), path.Join(to, ".belay-"+id)
}

// fit refuses what cannot go well.
func (c *filesSync) fit(w *filesSyncWork) error {
	switch {
	case w.src.Kind == "absent" || w.src.Kind == "other":
		return fmt.Errorf("%s is not a directory", c.From)
	case w.dst.Kind == "other":
		return fmt.Errorf("%s is there, and is not a directory", c.To)
	case w.src.Tar == "none":
		return fmt.Errorf("tar is not installed on %s", c.From.Host)
	case w.dst.Tar == "none":
		return fmt.Errorf("tar is not installed on %s", c.To.Host)
	case !w.dst.Xargs || w.src.Tar == "busy" && !w.src.Xargs:
		return errors.New("xargs -0 does not work on both hosts; install findutils")
	case c.By == "rsync" && !c.byRsync(w):
		return fmt.Errorf("rsync 3.1 or later is not installed on both %s and %s; install it, or leave out by: rsync", c.From.Host, c.To.Host)
	case w.dst.Kind == "full" && !c.Delta && !w.begun:
		return fmt.Errorf("%s has something in it, and was to be empty. If it is an earlier copy of %s, say delta: true; else look at what it is; nothing was changed", c.To, c.From)
	}
	return nil
}

// look reads both directories and finds what differs.
func (c *filesSync) look(ctx context.Context, e Env) (*filesSyncWork, error) {
	w, err := c.places(ctx, e)
	if err != nil {
		return w, err
	}
	content := c.Content
	if e.Memory != nil {
		var again bool
		if _, err := e.Memory.Get(filesSyncReread, &again); err != nil {
			return w, err
		}
		content = content || again
	}
	if err := c.trees(ctx, e, w, content); err != nil {
		return w, err
	}
	if w.rec.Was == "full" {
		kept, err := files.Recall(ctx, w.to, w.rec.Aside)
		if err != nil {
			return w, err
		}
		w.made = kept.Set()
	}
	full := w.rec.Was == "full" || !w.begun && w.dst.Kind == "full"
	w.todo, err = files.Delta(w.old, w.now, files.How{Content: content, Delete: c.Delete || !full, Update: c.updates(w)})
	return w, err
}

// trees reads both directories at the same time.
func (c *filesSync) trees(ctx context.Context, e Env, w *filesSyncWork, sums bool) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		w.old, err = files.Read(ctx, w.from, path.Clean(c.From.Path), files.Look{
			Exclude: c.Exclude, Sums: sums, Loose: c.Live, Say: filesSyncSay(e, sums, c.From)})
		return err
	})
	g.Go(func() (err error) {
		_, inside := c.asides(e.ID)
		w.now, err = files.Read(ctx, w.to, path.Clean(c.To.Path), files.Look{
			Exclude: append([]string{"/" + path.Base(inside)}, c.Exclude...), Sums: sums})
		if errors.Is(err, files.ErrAbsent) {
			err = nil
		}
		return err
	})
	return g.Wait()
}

func filesSyncSay(e Env, sums bool, at filesEnd) func(entries, read int64) {
	if e.Say == nil {
		return nil
	}
	return func(entries, read int64) {
		if !sums || read == 0 {
			e.Say(Progress{Done: entries, Unit: "entries", Text: "look through " + at.String()})
			return
		}
		e.Say(Progress{Done: read, Unit: "files", Text: "read " + at.String()})
	}
}

func (c *filesSync) Pending(ctx context.Context, e Env) ([]Change, error) {
	w, err := c.look(ctx, e)
	defer w.close()
	if err != nil {
		return nil, err
	}
	if w.todo.None() && w.begun && w.rec.Print == "" {
		// Without that, nobody could tell later what users wrote there, and Undo
		// would take it for the copy's.
		return []Change{{Text: fmt.Sprintf("note names, sizes and times of what %s has now: an earlier attempt did not come to it", c.To)}}, nil
	}
	if w.todo.None() {
		return nil, nil
	}
	if err := c.enough(w); err != nil {
		return nil, err
	}
	return c.changes(e, w), nil
}

func (c *filesSync) changes(e Env, w *filesSyncWork) []Change {
	t := w.todo
	var all []Change
	if t.Send > 0 || len(t.Dirs) > 0 {
		text := fmt.Sprintf("send %s and %s (%s) of %s to %s", filesCount(t.Send, "file"), filesCount(int64(len(t.Dirs)), "directory"), remote.FormatBytes(t.Bytes), c.From, c.To)
		switch {
		case t.Parts == 0:
		case c.By == "rsync":
			text += " by rsync"
		default:
			text += fmt.Sprintf("; of %s of that only what changed, by rsync", remote.FormatBytes(t.Parts))
		}
		all = append(all, Change{Text: text, Bytes: t.Bytes})
	}
	kept := ""
	if w.dst.Kind == "full" && !(w.begun && w.rec.Was != "full") {
		kept = "; what is there now is kept in " + c.aside(e, w)
	}
	if n := int64(len(t.Replace)); n > 0 {
		all = append(all, Change{Text: fmt.Sprintf("replace %s of these in %s (%s)%s", filesCount(n, "file"), c.To, fileSome(filesNames(t.Replace), 5), kept)})
	}
	if n := int64(len(t.Remove)); n > 0 {
		all = append(all, Change{Text: fmt.Sprintf("take away %s from %s that the source has not, or not as such (%s)%s", filesCount(n, "entry"), c.To, fileSome(filesNames(t.Remove), 5), kept)})
	}
	if len(all) == 0 {
		all = append(all, Change{Text: fmt.Sprintf("set mode, owner and time of %s in %s", filesCount(int64(len(t.Meta)), "directory"), c.To)})
	}
	return all
}

func filesNames(list []string) []string {
	out := make([]string, len(list))
	for i, p := range list {
		out[i] = files.Name(p)
	}
	return out
}

// filesCount is a number with its noun.
func filesCount(n int64, one string) string {
	if n == 1 {
		return "1 " + one
	}
	if noun, ok := strings.CutSuffix(one, "y"); ok {
		return fmt.Sprintf("%d %sies", n, noun)
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// enough tells whether there is room for what is to be sent.
func (c *filesSync) enough(w *filesSyncWork) error {
	if w.todo.Bytes > w.dst.Free {
		return fmt.Errorf("%s: %s are to be sent, and %s are free there; nothing was changed: make room and try again",
			c.To, remote.FormatBytes(w.todo.Bytes), remote.FormatBytes(w.dst.Free))
	}
	if n := w.todo.Send + int64(len(w.todo.Dirs)); w.dst.Inodes > 0 && n > w.dst.Inodes {
		return fmt.Errorf("%s: %d entries are to be made, and the file system there has room for %d; nothing was changed", c.To, n, w.dst.Inodes)
	}
	return nil
}

// aside is where a full target's former things go.
func (c *filesSync) aside(e Env, w *filesSyncWork) string {
	if w.rec.Aside != "" {
		return w.rec.Aside
	}
	beside, inside := c.asides(e.ID)
	if w.dst.Mount {
		return inside
	}
	return beside
}

// Verify reads every file on both sides.
func (c *filesSync) Verify(ctx context.Context, e Env) error {
	w, err := c.places(ctx, e)
	defer w.close()
	if err != nil {
		return err
	}
	if err := c.trees(ctx, e, w, true); err != nil {
		return err
	}
	if w.now == nil {
		return fmt.Errorf("%s is not there", c.To)
	}
	how := files.Strict{Extra: c.Delete || w.rec.Was != "full"}
	if c.Live {
		how.Since = time.Unix(max(w.rec.Begun, 1), 0)
	}
	j, err := files.Differences(w.old, w.now, how)
	if err != nil {
		return err
	}
	if j.Count > 0 {
		if err := e.Memory.Put(filesSyncReread, true); err != nil {
			return err
		}
		return fmt.Errorf("%s is not like %s: %s\n  %s", c.To, c.From, filesCount(j.Count, "difference"), strings.Join(j.First, "\n  "))
	}
	fmt.Fprintf(e.Log, "%s and %s are alike: %s, %s\n", c.From, c.To, filesCount(w.old.Entries, "entry"), remote.FormatBytes(w.old.Bytes))
	if j.Changed > 0 {
		fmt.Fprintf(e.Log, "%s changed at the source since; a step with delta: true takes them\n", filesCount(j.Changed, "entry"))
	}
	return nil
}
