package journal

import "testing"

func TestLossWords(t *testing.T) {
	for want, l := range map[string]Loss{
		"nothing was written since it was copied":                                                              {Since: "since it was copied"},
		"nothing was seen to be written since then (x); nothing syncs it back":                                 {About: true, Since: "since then", Detail: "x"},
		"something was written, nobody knows how much; nothing syncs it back":                                  {Count: -1},
		"1 row written; slot back, 4 KiB behind":                                                               {Count: 1, Unit: "rows", Synced: "slot back, 4 KiB behind"},
		"about 1,234,567 rows written since noon; nothing syncs it back; it is kept":                           {Count: 1234567, Unit: "rows", About: true, Since: "since noon", Kept: "it is kept"},
		"at least 12 rows written since then; nothing syncs it back":                                           {Count: 12, Unit: "rows", AtLeast: true, Since: "since then"},
		"at least about 2 rows written; nothing syncs it back":                                                 {Count: 2, Unit: "rows", AtLeast: true, About: true},
		"whether something was written is not known: nothing was seen to be since then; nothing syncs it back": {AtLeast: true, Since: "since then"},
		"6.7 KiB written; nothing syncs it back":                                                               {Count: 6824, Unit: "B"},
		"1.5 KiB written; nothing syncs it back":                                                               {Count: 1536, Unit: "B"},
	} {
		if got := l.Words(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
