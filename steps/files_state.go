package steps

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"belay/remote"
)

// The scripts that look at one file, replace it and put it back; POSIX sh with
// stat -c and sha256sum as GNU and busybox have them.
var (
	//go:embed files_state.sh
	fileStateScript string
	//go:embed files_put.sh
	filePutScript string
	//go:embed files_back.sh
	fileBackScript string
)

// fileAbsent stands for the SHA-256 of a file that is not there.
const fileAbsent = "absent"

// fileChangedStatus is how the scripts say that the file is not what it was
// when the step looked at it.
const fileChangedStatus = 43

// fileState is what a path on a host is.
type fileState struct {
	Path    string // with symbolic links followed
	Kind    string // file, directory, other or absent
	Sum     string // of a file; fileAbsent when there is none
	Mode    string // "644"
	Owner   string // "0:0"
	Names   string // "root:root"
	Size    int64
	CopySum string   // of the copy that the step keeps; or fileAbsent
	Made    []string // directories on the way that do not exist, outermost first
	copyID  string
}

// Copy is where the step keeps what was there: beside the file, under a hidden
// name, because programs that include a whole directory (nginx, cron, apt)
// must not read it.
func (s fileState) Copy() string { return s.beside("belay-" + s.copyID) }

// Temp is the step's temporary file there.
func (s fileState) Temp() string { return s.beside("belay-" + s.copyID + ".part") }

func (s fileState) beside(suffix string) string {
	return path.Join(path.Dir(s.Path), "."+path.Base(s.Path)+"."+suffix)
}

// fileLook says what is at path.
func fileLook(ctx context.Context, e Env, p string) (fileState, error) {
	c := remote.Sh(fileStateScript, path.Clean(p), e.ID)
	c.Pure = true
	out, err := remote.Output(ctx, e.Host, c)
	if err != nil {
		return fileState{}, fmt.Errorf("%s: %w", p, err)
	}
	lines := strings.Split(string(out), "\n")
	if len(lines) < 5 {
		return fileState{}, fmt.Errorf("%s: unexpected answer %.200q", p, out)
	}
	s := fileState{Path: path.Clean(lines[0]), Kind: lines[1], Sum: lines[2], CopySum: lines[4], copyID: e.ID}
	f := strings.Fields(lines[3])
	if len(f) != 6 || !path.IsAbs(s.Path) {
		return fileState{}, fmt.Errorf("%s: unexpected answer %.200q", p, out)
	}
	s.Mode, s.Owner, s.Names = f[0], f[1]+":"+f[2], f[4]+":"+f[5]
	s.Size, _ = strconv.ParseInt(f[3], 10, 64)
	for _, d := range lines[5:] {
		if d != "" {
			s.Made = append(s.Made, d)
		}
	}
	return s, nil
}

// fileBefore is what Undo needs, remembered before anything is changed.
type fileBefore struct {
	Path  string   `json:"path"`
	Old   string   `json:"old"`             // SHA-256, or fileAbsent
	Ours  []string `json:"ours"`            // what the step wrote or was about to write
	Mode  string   `json:"mode,omitempty"`  // of the old file
	Owner string   `json:"owner,omitempty"` // of the old file
	Made  []string `json:"made,omitempty"`
}

const fileBeforeKey = "file"

func (b fileBefore) wrote(sum string) bool { return slices.Contains(b.Ours, sum) }

// fileWant is a file as it shall be.
type fileWant struct {
	Sum   string
	Mode  string // "" keeps; a new file gets NewMode
	New   string // mode of a new file
	Owner string // "", "user", "user:group" or ":group"
	Data  io.Reader
	Size  int64 // of Data
}

func (w fileWant) mode(s fileState) string {
	switch {
	case w.Mode != "":
		return w.Mode
	case s.Kind == "file":
		return s.Mode
	}
	return w.New
}

// metaDiffers says in words what besides the content is not as wanted.
func (w fileWant) metaDiffers(s fileState) []string {
	var diff []string
	if m := w.mode(s); strings.TrimLeft(m, "0") != strings.TrimLeft(s.Mode, "0") {
		diff = append(diff, fmt.Sprintf("mode %s instead of %s", m, s.Mode))
	}
	if w.Owner != "" && !fileOwnerIs(w.Owner, s) {
		diff = append(diff, fmt.Sprintf("owner %s instead of %s", w.Owner, s.Names))
	}
	return diff
}

func fileOwnerIs(want string, s fileState) bool {
	user, group, _ := strings.Cut(want, ":")
	isUser, isGroup, _ := strings.Cut(s.Names, ":")
	uid, gid, _ := strings.Cut(s.Owner, ":")
	return (user == "" || user == isUser || user == uid) && (group == "" || group == isGroup || group == gid)
}

// filePlace makes the file at s what w says, keeping a copy of what it
// replaces. It refuses when the file is not what s says any more.
func filePlace(ctx context.Context, e Env, s fileState, w fileWant) error {
	if s.Kind == "directory" || s.Kind == "other" {
		return fmt.Errorf("%s is not a regular file; nothing was changed", s.Path)
	}
	before, err := fileRemember(e, s, w.Sum)
	if err != nil {
		return err
	}
	if s.Sum == w.Sum {
		return fileMeta(ctx, e, s, w)
	}
	copyTo := s.Copy()
	if before.Old == fileAbsent {
		copyTo = ""
	}
	owner := w.Owner
	if s.Kind == "file" && (owner == "" || fileOwnerIs(owner, s)) {
		owner = s.Owner
	}
	c := remote.Sh(filePutScript, s.Path, w.mode(s), owner, copyTo, w.Sum, s.Sum, s.Temp())
	c.Stdin = w.Data
	return fileChanged(s.Path, e.Host.Run(ctx, c))
}

