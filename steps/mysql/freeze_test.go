package mysql

import (
	"strings"
	"testing"
)

func TestReadOnlySQL(t *testing.T) {
	maria, my := Version{MariaDB: true, Major: 10, Minor: 11}, Version{Major: 8, Minor: 4}
	for _, c := range []struct {
		v    Version
		r    ReadOnly
		want string
	}{
		{maria, ReadOnly{On: true, Super: true}, "SET GLOBAL read_only = ON"},
		{maria, ReadOnly{}, "SET GLOBAL read_only = OFF"},
		{my, ReadOnly{On: true, Super: true}, "SET GLOBAL super_read_only = ON"},
		{my, ReadOnly{On: true}, "SET GLOBAL super_read_only = OFF; SET GLOBAL read_only = ON"},
		{my, ReadOnly{}, "SET GLOBAL super_read_only = OFF; SET GLOBAL read_only = OFF"},
	} {
		if got := strings.Join(readOnlySQL(c.v, c.r), "; "); got != c.want {
			t.Errorf("%s %v: %s", c.v, c.r, got)
		}
	}
}
