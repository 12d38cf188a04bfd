package steps

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"belay/checks"
	"belay/remote"
)

func init() {
	register(Kind{
		Name:    "files.archive",
		Summary: "Packs directories or files of a host into an archive there, with its SHA-256 beside it.",
		Example: `- step: Take a copy of Stoat Chat
  on: chat
  files.archive: {path: /root/stoatchat, to: /var/backups/stoat.tar.gz, exclude: [node_modules]}
`,
		New: func() Step { return &filesArchive{} },
	})
}

var (
	//go:embed files_archive_look.sh
	fileArchiveLookScript string
	//go:embed files_archive.sh
	fileArchiveScript string
)

type filesArchive struct {
	Path     []string    `yaml:"path" required:"" doc:"what goes in: one directory (its content is the archive's), one file, or a list of both (named from / on)"`
	To       string      `yaml:"to" required:"" doc:"absolute path of the archive on the same host; one that is there already is kept as <to>.before-<run>"`
	Exclude  []string    `yaml:"exclude" doc:"names or patterns that stay out, as tar --exclude takes them; needs GNU tar"`
	Compress string      `yaml:"compress" enum:"auto|zstd|gzip|none" default:"auto" doc:"auto goes by the name: .zst or .tzst, .gz or .tgz, else none"`
	Room     remote.Size `yaml:"room" doc:"free space that must be there; left out, as much as what goes in takes now, which compression will not need"`
}

// filePacker is the program that a name, or the plan, asks for.
func filePacker(name, compress string) string {
	if compress != "" && compress != "auto" {
		return compress
	}
	switch path.Ext(name) {
	case ".zst", ".tzst":
		return "zstd"
	case ".gz", ".tgz":
		return "gzip"
	}
	return "none"
}

func (c *filesArchive) Validate() error {
	errs := []error{fileCheckPath("to", c.To)}
	for i, p := range c.Path {
		field := fmt.Sprintf("path.%d", i)
		if err := fileCheckPath(field, p); err != nil {
			errs = append(errs, err)
			continue
		}
		if in := path.Clean(p) + "/"; strings.HasPrefix(path.Clean(c.To)+"/", in) {
			errs = append(errs, Field("to", "the archive would lie within %s, which goes into it", p))
		}
	}
	for i, x := range c.Exclude {
		if x == "" || strings.ContainsAny(x, "\n\x00") {
			errs = append(errs, Field(fmt.Sprintf("exclude.%d", i), "%q is not a pattern", x))
		}
	}
	return errors.Join(errs...)
}

// Needs asks for tar, for the program that packs, and for the room.
func (c *filesArchive) Needs(on string) []checks.Check {
	need := fileTarNeeds(on, filePacker(c.To, c.Compress))
	if c.Room > 0 {
		need = append(need, &checks.DiskCheck{On: fileOn(on), Path: path.Dir(c.To), Free: c.Room})
	}
	return need
}

func fileTarNeeds(on, packer string) []checks.Check {
	need := []checks.Check{&checks.ToolCheck{On: fileOn(on), Name: "tar"}}
	if packer != "none" {
		need = append(need, &checks.ToolCheck{On: fileOn(on), Name: packer})
	}
	return need
}

func (c *filesArchive) Repeatable() bool { return true }

// words are the arguments that both scripts end with.
func (c *filesArchive) words(args ...string) []string {
	for _, x := range c.Exclude {
		args = append(args, "--exclude="+x)
	}
	args = append(args, "--")
	for _, p := range c.Path {
		args = append(args, path.Clean(p))
	}
	return args
}

// fileArchiveSeen is what is on the host before.
type fileArchiveSeen struct {
	need, free int64
	there      string // inode:time:size of a file at `to`; "" when there is none
	sum        string // what the file beside it says; "" when there is none
}

func (c *filesArchive) look(ctx context.Context, e Env) (s fileArchiveSeen, err error) {
	cmd := remote.Sh(fileArchiveLookScript, c.words(path.Clean(c.To), filePacker(c.To, c.Compress))...)
	cmd.Pure = true
	out, err := remote.Output(ctx, e.Host, cmd)
	if err != nil {
		return s, fmt.Errorf("%s: %w", c.To, err)
	}
	for line := range strings.Lines(string(out)) {
		key, val, _ := strings.Cut(strings.TrimSpace(line), " ")
		if val == "-" {
			val = ""
		}
		n, _ := strconv.ParseInt(val, 10, 64)
		switch key {
		case "need":
			s.need = n
		case "free":
			s.free = n
		case "there":
			s.there = val
		case "sum":
			s.sum = val
		}
	}
	return s, nil
}

// fileArchived is remembered: at first what is at `to` before, in the end what
// was written.
type fileArchived struct {
	Former string `json:"former,omitempty"`
	Sum    string `json:"sum,omitempty"`
	Count  int64  `json:"count,omitempty"`
	Size   int64  `json:"size,omitempty"`
}

const fileArchiveKey = "archive"

func (c *filesArchive) remembered(e Env) (rec fileArchived, found bool, err error) {
	if e.Memory == nil {
		return rec, false, nil
	}
	found, err = e.Memory.Get(fileArchiveKey, &rec)
	return rec, found, err
}

func (r fileArchived) done(s fileArchiveSeen) bool {
	return r.Sum != "" && s.sum == r.Sum && strings.HasSuffix(s.there, ":"+strconv.FormatInt(r.Size, 10))
}

