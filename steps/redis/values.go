package redis

import (
	"context"
	"fmt"
)

// small tells that a value may go by one command of its type, read and written
// with many others at once.
func (p *pair) small(e entry) bool {
	return e.whole() != nil && e.bytes >= 0 && e.bytes <= wholeBytes && !(e.typ == "hash" && p.from.fields)
}

// values copies small values by the commands of their types. Until the switch
// nobody but belay looks at the target: a value is made in its place.
func (p *pair) values(ctx context.Context, all []entry) error {
	var read [][]any
	for _, e := range all {
		read = append(read, e.whole())
	}
	got, err := p.from.batch(ctx, read)
	if err != nil {
		return err
	}
	var write [][]any
	var of []entry // one of each command
	add := func(e entry, args ...any) { write, of = append(write, args), append(of, e) }
	for k, e := range all {
		add(e, "DEL", e.key)
		var items []string
		switch v := got[k].v.(type) {
		case string:
			items = []string{v}
		case []any:
			items = strs(v)
		}
		if got[k].err != nil && said(got[k].err) != "WRONGTYPE" {
			return fmt.Errorf("%s: key %q (%s): %w", p.From, shorten(e.key), e.typ, got[k].err)
		}
		if len(items) == 0 {
			continue // gone, or made anew as something else: the next pass sees it
		}
		if e.typ == "string" {
			add(e, "SET", e.key, items[0])
		} else {
			add(e, putting(e.typ, e.key, items)...)
		}
		if e.expiry != 0 {
			add(e, "PEXPIREAT", e.key, e.expiry)
		}
	}
	done, err := p.to.batch(ctx, write)
	for k, a := range done {
		if a.err != nil {
			return p.fail(of[k], a.err)
		}
	}
	return err
}
