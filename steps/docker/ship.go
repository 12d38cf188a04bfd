package docker

import (
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
// and `docker load`. What arrives is loaded while it comes, and lies also in a
// file of the receiving login's (~/.local/state/belay/parts) until Done, so that
// a shipment which was cut goes on from there.
type Shipment struct {
	From, To remote.Host
	Image    string           // ID on From
	Name     string           // of the file, the same on every attempt: [A-Za-z0-9._-]
	Pack     string           // zstd, gzip or none; "" chooses what both hosts have, and that only if it pays
	Proven   bool             // both engines keep images in their own store: see Engine.OwnStore
	Layers   []string         // of the image: their SHA-256, the lowest first
	Shared   int              // so many of them To has already, and they are not sent: see Engine.Shared. Only if Proven
	Say      func(done int64) // bytes that have arrived, unpacked
	Log      io.Writer

	sum string // the program that sums up what is sent and what arrives
}

const loadedMark = "Loaded image ID: "

var loadedID = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// Run brings the image and loads it. It returns the ID that the receiving
// engine gives it, which is another one where that engine has another kind of
// store (Engine 29: containerd's).
//
// What arrived is what was sent: either the sums of both are equal, or the
// shipment is Proven and the ID is the same. The ID is the SHA-256 of the image's
// configuration, which names the SHA-256 of every layer, and an engine of that
// kind loads no layer that has another one (moby, image/tarexport/load.go:
// "invalid diffID").
func (s Shipment) Run(ctx context.Context) (string, error) {
	tools, err := Common(ctx, s.From, s.To)
	if err != nil {
		return "", err
	}
	s.sum = tools.Sum
	if s.Pack == "" {
		s.Pack = tools.Pack
	}
	have, err := s.have(ctx)
	if err != nil {
		return "", err
	}
	if have > 0 {
		fmt.Fprintf(s.Log, "%s have arrived before; going on from there\n", remote.FormatBytes(have))
		id, err := s.rest(ctx, have)
		if id != "" || err != nil {
			return id, err
		}
		// This engine does not save the same image in the same bytes twice.
		fmt.Fprintf(s.Log, "the second part does not fit the first; sending the whole image again\n")
		if err := s.Done(ctx); err != nil {
			return "", err
		}
	}
	return s.whole(ctx)
}

// whole sends all of it, and loads it meanwhile.
func (s Shipment) whole(ctx context.Context) (string, error) {
	if s.Proven {
		s.sum = ""
	}
	m, err := s.move(ctx, 0, "load")
	switch {
	case err != nil:
		return "", err
	case s.sum != "" && m.got != m.sent:
		return "", s.unlike(m)
	case s.sum == "" && m.id != s.Image:
		return "", fmt.Errorf("image %.19s of %s was loaded on %s as %.19s: it is not the same", s.Image, s.From.Name, s.To.Name, m.id)
	}
	return m.id, nil
}

// rest sends all but the first have bytes, and loads what is then there. It
// returns "" when the two parts are not of one piece.
func (s Shipment) rest(ctx context.Context, have int64) (string, error) {
	m, err := s.move(ctx, have, "keep")
	if err != nil {
		return "", err
	}
	if m.got, err = s.sumUp(ctx); err != nil || m.got != m.sent {
		return "", err
	}
	return s.load(ctx)
}

func (s Shipment) unlike(m moved) error {
	return fmt.Errorf("image %.19s: what arrived on %s is not what %s sent (%s says %.16s…, not %.16s…)", s.Image, s.To.Name, s.From.Name, s.sum, m.got, m.sent)
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

func (s Shipment) sumUp(ctx context.Context) (string, error) {
	out, err := remote.Output(ctx, s.To, s.there(`p=$(belay_part "$1") && "$2" <"$p"`, s.Name, s.sum))
	if err != nil {
		return "", fmt.Errorf("%s: %w", s.To.Name, err)
	}
	sum, _, _ := strings.Cut(string(out), " ")
	return sum, nil
}

// moved is what both ends say of a stream: sums, and what was loaded.
type moved struct{ sent, got, id string }

// move sends all but the first have bytes. do is "load" or "keep".
func (s Shipment) move(ctx context.Context, have int64, do string) (m moved, err error) {
	from := strconv.FormatInt(have, 10)
	args := append([]string{s.Image, from, s.Pack, s.sum}, layerFiles(s.Layers, s.Shared)...)
	send := remote.Sh(PackScript+saveScript, args...)
	send.Pure = true // it only reads
	sends := &Marked{Mark: "belay-sum ", Rest: s.Log, Tell: func(v string) { m.sent = v }}
	send.Stderr = sends
	take := s.there(PackScript+receiveScript, s.Name, from, do, s.sum)
	gots := &Marked{Mark: "belay-got ", Rest: s.Log, Tell: func(v string) { m.got = v }}
	takes := &Marked{Mark: "belay-have ", Rest: gots, Tell: func(v string) {
		if n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64); err == nil {
			s.Say(n)
		}
	}}
	loads := &Marked{Mark: loadedMark, Rest: s.Log, Tell: func(v string) { m.id = v }}
	take.Stderr, take.Stdout = takes, loads
	err = Relay(ctx, s.From, send, s.To, take)
	for _, w := range []*Marked{sends, takes, gots, loads} {
		w.Flush()
	}
	switch {
	case err != nil:
		return m, fmt.Errorf("image %.19s from %s to %s: %w; what has arrived is kept, and a retry goes on from there", s.Image, s.From.Name, s.To.Name, err)
	case s.sum != "" && m.sent == "":
		return m, fmt.Errorf("image %.19s: %s did not say what it sent", s.Image, s.From.Name)
	case do == "load" && !loadedID.MatchString(m.id):
		return m, fmt.Errorf("load image %.19s on %s: unexpected answer %.100q", s.Image, s.To.Name, m.id)
	}
	return m, nil
}

func (s Shipment) load(ctx context.Context) (string, error) {
	c := s.there(`p=$(belay_part "$1") && docker load <"$p"`, s.Name)
	id := ""
	loads := &Marked{Mark: loadedMark, Rest: s.Log, Tell: func(v string) { id = v }}
	c.Stderr, c.Stdout = s.Log, loads
	if err := s.To.Run(ctx, c); err != nil {
		return "", fmt.Errorf("load image %.19s on %s: %w", s.Image, s.To.Name, err)
	}
	loads.Flush()
	if !loadedID.MatchString(id) {
		return "", fmt.Errorf("load image %.19s on %s: unexpected answer %.100q", s.Image, s.To.Name, id)
	}
	return id, nil
}
