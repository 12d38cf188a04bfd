package redis

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Matters are the settings that change what applications see or lose, in the
// order in which they are told.
var Matters = []string{"maxmemory", "maxmemory-policy", "notify-keyspace-events", "databases", "appendonly", "save"}

// fixed are those that only a start can change.
var fixed = []string{"databases"}

// Settings reads settings by CONFIG GET. A server that does not let us is asked
// no further: the map is nil, and the error says why.
func (c *Client) Settings(ctx context.Context, names ...string) (map[string]string, error) {
	m := map[string]string{}
	for _, name := range names { // several names at once: only since Redis 7
		v, err := c.Call(ctx, "CONFIG", "GET", name)
		if err != nil {
			return nil, err
		}
		pair := strs(v)
		for k := 0; k+1 < len(pair); k += 2 {
			m[pair[k]] = pair[k+1]
		}
	}
	return m, nil
}

// Set changes one setting of the running server.
func (c *Client) Set(ctx context.Context, name, value string) error {
	_, err := c.Call(ctx, "CONFIG", "SET", name, value)
	return err
}

// Difference is a setting that two servers have not alike.
type Difference struct {
	Name, Old, New string
	Fixed          bool // only a start can change it
}

func (d Difference) String() string {
	return fmt.Sprintf("%s is %s on the source and %s on the target", d.Name, quoteEmpty(d.Old), quoteEmpty(d.New))
}

func quoteEmpty(s string) string {
	if s == "" {
		return `""`
	}
	return s
}

// Differences compares Matters as both maps have them.
func Differences(old, now map[string]string) []Difference {
	var all []Difference
	for _, name := range Matters {
		a, inA := old[name]
		b, inB := now[name]
		if name == "save" { // "3600 1 300 100" is told with one or with more spaces
			a, b = strings.Join(strings.Fields(a), " "), strings.Join(strings.Fields(b), " ")
		}
		if inA && inB && a != b {
			all = append(all, Difference{name, a, b, slices.Contains(fixed, name)})
		}
	}
	return all
}

// Keep writes the settings and users of the running server to its files, so
// that a restart does not forget them. told says what could not be kept, and is
// empty if all is.
func (c *Client) Keep(ctx context.Context) (told string, err error) {
	i, err := c.Info(ctx)
	if err != nil {
		return "", err
	}
	var lost []string
	if i.Config == "" {
		lost = append(lost, "the server runs without a configuration file, so a restart forgets settings that were changed while it ran: put them where it is started")
	} else if _, err := c.Call(ctx, "CONFIG", "REWRITE"); Refused(err) {
		lost = append(lost, fmt.Sprintf("a restart forgets changed settings: %v", err))
	} else if err != nil {
		return "", err
	}
	if file, err := c.Settings(ctx, "aclfile"); err == nil && file["aclfile"] != "" {
		if _, err := c.Call(ctx, "ACL", "SAVE"); Refused(err) {
			lost = append(lost, fmt.Sprintf("a restart forgets changed users: %v", err))
		} else if err != nil {
			return "", err
		}
	}
	return strings.Join(lost, "; "), nil
}
