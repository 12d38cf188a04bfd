package run

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"belay/steps/plan"
)

// save keeps a copy of the plan and its overlays in the run directory, byte
// for byte: a run goes on with the plan it began with.
func save(dir string, p *plan.Plan) error {
	files := append([]plan.File{{Path: planName(0), Source: p.Source}}, p.Overlays...)
	for i, f := range files {
		if err := writeSynced(filepath.Join(dir, planName(i)), f.Source); err != nil {
			return err
		}
	}
	return nil
}

// saved reads the copy back.
func saved(dir string, kinds plan.Kinds) (*plan.Plan, error) {
	path := filepath.Join(dir, planName(0))
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var overlays []plan.File
	for i := 1; ; i++ {
		over := filepath.Join(dir, planName(i))
		b, err := os.ReadFile(over)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return nil, err
		}
		overlays = append(overlays, plan.File{Path: over, Source: b})
	}
	return plan.Load(path, src, kinds, overlays...)
}

func planName(i int) string {
	if i == 0 {
		return "plan.yaml"
	}
	return fmt.Sprintf("overlay-%d.yaml", i)
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// Plan reads the run directory's copy of the plan.
func Plan(dir string, kinds plan.Kinds) (*plan.Plan, error) { return saved(dir, kinds) }
