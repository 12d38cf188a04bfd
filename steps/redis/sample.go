package redis

import "context"

// Sample compares up to n random keys of one database and names those that are
// not alike. It says something only while both stand still.
func Sample(ctx context.Context, from, to Server, n int) (unlike []string, err error) {
	a, err := from.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	b, err := to.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	var keys []string
	seen := map[string]bool{}
	for range n {
		v, err := a.Call(ctx, "RANDOMKEY")
		if err != nil {
			return nil, err
		}
		if k, ok := v.(string); ok && !seen[k] {
			seen[k] = true
			keys = append(keys, k)
		}
	}
	old, err := a.values(ctx, keys)
	if err != nil {
		return nil, err
	}
	now, err := b.values(ctx, keys)
	for _, k := range keys {
		if old[k] != now[k] && old[k] != "" { // gone from the source meanwhile: expired
			unlike = append(unlike, keyText(k))
		}
	}
	return unlike, err
}

// values are the fingerprints of the values of keys.
func (c *Client) values(ctx context.Context, keys []string) (map[string]string, error) {
	i, err := c.Info(ctx)
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	r := c.reader(i)
	all, err := r.entries(ctx, keys)
	if err != nil {
		return nil, err
	}
	prints, err := r.prints(ctx, all)
	m := map[string]string{}
	for k, p := range prints {
		m[all[k].key] = p
	}
	return m, err
}