func (c *filesArchive) Pending(ctx context.Context, e Env) ([]Change, error) {
	s, err := c.look(ctx, e)
	if err != nil {
		return nil, err
	}
	rec, _, err := c.remembered(e)
	if err != nil || rec.done(s) {
		return nil, err
	}
	if err := c.enough(s); err != nil {
		return nil, err
	}
	text := fmt.Sprintf("archive %s (%s) as %s", strings.Join(c.Path, ", "), remote.FormatBytes(s.need), c.To)
	if s.there != "" {
		text += "; the archive there is kept as " + c.aside(e)
	}
	return []Change{{Text: text, Bytes: s.need}}, nil
}

func (c *filesArchive) enough(s fileArchiveSeen) error {
	room := int64(c.Room)
	if room == 0 {
		room = s.need
	}
	if s.free >= room {
		return nil
	}
	return fmt.Errorf("%s: %s are free there, and up to %s may be needed; free some space, or say with room how much is enough",
		c.To, remote.FormatBytes(s.free), remote.FormatBytes(room))
}

func (c *filesArchive) aside(e Env) string { return path.Clean(c.To) + ".before-" + e.ID }

func (c *filesArchive) Apply(ctx context.Context, e Env) error {
	s, err := c.look(ctx, e)
	if err != nil {
		return err
	}
	rec, found, err := c.remembered(e)
	if err != nil || rec.done(s) {
		return err
	}
	if err := c.enough(s); err != nil {
		return err
	}
	if !found {
		rec.Former = s.there
		if err := e.Memory.Put(fileArchiveKey, rec); err != nil {
			return err
		}
	}
	temp := path.Join(path.Dir(c.To), "."+path.Base(c.To)+".belay-"+e.ID+".part")
	var out bytes.Buffer
	cmd := remote.Sh(fileArchiveScript, c.words(path.Clean(c.To), temp, filePacker(c.To, c.Compress), c.aside(e), rec.Former)...)
	meter := &fileTarMeter{log: e.Log, say: e.Say, total: s.need, text: "archive " + c.To}
	cmd.Stdout, cmd.Stderr = &out, meter
	err = e.Host.Run(ctx, cmd)
	meter.flush()
	if err != nil {
		return fmt.Errorf("%s: %w", c.To, err)
	}
	return c.finish(e, rec, out.String())
}

func (c *filesArchive) finish(e Env, rec fileArchived, out string) error {
	var status int
	if _, err := fmt.Sscanf(out, "done %64s %d %d %d", &rec.Sum, &rec.Count, &rec.Size, &status); err != nil {
		return fmt.Errorf("%s: unexpected answer %.200q", c.To, out)
	}
	if err := e.Memory.Put(fileArchiveKey, rec); err != nil {
		return err
	}
	if status == 1 {
		fmt.Fprintf(e.Log, "warning: files changed while they were read; what they hold in the archive may be half old, half new. "+
			"Stop what writes there and repeat the step if it matters\n")
	}
	fmt.Fprintf(e.Log, "wrote %s: %d entries, %s, sha256 %s\n", c.To, rec.Count, remote.FormatBytes(rec.Size), rec.Sum)
	return nil
}

// Verify reads the whole archive back: its SHA-256, and what tar lists in it.
func (c *filesArchive) Verify(ctx context.Context, e Env) error {
	rec, _, err := c.remembered(e)
	if err != nil {
		return err
	}
	var list fileTarList
	if err := list.read(ctx, e, path.Clean(c.To), filePacker(c.To, c.Compress), false); err != nil {
		return err
	}
	switch {
	case list.sum != list.beside:
		return fmt.Errorf("%s has SHA-256 %s, and %s.sha256 says %s", c.To, list.sum, c.To, list.beside)
	case list.sum != rec.Sum:
		return fmt.Errorf("%s has SHA-256 %s, and this step wrote %s", c.To, list.sum, rec.Sum)
	case list.count != rec.Count:
		return fmt.Errorf("%s holds %d entries, and %d went in", c.To, list.count, rec.Count)
	}
	return nil
}

// Undo keeps the archive: it does no harm, and a rollback may need it.
func (c *filesArchive) Undo(_ context.Context, e Env) error {
	rec, found, err := c.remembered(e)
	if err == nil && found && rec.Sum != "" {
		fmt.Fprintf(e.Log, "nothing to take back: the archive %s stays\n", c.To)
	}
	return err
}

// fileTarMeter reads what tar says on stderr: how far it is (a record is
// 10 KiB), and lines for the log.
type fileTarMeter struct {
	log   io.Writer
	say   func(Progress)
	total int64
	text  string
	part  []byte
}

func (m *fileTarMeter) Write(p []byte) (int, error) {
	m.part = append(m.part, p...)
	for {
		i := bytes.IndexByte(m.part, '\n')
		if i < 0 {
			if len(m.part) > 64<<10 {
				m.flush()
			}
			return len(p), nil
		}
		m.line(string(m.part[:i]))
		m.part = m.part[i+1:]
	}
}

func (m *fileTarMeter) line(l string) {
	if rest, ok := strings.CutPrefix(l, "tar: belay_"); ok {
		if n, err := strconv.ParseInt(rest, 10, 64); err == nil {
			m.say(Progress{Done: n * 10240, Total: m.total, Unit: "B", Text: m.text})
			return
		}
	}
	fmt.Fprintln(m.log, l)
}

func (m *fileTarMeter) flush() {
	if len(m.part) > 0 {
		m.line(string(m.part))
		m.part = nil
	}
}
