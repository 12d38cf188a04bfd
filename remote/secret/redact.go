package secret

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
)

// MinLen is the length in bytes below which a text cannot be taken out of
// output: it would be found in ordinary words. Store.Get refuses such secrets.
const MinLen = 4

// Redactor takes secrets out of text: as they are, and as JSON, URLs, base64
// (also in the middle of something longer, like a Basic header), hex, HTML and
// shell quoting write them; a secret of several lines also line by line. The
// zero Redactor knows no secrets. It is safe for concurrent use.
type Redactor struct {
	mu        sync.Mutex
	public    string
	text      secrets // every secret
	structure secrets // those that could not be a name
}

// secrets are some of them, in all their forms.
type secrets struct {
	forms map[string]bool
	m     atomic.Pointer[machine] // nil: no secrets
}

func (s *secrets) add(text string) {
	before := len(s.forms)
	for _, f := range forms(text) {
		if s.forms == nil {
			s.forms = map[string]bool{}
		}
		s.forms[f] = true
	}
	if len(s.forms) > before {
		s.m.Store(newMachine(s.forms))
	}
}

// Public is told before any Add what anybody may read. A secret that stands in
// it is not taken out: a mask in place of a word that everybody sees tells the
// secret, and a record with holes is of no use.
func (r *Redactor) Public(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.public = text
}

// Add makes v known, also to Writers that are already in use. A value of less
// than MinLen bytes is not added, nor one that is Public.
func (r *Redactor) Add(v Value) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if strings.Contains(r.public, v.Reveal()) {
		return
	}
	r.text.add(v.Reveal())
	if !nameLike.MatchString(v.Reveal()) {
		r.structure.add(v.Reveal())
	}
}

// nameLike is a secret as a database, a login or a word may be called, too:
// postgres, lab-admin, shop2024.
var nameLike = regexp.MustCompile(`(?i)^([a-z][a-z._-]*)?[0-9]{0,6}$`)

// Structure is String for what a program reads again, such as a step's memory:
// a secret that may as well be a name is left in it, for an undo that looks for
// the role "[secret]" does not find it. Nothing puts secrets there on purpose.
func (r *Redactor) Structure(s string) string { return r.structure.redact(s) }

// String returns s with a Mask in place of every secret.
func (r *Redactor) String(s string) string { return r.text.redact(s) }

func (s *secrets) redact(text string) string {
	if s.m.Load() == nil {
		return text
	}
	var b bytes.Buffer
	w := &writer{of: s, w: &b}
	_, _ = io.WriteString(w, text) // a Buffer takes everything
	_ = w.Close()
	return b.String()
}

// Writer redacts what is written to it on its way to w, also where a secret is
// cut by the border of two writes. It keeps back only what may still become a
// secret: bytes at the end that are the beginning of one. So a line that is
// complete is never kept back, unless a secret has lines. Close writes the
// rest; it does not close w. A Writer is not safe for concurrent use.
func (r *Redactor) Writer(w io.Writer) io.WriteCloser {
	return &writer{of: &r.text, w: w}
}

type writer struct {
	of     *secrets
	w      io.Writer
	m      *machine
	state  int32
	hold   []byte // read, not written yet
	hidden []bool // for each byte of hold: part of a secret
	masked bool   // the last byte written was part of a secret
	out    []byte
	err    error
}

func (w *writer) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	w.out = w.out[:0]
	w.renew()
	if w.m == nil {
		w.out = append(w.out, p...)
	} else {
		w.feed(p)
	}
	if w.flush(); w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

func (w *writer) Close() error {
	if w.err == nil {
		w.out = w.out[:0]
		w.release(len(w.hold))
		w.flush()
	}
	return w.err
}

// Held is how many bytes are kept back now; whoever wants to know asks for
// interface{ Held() int }.
func (w *writer) Held() int { return len(w.hold) }

func (w *writer) flush() {
	if len(w.out) > 0 {
		_, w.err = w.w.Write(w.out)
	}
}

// renew takes up secrets that were added since the last write; what is held is
// read again, because it may be the beginning of a new one.
func (w *writer) renew() {
	m := w.of.m.Load()
	if m == w.m {
		return
	}
	hold, hidden := w.hold, w.hidden
	w.m, w.state, w.hold, w.hidden = m, 0, nil, nil
	for i, c := range hold {
		w.step(c, hidden[i])
	}
}

func (w *writer) feed(p []byte) {
	for i := 0; i < len(p); i++ {
		if w.state == 0 && len(w.hold) == 0 {
			n := w.m.skip(p[i:])
			if n > 0 {
				w.out = append(w.out, p[i:i+n]...)
				w.masked = false
				if i += n; i == len(p) {
					return
				}
			}
		}
		w.step(p[i], false)
	}
}

// step reads one byte. What lies before the longest beginning of a secret that
// the text now ends with can no longer become part of one: it goes out.
func (w *writer) step(c byte, hidden bool) {
	w.hold = append(w.hold, c)
	w.hidden = append(w.hidden, hidden)
	w.state = w.m.next(w.state, c)
	n := w.m.nodes[w.state]
	for i := len(w.hold) - int(n.found); i < len(w.hold); i++ {
		w.hidden[i] = true
	}
	w.release(len(w.hold) - int(n.depth))
}

func (w *writer) release(n int) {
	for i := range n {
		switch {
		case !w.hidden[i]:
			w.out = append(w.out, w.hold[i])
		case !w.masked:
			w.out = append(w.out, Mask...)
		}
		w.masked = w.hidden[i]
	}
	w.hold = append(w.hold[:0], w.hold[n:]...)
	w.hidden = append(w.hidden[:0], w.hidden[n:]...)
}
