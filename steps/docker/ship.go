package docker

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"belay/remote"
)

var (
	//go:embed save.sh
	saveScript string
	//go:embed receive.sh
	receiveScript string
	//go:embed parts.sh
	partsScript string
)

// Shipment is an image on its way from one host to another, by `docker save`
// and `docker load`. What arrives lies in a file of the receiving login's
// (~/.local/state/belay/parts) until Done, so that a shipment which was cut goes
// on from there.
type Shipment struct {
	From, To remote.Host
	Image    string           // ID on From
	Name     string           // of the file, the same on every attempt: [A-Za-z0-9._-]
	Pack     string           // zstd, gzip or none; "" chooses what both hosts have
	Say      func(done int64) // bytes that have arrived, unpacked
	Log      io.Writer
}

var loadedID = regexp.MustCompile(`Loaded image ID: (sha256:[0-9a-f]{64})`)

// Run brings the image and loads it. It returns the ID that the receiving
// engine gives it, which is another one where that engine has another kind of
// store (Engine 29: containerd's).
func (s Shipment) Run(ctx context.Context) (string, error) {
	if s.Pack == "" {
		var err error
		if s.Pack, err = Packer(ctx, s.From, s.To); err != nil {
			return "", err
		}
	}
	for again := false; ; again = true {
		have, err := s.have(ctx)
		if err != nil {
			return "", err
		}
		if have > 0 {
			fmt.Fprintf(s.Log, "%s have arrived before; going on from there\n", remote.FormatBytes(have))
		}
		want, err := s.move(ctx, have)
		if err != nil {
			return "", err
		}
		got, err := s.sum(ctx)
		if err != nil {
			return "", err
		}
		if got == want {
			return s.load(ctx)
		}
		if have == 0 || again {
			return "", fmt.Errorf("image %.19s: what arrived on %s is not what %s sent (SHA-256 %s, not %s); nothing was loaded", s.Image, s.To.Name, s.From.Name, got, want)
		}
		// This engine does not save the same image in the same bytes twice.
		fmt.Fprintf(s.Log, "the second part does not fit the first; sending the whole image again\n")
		if err := s.Done(ctx); err != nil {
			return "", err
		}
	}
}

// Done removes the file that outlives the connection.
func (s Shipment) Done(ctx context.Context) error {
	if err := s.To.Run(ctx, s.there(`p=$(belay_part "$1") && rm -f "$p"`, s.Name)); err != nil {
		return fmt.Errorf("remove what is left of the shipment on %s: %w", s.To.Name, err)
	}
	return nil
}

// there is a command on To that knows belay_part.
func (s Shipment) there(script string, args ...string) remote.Cmd {
	return remote.Sh(partsScript+script, args...)
}

// Packer is the program that packs best of those that both hosts have: zstd,
// gzip or none.
func Packer(ctx context.Context, from, to remote.Host) (string, error) {
	both := map[string]int{}
	for _, h := range []remote.Host{from, to} {
		c := remote.Sh(`for p in zstd gzip; do command -v "$p" >/dev/null && echo "$p"; done; :`)
		c.Pure = true
		out, err := remote.Output(ctx, h, c)
		if err != nil {
			return "", fmt.Errorf("%s: %w", h.Name, err)
		}
		for p := range strings.FieldsSeq(string(out)) {
			both[p]++
		}
	}
	for _, p := range []string{"zstd", "gzip"} {
		if both[p] == 2 {
			return p, nil
		}
	}
	return "none", nil
}

func (s Shipment) have(ctx context.Context) (int64, error) {
	out, err := remote.Output(ctx, s.To, s.there(`p=$(belay_part "$1") || exit 1; [ ! -e "$p" ] || wc -c <"$p"`, s.Name))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", s.To.Name, err)
	}
	text := strings.TrimSpace(string(out))
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s: unexpected answer %.100q", s.To.Name, text)
	}
	return n, nil
}

func (s Shipment) sum(ctx context.Context) (string, error) {
	out, err := remote.Output(ctx, s.To, s.there(`p=$(belay_part "$1") && sha256sum <"$p"`, s.Name))
	if err != nil {
		return "", fmt.Errorf("%s: %w", s.To.Name, err)
	}
	sum, _, _ := strings.Cut(string(out), " ")
	return sum, nil
}

// move sends all but the first have bytes, and returns the sum of all.
func (s Shipment) move(ctx context.Context, have int64) (sum string, err error) {
	send := remote.Sh(saveScript, s.Image, strconv.FormatInt(have, 10), s.Pack)
	send.Pure = true // it only reads
	sends := &lines{mark: "belay-sum ", rest: s.Log, tell: func(v string) { sum = v }}
	send.Stderr = sends
	take := s.there(receiveScript, s.Name, strconv.FormatInt(have, 10), s.Pack)
	takes := &lines{mark: "belay-have ", rest: s.Log, tell: func(v string) {
		if n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64); err == nil {
			s.Say(n)
		}
	}}
	take.Stderr = takes
	err = Relay(ctx, s.From, send, s.To, take)
	sends.flush()
	takes.flush()
	if err != nil {
		return "", fmt.Errorf("image %.19s from %s to %s: %w; what has arrived is kept, and a retry goes on from there", s.Image, s.From.Name, s.To.Name, err)
	}
	if sum == "" {
		return "", fmt.Errorf("image %.19s: %s did not say what it sent", s.Image, s.From.Name)
	}
	return sum, nil
}

func (s Shipment) load(ctx context.Context) (string, error) {
	c := s.there(`p=$(belay_part "$1") && docker load <"$p"`, s.Name)
	c.Stderr = s.Log
	out, err := remote.Output(ctx, s.To, c)
	if err != nil {
		return "", fmt.Errorf("load image %.19s on %s: %w", s.Image, s.To.Name, err)
	}
	s.Log.Write(out)
	m := loadedID.FindSubmatch(out)
	if m == nil {
		return "", fmt.Errorf("load image %.19s on %s: unexpected answer %.200q", s.Image, s.To.Name, out)
	}
	return string(m[1]), nil
}

// lines takes the lines that begin with mark out of a stream, and passes the
// others on.
type lines struct {
	mark string
	tell func(value string)
	rest io.Writer
	part []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.part = append(l.part, p...)
	for {
		i := bytes.IndexByte(l.part, '\n')
		if i < 0 && len(l.part) > 64<<10 {
			i = len(l.part) - 1
		}
		if i < 0 {
			return len(p), nil
		}
		l.take(l.part[:i+1])
		l.part = l.part[i+1:]
	}
}

func (l *lines) take(line []byte) {
	if v, ok := bytes.CutPrefix(bytes.TrimRight(line, "\n"), []byte(l.mark)); ok {
		l.tell(string(v))
		return
	}
	l.rest.Write(line)
}

func (l *lines) flush() {
	if len(l.part) > 0 {
		l.take(l.part)
		l.part = nil
	}
}
