package steps

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"belay/remote"
	"belay/steps/files"
)

// hashedFile is one file under both its names.
type hashedFile struct {
	Old  string // in the old directory; any bytes
	New  string // in the new one: hexadecimal digits, and perhaps an extension
	Sum  string // SHA-256 of its content, in hex
	Size int64
	Made bool // New is ours; else it was there before
}

// hashedRow is one row that names a file.
type hashedRow struct {
	Key      string
	Old, New string // what its column holds before and afterwards
}

// hashedManifest is all that was renamed.
type hashedManifest struct {
	From, To string
	Files    []hashedFile // by Old
	Rows     []hashedRow  // by Key
}

var hashedNew = regexp.MustCompile(`^[0-9a-f]{64}(\.[A-Za-z0-9]{1,10})?$`)

// text is the manifest as it stands on the host, and its SHA-256. Names are
// quoted as in Go, with every byte that is not plain ASCII escaped.
func (m *hashedManifest) text() (text []byte, sum string) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "belay-renamed 1\nfrom %s\nto %s\n", strconv.QuoteToASCII(m.From), strconv.QuoteToASCII(m.To))
	for _, f := range m.Files {
		made := "there"
		if f.Made {
			made = "made"
		}
		fmt.Fprintf(&b, "file %s %d %s %s %s\n", f.Sum, f.Size, made, f.New, strconv.QuoteToASCII(f.Old))
	}
	for _, r := range m.Rows {
		fmt.Fprintf(&b, "row %s %s %s\n", strconv.QuoteToASCII(r.Key), strconv.QuoteToASCII(r.Old), strconv.QuoteToASCII(r.New))
	}
	fmt.Fprintf(&b, "end %d %d\n", len(m.Files), len(m.Rows))
	h := sha256.Sum256(b.Bytes())
	return b.Bytes(), hex.EncodeToString(h[:])
}

// hashedParse reads a manifest, which anybody may have written to.
func hashedParse(text []byte) (*hashedManifest, error) {
	m := &hashedManifest{}
	ended := false
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		word, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		ok := !ended
		switch {
		case n == 1:
			ok = word == "belay-renamed" && rest == "1"
		case word == "from":
			ok = ok && hashedWords(rest, &m.From) && path.IsAbs(m.From)
		case word == "to":
			ok = ok && hashedWords(rest, &m.To) && path.IsAbs(m.To)
		case word == "file":
			var f hashedFile
			parts := strings.SplitN(rest, " ", 5)
			ok = ok && len(parts) == 5 && hashedWords(parts[4], &f.Old) && hashedInside(f.Old) && hashedNew.MatchString(parts[3]) && len(parts[0]) == 64
			if ok {
				f.Sum, f.New, f.Made = parts[0], parts[3], parts[2] == "made"
				var err error
				f.Size, err = strconv.ParseInt(parts[1], 10, 64)
				ok = err == nil
				m.Files = append(m.Files, f)
			}
		case word == "row":
			var r hashedRow
			ok = ok && hashedWords(rest, &r.Key, &r.Old, &r.New)
			m.Rows = append(m.Rows, r)
		case word == "end":
			ended = ok && rest == fmt.Sprintf("%d %d", len(m.Files), len(m.Rows))
			ok = ended
		default:
			ok = false
		}
		if !ok {
			return nil, fmt.Errorf("line %d is not of a manifest: %.200q", n, line)
		}
	}
	if !ended || m.From == "" || m.To == "" {
		return nil, errors.New("the manifest has no end")
	}
	return m, nil
}

// hashedWords reads quoted strings, and nothing else.
func hashedWords(s string, to ...*string) bool {
	for i, p := range to {
		if i > 0 {
			var ok bool
			if s, ok = strings.CutPrefix(s, " "); !ok {
				return false
			}
		}
		q, err := strconv.QuotedPrefix(s)
		if err != nil {
			return false
		}
		if *p, err = strconv.Unquote(q); err != nil {
			return false
		}
		s = s[len(q):]
	}
	return s == ""
}

func hashedInside(p string) bool {
	return p != "" && !path.IsAbs(p) && path.Clean(p) == p && p != "." && p != ".." && !strings.HasPrefix(p, "../") && !strings.ContainsRune(p, 0)
}

func (m *hashedManifest) sort() {
	slices.SortFunc(m.Files, func(a, b hashedFile) int { return cmp.Compare(a.Old, b.Old) })
	slices.SortFunc(m.Rows, func(a, b hashedRow) int { return cmp.Compare(a.Key, b.Key) })
}

// hashedRecord is what the step remembers.
type hashedRecord struct {
	Sum  string   `json:"sum"`            // SHA-256 of the manifest; "": nothing was begun
	Text string   `json:"text,omitempty"` // the manifest itself, packed, unless it is too large: then the host has it
	Dirs []string `json:"dirs,omitempty"` // that were made for the new names, outermost first
}

const (
	hashedKey     = "renamed"
	hashedDoneKey = "renamed-done"
	hashedMost    = 4 << 20   // of a manifest that is remembered, packed
	hashedRead    = 512 << 20 // of one that is read from the host
)

