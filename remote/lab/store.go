package lab

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// message is one line of the chat.
type message struct {
	From string `json:"from"`
	Text string `json:"text"`
}

// store is where a chat keeps its messages, oldest first.
type store interface {
	read() ([]message, error)
	add(message) error
}

// writing lets one request at a time number a file or extend a line.
var writing sync.Mutex

// fileStore is the old chat's: a text file a message, "from: text", numbered.
type fileStore string

func (dir fileStore) read() ([]message, error) {
	if _, err := os.Stat(string(dir)); err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(string(dir), "[0-9]*.txt")) // sorted
	if err != nil {
		return nil, err
	}
	var all []message
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		from, text, ok := strings.Cut(strings.TrimSpace(string(b)), ": ")
		if !ok {
			return nil, fmt.Errorf("%s: not a message of the form \"from: text\"", file)
		}
		all = append(all, message{from, text})
	}
	return all, nil
}

func (dir fileStore) add(m message) error {
	writing.Lock()
	defer writing.Unlock()
	all, err := dir.read()
	if err != nil {
		return err
	}
	name := filepath.Join(string(dir), fmt.Sprintf("%06d.txt", len(all)+1))
	return os.WriteFile(name, []byte(m.From+": "+m.Text+"\n"), 0o600)
}

// lineStore is the new chat's: one file of JSON lines.
type lineStore string

func (dir lineStore) file() string { return filepath.Join(string(dir), "messages.jsonl") }

func (dir lineStore) read() ([]message, error) {
	f, err := os.Open(dir.file())
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []message
	for d := json.NewDecoder(bufio.NewReader(f)); ; {
		var m message
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("%s: message %d: %w", dir.file(), len(all)+1, err)
		}
		all = append(all, m)
	}
}

func (dir lineStore) add(m message) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	writing.Lock()
	defer writing.Unlock()
	f, err := os.OpenFile(dir.file(), os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	return errors.Join(err, f.Close())
}

// importMessages writes an old chat's messages into a new store, whole or not
// at all, so that it can be done again.
func importMessages(from, to string, out io.Writer) error {
	all, err := fileStore(from).read()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	next := lineStore(to).file() + ".next"
	f, err := os.OpenFile(next, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	lines := json.NewEncoder(f)
	for i, m := range all {
		if err := lines.Encode(m); err != nil {
			return errors.Join(err, f.Close())
		}
		fmt.Fprintf(out, "Imported message %d of %d\n", i+1, len(all))
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(next, lineStore(to).file())
}
