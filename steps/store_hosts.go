package steps

import (
	"net"
	"slices"
	"strings"

	"belay/checks"
)

// on is the host that reaches the server: its own, or the step's, which may
// have none.
func (s store) on(step string) string {
	if s.Host != "" {
		return s.Host
	}
	return step
}

// storeHosts are the hosts that reach stores, each once; step is the host that
// stands for one that is not named, and left out where it has no name either.
func storeHosts(step string, all ...store) (names []string) {
	for _, s := range all {
		if h := s.on(step); h != "" && !slices.Contains(names, h) {
			names = append(names, h)
		}
	}
	return names
}

// where is the server as the plan writes it, for people who have several on a
// host: "in container shop-db-1", "at 127.0.0.1:5433". port is the usual one.
func (s store) where(port string) string {
	switch {
	case s.Container != "":
		return "in container " + s.Container
	case s.Addr != "":
		return "at " + s.Addr
	}
	return "at " + net.JoinHostPort("127.0.0.1", port)
}

// tell makes a finding say which server it is about, unless its text does
// already. what is what is there: "database shop", "MySQL".
func (s store) tell(f checks.Finding, what, port string) checks.Finding {
	where := s.where(port)
	_, place, _ := strings.Cut(where, " ")
	if !strings.Contains(f.Text, strings.TrimPrefix(place, "container ")) {
		f.Text = what + " " + where + ": " + f.Text
	}
	return f
}
