package inspect

import (
	"slices"
	"strconv"
	"strings"
)

// accounts are the logins and groups that the host's own files hold: those that
// another host can be given.
type accounts struct {
	users  []User
	groups map[int]string // by number
}

// readAccounts expects the lines of passwd(5), "=group", and those of group(5).
func readAccounts(section []byte) accounts {
	a := accounts{groups: map[int]string{}}
	members := map[string][]string{}
	inGroups := false
	for line := range lines(section) {
		w := strings.Split(line, ":")
		switch {
		case line == "=group":
			inGroups = true
		case !inGroups && len(w) >= 7 && len(a.users) < 2000:
			uid, err := strconv.ParseUint(w[2], 10, 32)
			gid, err2 := strconv.ParseUint(w[3], 10, 32)
			if err == nil && err2 == nil {
				a.users = append(a.users, User{Name: tidy(w[0], 64), UID: int(uid), GID: int(gid), Home: tidy(w[5], 300), Shell: tidy(w[6], 300)})
			}
		case inGroups && len(w) >= 4:
			if gid, err := strconv.ParseUint(w[2], 10, 32); err == nil {
				a.groups[int(gid)] = tidy(w[0], 64)
			}
			for m := range strings.SplitSeq(w[3], ",") {
				if m != "" {
					members[m] = append(members[m], tidy(w[0], 64))
				}
			}
		}
	}
	for i := range a.users {
		u := &a.users[i]
		u.Group, u.Groups = a.groups[u.GID], members[u.Name]
		slices.Sort(u.Groups)
	}
	return a
}

// of is what is known of a login.
func (a accounts) of(name string) (User, bool) {
	i := slices.IndexFunc(a.users, func(u User) bool { return u.Name == name })
	if i < 0 {
		return User{}, false
	}
	return a.users[i], true
}
