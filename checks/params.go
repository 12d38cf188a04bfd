package checks

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"belay/remote"
)

// expression refuses a parameter that is no regular expression.
func expression(field, expr string) error {
	if _, err := regexp.Compile(expr); err != nil {
		return Field(field, "%q is not a regular expression: %v", expr, err)
	}
	return nil
}

// portNumber refuses what is no port.
func portNumber(field string, n int) error {
	if n < 1 || n > 65535 {
		return Field(field, "%d is not a port: 1 to 65535", n)
	}
	return nil
}

// within is how long a look may take: the parameter, or otherwise.
func within(d remote.Duration, otherwise time.Duration) time.Duration {
	return cmp.Or(time.Duration(d), otherwise)
}

// constraint is a version requirement such as ">= 2.20, < 3".
type constraint []bound

type bound struct {
	op   string
	text string
	want []int
}

var boundForm = regexp.MustCompile(`^(>=|<=|>|<|==?|)\s*v?(\d{1,9}(?:\.\d{1,9}){0,7})$`)

func parseConstraint(s string) (constraint, error) {
	var c constraint
	for part := range strings.SplitSeq(s, ",") {
		m := boundForm.FindStringSubmatch(strings.TrimSpace(part))
		if m == nil {
			return nil, fmt.Errorf("%q is not a version requirement such as \">= 2.20\" or \">= 2.20, < 3\"", s)
		}
		c = append(c, bound{op: m[1], text: m[2], want: numbers(m[2])})
	}
	return c, nil
}

// ok tells whether a version fits. A bare version (or =) is a prefix: 15 takes
// 15.4; with an operator, missing numbers count as 0.
func (c constraint) ok(version string) bool {
	have := numbers(version)
	for _, b := range c {
		if !b.ok(have) {
			return false
		}
	}
	return true
}

func (b bound) ok(have []int) bool {
	if b.op == "" || b.op[0] == '=' {
		if len(have) < len(b.want) {
			return false
		}
		return order(have[:len(b.want)], b.want) == 0
	}
	o := order(have, b.want)
	switch b.op {
	case ">=":
		return o >= 0
	case ">":
		return o > 0
	case "<=":
		return o <= 0
	}
	return o < 0
}

func order(a, b []int) int {
	for i := range max(len(a), len(b)) {
		x, y := 0, 0
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			return cmp.Compare(x, y)
		}
	}
	return 0
}

func numbers(version string) []int {
	var all []int
	for part := range strings.SplitSeq(version, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			break
		}
		all = append(all, n)
	}
	return all
}

var (
	versionForm = regexp.MustCompile(`\d{1,9}(?:\.\d{1,9}){1,7}`)
	wholeForm   = regexp.MustCompile(`\d{1,9}`)
	distribForm = regexp.MustCompile(`Distrib (\d{1,9}(?:\.\d{1,9}){1,7})`)
)

// versionIn finds the version in what a program says of itself; "" if none.
// MariaDB's clients say theirs first and the distribution's after it.
func versionIn(line string) string {
	if m := distribForm.FindStringSubmatch(line); m != nil {
		return m[1]
	}
	if v := versionForm.FindString(line); v != "" {
		return v
	}
	return wholeForm.FindString(line)
}
