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
	var hashes []string
	rest := slices.DeleteFunc(slices.Clone(u.rules), func(r string) bool {
		if strings.HasPrefix(r, "#") {
			hashes = append(hashes, r)
			return true
		}
		return false
	})
	slices.Sort(hashes)
	return strings.Join(append(hashes, plainRules(rest)...), " ")
}

// plainRules are rules in an order of their own, without those that some
// versions tell of every user and others leave out (both know and follow them).
// Servers tell rules of single commands in an order that is nobody's; it counts
// between them and categories, and between those of one command.
func plainRules(rules []string) []string {
	var all []string
	begun := 0
	single := func(r string) bool {
		return (strings.HasPrefix(r, "+") || strings.HasPrefix(r, "-")) && !strings.HasPrefix(r[1:], "@")
	}
	flush := func() {
		slices.SortStableFunc(all[begun:], func(a, b string) int {
			a, _, _ = strings.Cut(a[1:], "|")
			b, _, _ = strings.Cut(b[1:], "|")
			return strings.Compare(a, b)
		})
	}
	for _, r := range rules {
		switch {
		case r == "sanitize-payload", r == "resetchannels":
			continue
		case strings.HasPrefix(r, "("):
			r = "(" + strings.Join(plainRules(strings.Fields(strings.Trim(r, "()"))), " ") + ")"
		}
		if !single(r) {
			flush()
			begun = len(all) + 1
		}
		all = append(all, r)
	}
	flush()
	return all
}

// Told is what the user may do, without the passwords and in the same words on
// every version.
func (u User) Told() string {
	n := 0
	rules := slices.DeleteFunc(slices.Clone(u.rules), func(r string) bool {
		if strings.HasPrefix(r, "#") {
			n++
			return true
		}
		return false
	})
	return fmt.Sprintf("%s (passwords: %d)", strings.Join(plainRules(rules), " "), n)
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

// Lacks names the rules of a user that the server, which is i, does not know,
// as far as it tells (ACL CAT, COMMAND INFO): it would refuse to make the user.
func (c *Client) Lacks(ctx context.Context, i Info, u User) ([]string, error) {
	v, err := c.Call(ctx, "ACL", "CAT")
	if err != nil {
		if Refused(err) {
			err = nil
		}
		return nil, err
	}
	categories := append(strs(v), "all")
	var lacks []string
	for _, rule := range u.words() {
		known := true
		switch name := strings.TrimLeft(rule, "+-"); {
		case strings.HasPrefix(name, "@"):
			known = slices.Contains(categories, name[1:])
		case name != rule:
			known, err = c.command(ctx, i, name)
		case rule == "alldbs", rule == "resetdbs", strings.HasPrefix(rule, "db="):
			known = i.Flavour == "valkey" && versionCompare(i.Version, "9.1") >= 0
		case strings.HasPrefix(rule, "%"):
			known = i.Since("7.0")
		case strings.HasPrefix(rule, "&"):
			known = i.Since("6.2")
		}
		if err != nil {
			return nil, err
		}
		if !known && !slices.Contains(lacks, rule) {
			lacks = append(lacks, rule)
		}
	}
	return lacks, nil
}

// words are the rules one by one, those of selectors among them.
func (u User) words() []string {
	var all []string
	for _, r := range u.rules {
		all = append(all, strings.Fields(strings.Trim(r, "()"))...)
	}
	return all
}

// command tells whether a server knows a command, or "config|get".
func (c *Client) command(ctx context.Context, i Info, name string) (bool, error) {
	base, _, sub := strings.Cut(name, "|")
	there := func(name string) ([]any, bool, error) {
		v, err := c.Call(ctx, "COMMAND", "INFO", name)
		if Refused(err) {
			return nil, true, nil // it does not say
		}
		list, _ := v.([]any)
		if err != nil || len(list) == 0 || list[0] == nil {
			return nil, false, err
		}
		about, _ := list[0].([]any)
		return about, true, nil
	}
	about, known, err := there(base)
	if !known || err != nil || !sub || !i.Since("7.0") || len(about) < 10 {
		return known, err
	}
	if within, _ := about[9].([]any); len(within) == 0 {
		return true, nil // what follows is a first argument
	}
	_, known, err = there(name)
	return known, err
}
