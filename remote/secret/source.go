package secret

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.yaml.in/yaml/v3"
)

// maxLen is the largest secret that is read from a file or a command, in bytes.
const maxLen = 1 << 20

// Source says where one secret comes from. Exactly one field is set.
type Source struct {
	Env     string  `yaml:"env,omitempty" doc:"environment variable of belay itself"`
	File    string  `yaml:"file,omitempty" doc:"file on this machine, readable by its owner only; the line break at its end is not part of the secret"`
	Command Command `yaml:"command,omitempty" doc:"command on this machine that prints the secret: a text for sh, or a list of words"`
	Prompt  string  `yaml:"prompt,omitempty" doc:"what to ask the person in front of the screen"`
}

// Command is a list of words; written as one text in a plan, it is run by sh.
type Command []string

// UnmarshalYAML takes a text or a list of texts.
func (c *Command) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		var s string
		if err := n.Decode(&s); err != nil {
			return err
		}
		*c = nil
		if s != "" {
			*c = Command{"sh", "-c", s}
		}
		return nil
	}
	var words []string
	if err := n.Decode(&words); err != nil {
		return err
	}
	*c = words
	return nil
}

// Check says what is wrong with s as it is written.
func (s Source) Check() error {
	n := 0
	for _, set := range []bool{s.Env != "", s.File != "", len(s.Command) > 0, s.Prompt != ""} {
		if set {
			n++
		}
	}
	switch n {
	case 1:
		return nil
	case 0:
		return errors.New("says nowhere to take the secret from: give one of env, file, command, prompt")
	}
	return errors.New("names several places to take the secret from: give one of env, file, command, prompt")
}

// Prompter asks a person for the secret name, with the plan's text.
type Prompter func(ctx context.Context, name, text string) (Value, error)

func (s Source) resolve(ctx context.Context, name string, ask Prompter) (Value, error) {
	if err := s.Check(); err != nil {
		return Value{}, err
	}
	var text string
	var err error
	switch {
	case s.Env != "":
		text, err = fromEnv(s.Env)
	case s.File != "":
		text, err = fromFile(s.File)
	case len(s.Command) > 0:
		text, err = fromCommand(ctx, s.Command)
	case ask == nil:
		err = errors.New("must be asked for, and nobody is there to answer; use env, file or command")
	default:
		var v Value
		v, err = ask(ctx, name, s.Prompt)
		text = v.Reveal()
	}
	if err != nil {
		return Value{}, err
	}
	if text == "" {
		return Value{}, errors.New("is empty")
	}
	if len(text) < MinLen {
		return Value{}, fmt.Errorf("is shorter than %d bytes: it could not be kept out of the logs; use a longer one", MinLen)
	}
	return New(text), nil
}

func fromEnv(name string) (string, error) {
	text, ok := os.LookupEnv(name)
	if !ok {
		return "", fmt.Errorf("environment variable %s is not set; set it and start again", name)
	}
	return text, nil
}

func fromFile(path string) (string, error) {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		path = filepath.Join(home, rest)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", err
	}
	if st.Mode().IsRegular() && st.Mode().Perm()&0o004 != 0 {
		return "", fmt.Errorf("file %s can be read by everyone on this machine (mode %04o); it was not used: chmod 600 %[1]s", path, st.Mode().Perm())
	}
	b, err := io.ReadAll(io.LimitReader(f, maxLen+1))
	if err != nil {
		return "", err
	}
	if len(b) > maxLen {
		return "", fmt.Errorf("file %s is larger than %d bytes", path, maxLen)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

// fromCommand never puts the command's stdout into an error.
func fromCommand(ctx context.Context, argv []string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var out, errs bytes.Buffer
	stdout := &limited{b: &out}
	cmd.Stdout, cmd.Stderr = stdout, &limited{b: &errs}
	err := cmd.Run()
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if stdout.over {
		return "", fmt.Errorf("command %s printed more than %d bytes", argv[0], maxLen)
	}
	if err != nil {
		if said := strings.TrimSpace(errs.String()); said != "" {
			return "", fmt.Errorf("command %s: %w: %s", argv[0], err, said[strings.LastIndexByte(said, '\n')+1:])
		}
		return "", fmt.Errorf("command %s: %w", argv[0], err)
	}
	return strings.TrimRight(out.String(), "\r\n"), nil
}

type limited struct {
	b    *bytes.Buffer
	over bool
}

func (l *limited) Write(p []byte) (int, error) {
	if l.b.Len()+len(p) > maxLen {
		l.over = true
		return 0, io.ErrShortBuffer
	}
	return l.b.Write(p)
}
