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

// TestSwarmKnowsWhatComes: what needs a database server knows the step that
// runs it, and none knows a later one.
func TestSwarmKnowsWhatComes(t *testing.T) {
	src, err := shipped.Read("databases-to-swarm")
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Load("plan.yaml", src, plan.All())
	if err != nil {
		t.Fatal(err)
	}
	needs := p.Needs()
	if first, last := needs[0].Brought, needs[len(needs)-1].Brought; len(first) != 0 || len(last) != 1+9+3 ||
		last["Swarm of db"] != "Make the Swarm" || last["port 5435 of db"] != "Run the PostgreSQL of GitLab" {
		t.Errorf("the first need knows %v, the last %v", first, last)
	}
}
