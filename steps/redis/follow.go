package redis

import (
	"context"
	"fmt"
	"net"

	"belay/remote/secret"
)

// Follow makes the server a replica of master (host:port as this server sees
// it), logging in there as user. What the server held is replaced.
func (c *Client) Follow(ctx context.Context, master, user string, password secret.Value) error {
	host, port, err := net.SplitHostPort(master)
	if err != nil {
		return fmt.Errorf("address %q: %w", master, err)
	}
	if err := c.masterLogin(ctx, user, password); err != nil {
		return err
	}
	_, err = c.Call(ctx, "REPLICAOF", host, port)
	return err
}

func (c *Client) masterLogin(ctx context.Context, user string, password secret.Value) error {
	i, err := c.Info(ctx)
	if err != nil {
		return err
	}
	if i.Since("6.0") {
		if err := c.Set(ctx, "masteruser", user); err != nil {
			return err
		}
	} else if user != "" {
		return fmt.Errorf("%s: it is older than 6.0 and cannot log in to its master as %s", c.Server, user)
	}
	return c.Set(ctx, "masterauth", password.Reveal())
}

// MasterLogin tells whether the server has a login of its own for a master:
// one that is neither empty nor that of user with password. belay would have
// to write it down to put it back, so it does not replace it.
func (c *Client) MasterLogin(ctx context.Context, user string, password secret.Value) (foreign bool, err error) {
	s, err := c.Settings(ctx, "masteruser", "masterauth")
	if err != nil {
		return false, err
	}
	own := func(now, ours string) bool { return now != "" && now != ours }
	return own(s["masterauth"], password.Reveal()) || own(s["masteruser"], user), nil
}

// ForgetMaster takes the login for a master out again.
func (c *Client) ForgetMaster(ctx context.Context) error {
	return c.masterLogin(ctx, "", secret.Value{})
}

// Promote ends following: the server keeps its data and takes writes.
func (c *Client) Promote(ctx context.Context) error {
	_, err := c.Call(ctx, "REPLICAOF", "NO", "ONE")
	return err
}

// Follows tells whether replica has the data of master, or waits for it: one
// history, and the role of a replica. It does not depend on addresses, which
// may differ from either side.
func Follows(replica, master Info) bool {
	return replica.Role == "slave" && replica.LinkUp && !replica.Syncing && replica.ReplID == master.ReplID
}

// PromotedFrom tells whether now was a replica of old's history and was made a
// master. written is how many bytes of its own history it has since; it also
// grows when it is itself followed.
func PromotedFrom(now, old Info) (yes bool, written int64) {
	if now.Role != "master" || now.ReplID2 == "" || now.ReplID2 != old.ReplID && now.ReplID2 != old.ReplID2 {
		return false, 0
	}
	return true, max(0, now.Offset-now.SecondOffset+1)
}

// LogInToMaster sets whom the server logs in as where it will follow.
func (c *Client) LogInToMaster(ctx context.Context, user string, password secret.Value) error {
	return c.masterLogin(ctx, user, password)
}

// Role asks by another road than Info: "master" or "slave".
func (c *Client) Role(ctx context.Context) (string, error) {
	v, err := c.Call(ctx, "ROLE")
	if err != nil {
		return "", err
	}
	if list := strs(v); len(list) > 0 {
		return list[0], nil
	}
	return "", fmt.Errorf("%s: ROLE: unexpected answer", c.Server)
}
