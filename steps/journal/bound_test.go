package journal

import "testing"

// Two findings by one id, as two alike checks of a plan have, do not void for
// ever what was signed upon both.
func TestASignatureHoldsUponTwoFindingsByOneID(t *testing.T) {
	for _, levels := range [][2]string{{"block", "warn"}, {"warn", "block"}, {"pass", "unknown"}, {"unknown", "pass"}} {
		s := &State{Findings: []Finding{{ID: "disk/old/", Level: levels[0]}, {ID: "disk/old/", Level: levels[1]}}}
		if why := s.Shaken(s.Basis(true)); len(why) > 0 {
			t.Errorf("%v: void at once: %q", levels, why)
		}
		s.Findings = append(s.Findings, Finding{ID: "disk/new/", Level: "warn", Text: "full"})
		if why := s.Shaken((&State{}).Basis(true)); len(why) == 0 {
			t.Errorf("%v: new findings void nothing", levels)
		}
	}
}
