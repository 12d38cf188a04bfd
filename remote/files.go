package remote

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
)

// maxOutput is how much Output and ReadFile take, so that a hostile or broken
// machine cannot fill this one's memory.
const maxOutput = 16 << 20

// Output runs c and returns what it wrote to stdout, at most 16 MiB: more ends
// the command and is an error. c.Stdout is not used. The bytes come even with
// an error, as far as they got.
func Output(ctx context.Context, r Runner, c Cmd) ([]byte, error) {
	var out capped
	c.Stdout = &out
	err := r.Run(ctx, c)
	return out.buf.Bytes(), err
}

type capped struct{ buf bytes.Buffer }

func (w *capped) Write(p []byte) (int, error) {
	if w.buf.Len()+len(p) > maxOutput {
		return 0, fmt.Errorf("output is larger than %d MiB: the command was stopped", maxOutput>>20)
	}
	return w.buf.Write(p)
}

// The scripts of ReadFile and WriteFile, in POSIX sh with stat -c and mktemp
// as GNU and busybox have them.
var (
	//go:embed readfile.sh
	readScript string
	//go:embed writefile.sh
	writeScript string
)

// statusNotExist is how readfile.sh says that there is no such file.
const statusNotExist = 44

// ReadFile returns the content of a file, at most 16 MiB. Symbolic links are
// followed. errors.Is(err, fs.ErrNotExist) tells a missing file from one that
// may not be read.
func ReadFile(ctx context.Context, r Runner, path string) ([]byte, error) {
	c := Sh(readScript, path)
	c.Pure = true
	b, err := Output(ctx, r, c)
	if exit, ok := errors.AsType[*ExitError](err); ok && exit.Status == statusNotExist {
		return nil, &fs.PathError{Op: "read", Path: path, Err: fs.ErrNotExist}
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return b, nil
}

// WriteFile replaces the content of a file, or makes the file. The data goes to
// a temporary file in the same directory, which is checked for its length,
// synced and renamed over the old one: whoever looks sees the old or the new
// file, never a part of it, also when the connection breaks. Symbolic links
// are followed. Owner and group of a file that was there are kept; its mode
// too when mode is 0 (a new file then gets 0644). Access lists are not kept.
func WriteFile(ctx context.Context, r Runner, path string, data []byte, mode os.FileMode) error {
	octal := ""
	if mode != 0 {
		octal = fmt.Sprintf("%04o", mode.Perm())
	}
	c := Sh(writeScript, path, octal, strconv.Itoa(len(data)))
	c.Stdin = bytes.NewReader(data)
	if err := r.Run(ctx, c); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
