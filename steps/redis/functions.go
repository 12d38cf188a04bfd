package redis

import (
	"context"
)

// Library is a library of functions (since Redis 7).
type Library struct{ Name, Engine, Code string }

// Functions lists the libraries; none on a server without.
func (c *Client) Functions(ctx context.Context) ([]Library, error) {
	v, err := c.Call(ctx, "FUNCTION", "LIST", "WITHCODE")
	if Refused(err) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	list, _ := v.([]any)
	var all []Library
	for _, item := range list {
		m := flat(item)
		all = append(all, Library{m["library_name"], m["engine"], m["library_code"]})
	}
	return all, nil
}

// CopyFunctions brings the libraries of c to another server, over those of the
// same names.
func (c *Client) CopyFunctions(ctx context.Context, to *Client) error {
	v, err := c.Call(ctx, "FUNCTION", "DUMP")
	if err != nil {
		return err
	}
	_, err = to.Call(ctx, "FUNCTION", "RESTORE", v, "REPLACE")
	return err
}
