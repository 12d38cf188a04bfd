package steps

import (
	"fmt"

	"belay/checks"
)

// checkKinds are the kinds of check that know stores, which package checks,
// being below them, cannot hold.
var checkKinds = map[string]checks.Kind{}

func registerCheck(k checks.Kind) {
	if _, twice := checkKinds[k.Name]; twice {
		panic(fmt.Sprintf("check kind %q registered twice", k.Name))
	}
	checkKinds[k.Name] = k
}

// Checks returns them by name, in a fresh map; a plan uses them like any other
// kind of check.
func Checks() map[string]checks.Kind {
	all := map[string]checks.Kind{}
	for name, k := range checkKinds {
		all[name] = k
	}
	return all
}
