package redis

import (
	"context"
	"fmt"
)

// What HPEXPIRETIME tells of fields without an expiry, and of those that are
// gone (redis.io/commands/hpexpiretime; the same in Valkey).
const (
	fieldLasts int64 = -1
	fieldGone  int64 = -2
)

// fieldExpiries tells when fields of a hash expire, in unix ms. items are
// fields, each with its value.
func (c *Client) fieldExpiries(ctx context.Context, key string, items []string) ([]int64, error) {
	args := []any{"HPEXPIRETIME", key, "FIELDS", len(items) / 2}
	for k := 0; k+1 < len(items); k += 2 {
		args = append(args, items[k])
	}
	v, err := c.Call(ctx, args...)
	if err != nil {
		return nil, err
	}
	ends := make([]int64, len(items)/2)
	list, _ := v.([]any)
	for k := range ends {
		ends[k] = fieldGone // nil is a key that is gone
		if k < len(list) {
			ends[k], _ = list[k].(int64)
		}
	}
	return ends, nil
}

// putFieldExpiries lets the fields that were just added under Temp expire as
// they do on the source.
func (p *pair) putFieldExpiries(ctx context.Context, e entry, items []string) error {
	ends, err := p.from.fieldExpiries(ctx, e.key, items)
	if err != nil {
		return err
	}
	var commands [][]any
	for k, end := range ends {
		switch end {
		case fieldLasts:
		case fieldGone: // meanwhile
			commands = append(commands, []any{"HDEL", p.Temp, items[2*k]})
		default:
			commands = append(commands, []any{"HPEXPIREAT", p.Temp, end, "FIELDS", 1, items[2*k]})
		}
	}
	got, err := p.to.batch(ctx, commands)
	for _, a := range got {
		if a.err != nil {
			return p.fail(e, fmt.Errorf("it has fields that expire: %w", a.err))
		}
	}
	return err
}
