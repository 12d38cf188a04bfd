package redis

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// User is one user of the ACL. Rules hold the hashes of the passwords, and are
// as secret as those.
type User struct {
	Name  string
	rules []string
}

// Users lists the users by name (ACL LIST, since Redis 6). ok is false on a
// server without, or that does not let us.
func (c *Client) Users(ctx context.Context) (all []User, ok bool, err error) {
	v, err := c.Call(ctx, "ACL", "LIST")
	if Refused(err) {
		return nil, false, nil
	} else if err != nil {
		return nil, false, err
	}
	for _, line := range strs(v) {
		words := aclWords(line)
		if len(words) < 2 || words[0] != "user" {
			return nil, false, fmt.Errorf("%s: ACL LIST: unexpected answer of %d characters", c.Server, len(line))
		}
		all = append(all, User{words[1], words[2:]})
	}
	slices.SortFunc(all, func(a, b User) int { return strings.Compare(a.Name, b.Name) })
	return all, true, nil
}

// aclWords splits a line of ACL LIST at spaces; a selector in parentheses is
// one word (redis.io, "ACL SETUSER": names and patterns hold no spaces).
func aclWords(line string) []string {
	var words []string
	open := false
	for w := range strings.FieldsSeq(line) {
		if open {
			words[len(words)-1] += " " + w
		} else {
			words = append(words, w)
		}
		if strings.HasPrefix(w, "(") {
			open = true
		}
		if strings.HasSuffix(w, ")") {
			open = false
		}
	}
	return words
}

// Same tells whether both may do the same with the same passwords, whatever
// the order of the rules that does not count.
func (u User) Same(o User) bool { return u.Print() == o.Print() }

// Print is the user in words that are equal for equal users, the passwords as
// their SHA-256 that Redis itself keeps. What versions add or leave out of
// their own is not in it.
func (u User) Print() string {
	var hashes, rest []string
	for _, r := range u.rules {
		switch {
		case strings.HasPrefix(r, "#"):
			hashes = append(hashes, r)
		case r == "sanitize-payload", r == "resetchannels": // said or left unsaid by version
		default:
			rest = append(rest, r)
		}
	}
	slices.Sort(hashes)
	return strings.Join(append(hashes, rest...), " ")
}

// Told is what the user may do, without the passwords.
func (u User) Told() string {
	var words []string
	n := 0
	for _, r := range u.rules {
		if strings.HasPrefix(r, "#") {
			n++
			continue
		}
		words = append(words, r)
	}
	return fmt.Sprintf("%s (passwords: %d)", strings.Join(words, " "), n)
}

// MakeUser makes a user with the rules and the hashed passwords of u.
func (c *Client) MakeUser(ctx context.Context, u User) error {
	args := []any{"ACL", "SETUSER", u.Name, "reset"}
	for _, r := range u.rules {
		args = append(args, r)
	}
	_, err := c.Call(ctx, args...)
	return err
}

// DropUser removes a user; none is no error.
func (c *Client) DropUser(ctx context.Context, name string) error {
	_, err := c.Call(ctx, "ACL", "DELUSER", name)
	return err
}