func (r *hashedRecord) pack(text []byte) error {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(text)
	if err = errors.Join(err, w.Close()); err == nil && b.Len() <= hashedMost {
		r.Text = base64.StdEncoding.EncodeToString(b.Bytes())
	}
	return err
}

func (r *hashedRecord) unpack() ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(r.Text)
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// remembered is the manifest of an earlier attempt; nil when there was none.
func (c *filesRenameByHash) remembered(ctx context.Context, e Env) (m *hashedManifest, done bool, err error) {
	var rec hashedRecord
	if e.Memory == nil {
		return nil, false, nil
	}
	if _, err := e.Memory.Get(hashedKey, &rec); err != nil || rec.Sum == "" {
		return nil, false, err
	}
	if _, err := e.Memory.Get(hashedDoneKey, &done); err != nil {
		return nil, false, err
	}
	var text []byte
	if rec.Text != "" {
		text, err = rec.unpack()
	} else {
		text, err = hashedFetch(ctx, e.Host, c.Manifest)
	}
	if err != nil {
		return nil, false, err
	}
	if h := sha256.Sum256(text); hex.EncodeToString(h[:]) != rec.Sum {
		return nil, false, fmt.Errorf("%s is not the manifest that this step wrote: put that back; nothing was changed", c.Manifest)
	}
	m, err = hashedParse(text)
	return m, done, err
}

// hashedFetch reads a manifest from a host.
func hashedFetch(ctx context.Context, h remote.Host, p string) ([]byte, error) {
	var b bytes.Buffer
	cmd := remote.Sh(`cat -- "$1"`, p)
	cmd.Pure, cmd.Stdout = true, &hashedLimit{&b, hashedRead}
	if err := h.Run(ctx, cmd); err != nil {
		return nil, fmt.Errorf("read the manifest %s: %w", p, err)
	}
	return b.Bytes(), nil
}

type hashedLimit struct {
	*bytes.Buffer
	left int
}

func (l *hashedLimit) Write(p []byte) (int, error) {
	if l.left -= len(p); l.left < 0 {
		return 0, errors.New("it is too large to be a manifest")
	}
	return l.Buffer.Write(p)
}

// hold tells whether all new names are there with what they shall hold, and the
// old ones too, if those shall. With sums every file is read.
func (m *hashedManifest) hold(ctx context.Context, e Env, sums, old bool) error {
	dst, err := hashedList(ctx, e, m.To, sums)
	if err != nil {
		return err
	}
	for _, f := range m.Files {
		switch d, there := dst[f.New]; {
		case !there:
			return fmt.Errorf("%s of %s is not there; it holds what %s does", f.New, m.To, files.Name(f.Old))
		case d.Type != 'f' || d.Size != f.Size || sums && hex.EncodeToString([]byte(d.Sum)) != f.Sum:
			return fmt.Errorf("%s of %s is not what %s of %s was", f.New, m.To, files.Name(f.Old), m.From)
		}
	}
	if !old {
		return nil
	}
	src := dst
	if m.From != m.To {
		if src, err = hashedList(ctx, e, m.From, false); err != nil {
			return err
		}
	}
	for _, f := range m.Files {
		if s, there := src[f.Old]; !there || s.Type != 'f' || s.Size != f.Size {
			return fmt.Errorf("%s of %s is not what it was: this step does not touch it, so somebody else did", files.Name(f.Old), m.From)
		}
	}
	return nil
}

// hashedList is what is in a directory, which may be in use.
func hashedList(ctx context.Context, e Env, dir string, sums bool) (map[string]files.Entry, error) {
	t, err := files.Read(ctx, e.Host, dir, files.Look{Sums: sums, Loose: true})
	if err != nil {
		return nil, err
	}
	defer t.Close()
	all := map[string]files.Entry{}
	return all, t.Each(func(f files.Entry) error {
		all[f.Path] = f
		return nil
	})
}

// holdRows tells whether every row has its new name, and no row an old one.
func (m *hashedManifest) holdRows(ctx context.Context, e Env, rows *hashedRows) error {
	want := map[string]string{}
	for _, r := range m.Rows {
		want[r.Key] = r.New
	}
	old := m.olds(rows)
	n := 0
	err := rows.each(ctx, e, func(r hashedRow) error {
		if to, named := old[r.Old]; named && to != r.Old {
			return fmt.Errorf("%s of row %s is still %s", rows, files.Name(r.Key), files.Name(r.Old))
		}
		if v, ours := want[r.Key]; ours && v == r.Old {
			n++
		}
		return nil
	})
	if err == nil && n != len(want) {
		err = fmt.Errorf("%s: %d of %d rows have the new name", rows, n, len(want))
	}
	return err
}

// olds are the values that a row may have before, with what becomes of them.
func (m *hashedManifest) olds(rows *hashedRows) map[string]string {
	all := map[string]string{}
	for _, f := range m.Files {
		all[rows.Old+f.Old] = rows.New + f.New
	}
	return all
}
