package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"belay/steps"
	"belay/steps/journal"
)

// Screens and keeper talk JSON lines over the socket of the run directory.
// What a run has done is not among them: screens read the journal and the logs
// themselves. A screen sends calls, each with a number, and gets one answer of
// that number; the keeper sends what is not journaled whenever it changes.

// call is what a screen sends. Exactly one of the pointers is set.
type call struct {
	ID      uint64          `json:"id"`
	Hello   *journal.Author `json:"hello,omitempty"`
	Answer  *journal.Answer `json:"answer,omitempty"`
	Request *Request        `json:"request,omitempty"`
	Reply   *promptReply    `json:"reply,omitempty"`
	Pen     *journal.Author `json:"pen,omitempty"`
	Look    *journal.Author `json:"look,omitempty"` // who signs wants to see the checklist
	Sign    *signing        `json:"sign,omitempty"`
}

type promptReply struct {
	Prompt string `json:"prompt"`
	Text   string `json:"text"`
	OK     bool   `json:"ok"`
}

// push is what the keeper sends: the answer to a call, or news.
type push struct {
	ID   uint64   `json:"id,omitempty"`
	Err  *wireErr `json:"err,omitempty"`
	News *news    `json:"news,omitempty"`
	Slip *Slip    `json:"slip,omitempty"`
}

// news is the part of a run that is not journaled.
type news struct {
	Progress  map[string]map[string]steps.Progress `json:"progress"`
	Lights    map[string]Light                     `json:"lights"`
	Assessing bool                                 `json:"assessing"`
	Ended     bool                                 `json:"ended"`
	Err       string                               `json:"err,omitempty"`
	Prompt    *Prompt                              `json:"prompt,omitempty"`
	Pen       Pen                                  `json:"pen"`
}

// Pen says who may answer. One screen holds it; the others read.
type Pen struct {
	Mine    bool           `json:"mine"`
	By      journal.Author `json:"by"`
	Since   time.Time      `json:"since"`
	Screens int            `json:"screens"` // that are attached
}

// Shared is a Session that several screens may have at once.
type Shared interface {
	Pen() Pen
	// TakePen takes the pen from whoever holds it; both screens show it.
	TakePen() error
}

// wireErr carries the typed errors of a Session.
type wireErr struct {
	Kind string `json:"kind"` // stale, refused, waiting, or ""
	Text string `json:"text"`
}

func toWire(err error) *wireErr {
	var stale *StaleError
	var refused *journal.RefusedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &stale):
		return &wireErr{"stale", stale.Question}
	case errors.Is(err, ErrNotWaiting):
		return &wireErr{"waiting", ""}
	case errors.As(err, &refused):
		return &wireErr{"refused", refused.Why}
	}
	return &wireErr{"", err.Error()}
}

func (e *wireErr) err() error {
	switch {
	case e == nil:
		return nil
	case e.Kind == "stale":
		return &StaleError{e.Text}
	case e.Kind == "waiting":
		return ErrNotWaiting
	case e.Kind == "refused":
		return &journal.RefusedError{Why: e.Text}
	}
	return errors.New(e.Text)
}

// socketPath is where a keeper listens: in the run directory, or, where that
// path is too long for a socket, under the temporary directory.
func socketPath(dir string) string {
	path := filepath.Join(dir, "socket")
	if len(path) < 100 {
		return path
	}
	b, err := os.ReadFile(filepath.Join(dir, "socket.path"))
	if err != nil {
		return path
	}
	return strings.TrimSpace(string(b))
}

// listen opens the keeper's socket, for this user alone. A socket that a dead
// keeper left is removed: who calls it holds the run's lock.
func listen(dir string) (*net.UnixListener, error) {
	path := filepath.Join(dir, "socket")
	if len(path) >= 100 {
		short, err := os.MkdirTemp("", "belay-")
		if err != nil {
			return nil, err
		}
		path = filepath.Join(short, "socket")
		if err := os.WriteFile(filepath.Join(dir, "socket.path"), []byte(path+"\n"), 0o600); err != nil {
			return nil, err
		}
	}
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("keeper's socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func encodeLine(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain data of our own
	}
	return append(b, '\n')
}

func firstErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
