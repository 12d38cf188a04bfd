package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"belay/steps/run"
	"belay/tui"
)

// Interviews that ended before their plan was written are kept beside the runs,
// a file for each pair of servers.

// keptFor is how long an interview is worth going on with.
const keptFor = 30 * 24 * time.Hour

// keptDir is where they are kept; "" when there is no such place.
func keptDir() string {
	runs, err := run.Root()
	if err != nil {
		return ""
	}
	return filepath.Join(filepath.Dir(runs), "init")
}

func (d drafter) keptFile(a tui.Answers) string {
	sum := sha256.Sum256([]byte(a.From + "\x00" + a.To))
	return filepath.Join(d.kept, hex.EncodeToString(sum[:8])+".json")
}

// Keep puts an interview down, so that it is there whole or as it was before.
func (d drafter) Keep(k tui.Kept) error {
	if d.kept == "" {
		return nil
	}
	text, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(d.kept, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(d.kept, ".keep-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), d.keptFile(k.Answers))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// Drop forgets what was kept of the same servers.
func (d drafter) Drop(k tui.Kept) error {
	if d.kept == "" {
		return nil
	}
	return os.Remove(d.keptFile(k.Answers))
}

// has tells whether something is kept of the same servers.
func (d drafter) has(a tui.Answers) bool {
	if d.kept == "" {
		return false
	}
	_, err := os.Stat(d.keptFile(a))
	return err == nil
}

// Kept are the interviews that one can go on with, the latest first. A file
// that cannot be read is none of them; one that is old is forgotten.
func (d drafter) Kept() (all []tui.Kept) {
	if d.kept == "" {
		return nil
	}
	torn, _ := filepath.Glob(filepath.Join(d.kept, ".keep-*")) // by a kill between two calls
	for _, file := range torn {
		if at, err := os.Stat(file); err == nil && time.Since(at.ModTime()) > time.Hour {
			_ = os.Remove(file)
		}
	}
	files, _ := filepath.Glob(filepath.Join(d.kept, "*.json"))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		var k tui.Kept
		if json.Unmarshal(text, &k) != nil || k.Answers.From == "" || d.keptFile(k.Answers) != file {
			continue
		}
		if time.Since(k.At) > keptFor {
			_ = os.Remove(file)
			continue
		}
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b tui.Kept) int { return cmp.Compare(b.At.UnixNano(), a.At.UnixNano()) })
	return all
}