// fileMeta sets mode and owner of a file whose content is right.
func fileMeta(ctx context.Context, e Env, s fileState, w fileWant) error {
	if len(w.metaDiffers(s)) == 0 {
		return nil
	}
	const script = `[ -z "$3" ] || chown "$3" "$1" || exit 1; chmod "$2" "$1"`
	if err := e.Host.Run(ctx, remote.Sh(script, s.Path, w.mode(s), w.Owner)); err != nil {
		return fmt.Errorf("%s: set mode and owner: %w", s.Path, err)
	}
	return nil
}

// fileRemember keeps what is there now, unless an earlier attempt of this step
// has: then what counts is what was there before that.
func fileRemember(e Env, s fileState, sum string) (fileBefore, error) {
	var b fileBefore
	found, err := e.Memory.Get(fileBeforeKey, &b)
	if err != nil {
		return b, err
	}
	known := found && b.Path == s.Path && (s.Sum == b.Old || b.wrote(s.Sum))
	if found && !known && s.CopySum != fileAbsent {
		return b, fmt.Errorf("%s was changed by somebody else after this step first wrote it; nothing was changed now. "+
			"What was there before is kept in %s: look at both, then move that copy away and try again", s.Path, s.Copy())
	}
	if !known {
		b = fileBefore{Path: s.Path, Old: s.Sum, Made: s.Made}
		if s.Kind == "file" {
			b.Mode, b.Owner = s.Mode, s.Owner
		}
	}
	if !b.wrote(sum) {
		b.Ours = append(b.Ours, sum)
	}
	return b, e.Memory.Put(fileBeforeKey, b)
}

// fileChanged puts words to the scripts' way of saying "changed meanwhile".
func fileChanged(p string, err error) error {
	if exit, ok := errors.AsType[*remote.ExitError](err); ok && exit.Status == fileChangedStatus {
		return fmt.Errorf("%s was changed by somebody else while this step was at work; it was left as it is. Look at it and try again", p)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	return nil
}

// fileUnplace undoes filePlace. When the file is neither what was there nor
// what the step wrote, it refuses and tells through conflict.
func fileUnplace(ctx context.Context, e Env, conflict func(b fileBefore, s fileState) error) error {
	var b fileBefore
	found, err := e.Memory.Get(fileBeforeKey, &b)
	if err != nil || !found {
		return err
	}
	s, err := fileLook(ctx, e, b.Path)
	if err != nil {
		return err
	}
	gone := s.Sum == fileAbsent && s.Kind == "absent" // nobody's content would be lost
	if len(b.Ours) == 1 && b.Ours[0] == b.Old && s.Sum != b.Old {
		fmt.Fprintf(e.Log, "%s: its content was never changed by this step; it was left as it is\n", b.Path)
		return nil
	}
	if s.Kind != "file" && !gone || !gone && s.Sum != b.Old && !b.wrote(s.Sum) {
		return conflict(b, s)
	}
	args := []string{b.Path, s.Sum, b.Old, s.Copy(), b.Mode, b.Owner, s.Temp()}
	slices.Reverse(b.Made)
	return fileChanged(b.Path, e.Host.Run(ctx, remote.Sh(fileBackScript, append(args, b.Made...)...)))
}

// fileConflict is the refusal to undo a file that somebody else changed.
func fileConflict(b fileBefore, s fileState, diff string) error {
	was := "did not exist before this step"
	if b.Old != fileAbsent {
		was = "is kept as it was before this step in " + s.Copy()
	}
	msg := fmt.Sprintf("%s was changed by somebody else after this step; it was left as it is. It %s. "+
		"Decide which one shall stay; if the old one, put it there by hand", b.Path, was)
	if diff != "" {
		msg += ":\n" + diff
	}
	return errors.New(msg)
}

// Parameters that several kinds have.
var (
	fileModeOK  = regexp.MustCompile(`^[0-7]{3,4}$`)
	fileOwnerOK = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@-]*\$?$`)
)

// fileCheckPath refuses what cannot be a path on a host.
func fileCheckPath(field, p string) error {
	switch {
	case p == "":
		return Field(field, "a path is needed")
	case !path.IsAbs(p):
		return Field(field, "%q is not an absolute path, and a relative one would depend on where the login lands", p)
	case strings.ContainsAny(p, "\n\r\x00"):
		return Field(field, "a path with a line break in it is not supported")
	case path.Clean(p) == "/":
		return Field(field, "the root directory is not a place for this")
	}
	return nil
}

func fileCheckMeta(mode, owner, group string) error {
	var errs []error
	if mode != "" && !fileModeOK.MatchString(mode) {
		errs = append(errs, Field("mode", "%q is not a mode such as 0644", mode))
	}
	if owner != "" && !fileOwnerOK.MatchString(owner) {
		errs = append(errs, Field("owner", "%q is not the name of a user", owner))
	}
	if group != "" && !fileOwnerOK.MatchString(group) {
		errs = append(errs, Field("group", "%q is not the name of a group", group))
	}
	return errors.Join(errs...)
}

func fileOwner(owner, group string) string {
	if group != "" {
		return owner + ":" + group
	}
	return owner
}
