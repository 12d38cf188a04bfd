package shipped_test

import (
	"slices"
	"testing"

	"belay/steps/plan"
	"belay/steps/plan/shipped"
)

func TestEveryShippedPlanIsWithoutProblems(t *testing.T) {
	names := shipped.Names()
	for _, want := range []string{"demo", "stoat-to-fluxer", "supabase-to-postgres", "databases-to-one-host", "databases-to-swarm", "fluxer-upgrade"} {
		if !slices.Contains(names, want) {
			t.Fatalf("shipped are %v, without %s", names, want)
		}
	}
	for _, name := range names {
		src, err := shipped.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		if name == "demo" { // the demo fills in the rest
			overlay := plan.File{Path: "overlay", Source: []byte("vars: {port: 8088, chat: /lab/new/bin/chat, old: /lab/old/chat, new: /lab/new/chat, backup: /lab/backup/archive}\n")}
			_, err = plan.Load(name+".yaml", src, plan.All(), overlay)
		} else {
			_, err = plan.Load(name+".yaml", src, plan.All())
		}
		if err != nil {
			t.Errorf("%s:\n%v", name, err)
		}
	}
}

func TestReadNamesWhatThereIs(t *testing.T) {
	if b, err := shipped.Read("nothing"); err == nil {
		t.Errorf("read %q", b)
	}
}
