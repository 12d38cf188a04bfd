package checks

import (
	"strconv"
	"strings"
)

func init() {
	addFact(fact{name: "users", limit: 512 << 10, parse: parseUsers, script: `
if has getent && lim 3 getent passwd; then return; fi
[ -r /etc/passwd ] || { miss "there is no getent and /etc/passwd cannot be read"; return; }
pass /etc/passwd`})
}

// parseUsers expects passwd(5) lines: name:x:uid:gid:comment:home:shell. All
// are kept here; link drops those who cannot log in and run nothing.
func parseUsers(section []byte, f *Facts) error {
	seen := map[string]bool{}
	for line := range lines(section) {
		w := strings.Split(line, ":")
		if len(w) < 7 || seen[w[0]] {
			continue
		}
		uid, err := strconv.ParseUint(w[2], 10, 32)
		if err != nil {
			continue
		}
		seen[w[0]] = true
		f.Users = append(f.Users, User{Name: w[0], UID: int(uid), Home: w[5], Shell: w[6]})
	}
	if len(f.Users) == 0 {
		return noReading(f, "users")
	}
	return nil
}
