package steps

import "context"

// Loser is a step that filled a store which people write to after the cutover.
type Loser interface {
	// Losses tells what was written to each of the step's stores since, which
	// going back would lose. It is read-only and gentle: the store serves its
	// users meanwhile, and it is asked again and again. An error says that
	// nobody knows.
	Losses(ctx context.Context, e Env) ([]Loss, error)
}

// Marker is a Loser that can count from a later moment than the end of its own
// work: what belay itself wrote until then is in no user's way back.
type Marker interface {
	Loser
	// Mark remembers in e.Memory what the stores hold now, and since, as Loss
	// has it. It is read-only on the hosts and quick: users may be waiting. A
	// later Mark takes the place of an earlier one.
	Mark(ctx context.Context, e Env, since string) error
}

// Opener is a step that may let people write to the new side.
type Opener interface{ Opens() bool }

// Filler is a step that fills a store. Of two that fill the same one, a copy
// and its delta pass, the later tells what would be lost.
type Filler interface{ Fills() string }

// lossMarkKey is where a Marker remembers the moment that it counts from.
const lossMarkKey = "losses.mark"

// Loss is what one store would lose.
type Loss struct {
	Store  string // "database shop on new"
	Count  int64  // what was written since; 0: nothing; -1: something, and nobody knows how much
	About  bool   // Count is an estimate, or leaves a part out
	Unit   string // of Count: a plural noun, or "B"
	Since  string // "since it was copied"
	Detail string // where in the store: "orders 800 added, 12 changed"
	Synced string // what follows the store live, as a sync back does; "": nothing
	Kept   string // what a rollback does with it: "set aside, not dropped"; "": it is gone

	AtLeast bool // the store has forgotten a part of what was written: it may be more than Count
}
