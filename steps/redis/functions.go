package redis

import (
	"context"
	"fmt"
	"regexp"
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
	all, err := c.Functions(ctx)
	for _, l := range all {
		// Not by FUNCTION DUMP, whose format goes with the version as that of DUMP.
		if _, lerr := to.Call(ctx, "FUNCTION", "LOAD", "REPLACE", l.Code); lerr != nil {
			return fmt.Errorf("library %s: %w", l.Name, lerr)
		}
	}
	return err
}

var valkeyName = regexp.MustCompile(`\bserver\s*\.`)

// ForValkey tells whether the code says "server." where Redis knows "redis."
// alone (valkey.io, "Scripting with Lua": since 8.0): then Redis refuses the
// library, and with it the whole of a copy in which it is.
func (l Library) ForValkey() bool { return valkeyName.MatchString(l.Code) }
