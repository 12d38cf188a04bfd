package steps

import (
	"context"
	"time"
)

// Prover is a step whose outcome is a proof that grows old: what was equal an
// hour ago need not be so now. While a run is held at a gate, and where a plan
// watches the step during soak, it is proved again.
type Prover interface {
	// Prove proves the outcome anew and tells of it in one line, which counts
	// when err is nil. An error that is a Disproof says that the outcome does not
	// hold; any other one, that nobody knows. It is read-only.
	Prove(ctx context.Context, e Env) (text string, err error)
	// Proof tells what the latest proof, by Apply or by Prove, came to, and when.
	// It looks at e.Memory only. found is false when there is none yet.
	Proof(e Env) (text string, ok bool, at time.Time, found bool, err error)
	// ProofFor is how long a proof counts; 0: for good.
	ProofFor() time.Duration
}

// Disproof is the error of a Prover whose outcome does not hold any more.
type Disproof struct{ Text string }

func (d *Disproof) Error() string { return d.Text }
