package redis

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"math/bits"
	"slices"
	"strings"
	"time"
)

// sum128 adds digests, so that their order does not count and two equal ones
// do not cancel each other.
type sum128 struct{ hi, lo uint64 }

func (s *sum128) add(d [32]byte) {
	var carry uint64
	s.lo, carry = bits.Add64(s.lo, binary.BigEndian.Uint64(d[8:]), 0)
	s.hi, _ = bits.Add64(s.hi, binary.BigEndian.Uint64(d[:]), carry)
}

func (s sum128) String() string { return fmt.Sprintf("%016x%016x", s.hi, s.lo) }

// digest is the fingerprint of one value in the making: the same whether the
// value comes whole or in parts, and however a server has it encoded.
type digest struct {
	typ  string
	h    hash.Hash // of what has an order
	sum  sum128    // of what has none
	n    int64
	seen map[[16]byte]struct{} // items of what has no order and may come twice; nil: they do not
}

func newDigest(typ string, twice bool) *digest {
	d := &digest{typ: typ, h: sha256.New()}
	if twice && (typ == "set" || typ == "hash") {
		d.seen = map[[16]byte]struct{}{}
	}
	return d
}

func hashItems(h hash.Hash, items ...string) {
	var n [8]byte
	for _, s := range items {
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
}

func digestOf(items ...string) (d [32]byte) {
	h := sha256.New()
	hashItems(h, items...)
	h.Sum(d[:0])
	return d
}

// add takes items as parts tells them.
func (d *digest) add(items []string) error {
	switch d.typ {
	case "string": // the parts of a string have no borders of their own
		for _, s := range items {
			d.h.Write([]byte(s))
			d.n += int64(len(s))
		}
	case "set":
		for _, s := range items {
			d.loose(s)
		}
	case "hash":
		for k := 0; k+1 < len(items); k += 2 {
			d.loose(items[k], items[k+1])
		}
	case "zset":
		for k := 0; k+1 < len(items); k += 2 {
			hashItems(d.h, items[k], score(items[k+1]))
			d.n++
		}
	default:
		hashItems(d.h, items...)
		d.n += int64(len(items))
	}
	return nil
}

func (d *digest) loose(item ...string) {
	x := digestOf(item...)
	if d.seen != nil {
		short := [16]byte(x[:16])
		if _, twice := d.seen[short]; twice {
			return
		}
		d.seen[short] = struct{}{}
	}
	d.sum.add(x)
	d.n++
}

// print is the value in words: "hash of 3, 5f0c…".
func (d *digest) print() string {
	fmt.Fprintf(d.h, "%s %d %s", d.typ, d.n, d.sum)
	return fmt.Sprintf("%s of %d, %s", d.typ, d.n, hex.EncodeToString(d.h.Sum(nil)[:16]))
}

// prints fingerprints the values of keys, in the same order; "" for a key that
// is gone.
func (r reader) prints(ctx context.Context, all []entry) ([]string, error) {
	out := make([]string, len(all))
	var small []int
	var commands [][]any
	for k, e := range all {
		if cmd := e.whole(); cmd != nil && e.bytes >= 0 && e.bytes <= wholeBytes && !(r.fields && e.typ == "hash") {
			small, commands = append(small, k), append(commands, cmd)
			continue
		}
		var err error
		if out[k], err = r.big(ctx, e); err != nil {
			return nil, err
		}
	}
	got, err := r.batch(ctx, commands)
	if err != nil {
		return nil, err
	}
	for n, k := range small {
		d := newDigest(all[k].typ, false)
		var items []string
		switch v := got[n].v.(type) {
		case string:
			items = []string{v}
		case []any:
			items = strs(v)
		}
		if got[n].err != nil && said(got[n].err) != "WRONGTYPE" {
			return nil, fmt.Errorf("%s: key %q: %w", r.Server, shorten(all[k].key), got[n].err)
		}
		if got[n].v == nil || all[k].typ != "string" && len(items) == 0 {
			continue // gone, or made anew as something else
		}
		_ = d.add(items)
		out[k] = d.print()
	}
	return out, nil
}

func (r reader) big(ctx context.Context, e entry) (string, error) {
	d := newDigest(e.typ, true)
	switch {
	case e.typ == "stream":
		if err := r.streamDigest(ctx, e.key, d); err != nil {
			return "", err
		}
		return d.print(), nil
	case e.typ == "hash" && r.fields:
		err := r.parts(ctx, e, func(items []string) error { return r.expiring(ctx, e, items, d) })
		return d.print(), err
	case e.whole() != nil:
		err := r.parts(ctx, e, d.add)
		return d.print(), err
	}
	// A module's type: only the module knows what is in it.
	v, err := r.Call(ctx, "DUMP", e.key)
	if err != nil {
		return "", err
	}
	s, _ := v.(string)
	_ = d.add([]string{s[:max(0, len(s)-10)]}) // without version and checksum
	return d.print(), nil
}

// expiring takes in fields of a hash, with when those that expire do so.
func (r reader) expiring(ctx context.Context, e entry, items []string, d *digest) error {
	ends, err := r.fieldExpiries(ctx, e.key, items)
	for k := 0; err == nil && k+1 < len(items); k += 2 {
		switch end := ends[k/2]; {
		case end == fieldLasts:
			d.loose(items[k], items[k+1])
		case end >= r.soon:
			d.loose(items[k], items[k+1], expiryText(end))
		}
	}
	return err
}

// streamDigest takes in the entries and, of the groups, how far they are and
// what is delivered but not acknowledged. Consumers that await nothing and idle
// times are left out: servers do not hand them on.
func (r reader) streamDigest(ctx context.Context, key string, d *digest) error {
	s, err := r.stream(ctx, key)
	if err != nil {
		return err
	}
	err = r.streamEntries(ctx, key, func(id string, fields []string) error {
		hashItems(d.h, append([]string{"entry", id}, fields...)...)
		d.n++
		return nil
	})
	slices.SortFunc(s.groups, func(a, b group) int { return strings.Compare(a.name, b.name) })
	hashItems(d.h, "last", s.last)
	for _, g := range s.groups {
		hashItems(d.h, "group", g.name, g.last)
		for _, p := range g.pending {
			hashItems(d.h, p.id, p.consumer, fmt.Sprint(p.count))
		}
	}
	return err
}

// expiryText is an expiry for people and for comparing.
func expiryText(ms int64) string {
	return "expires " + time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
}
