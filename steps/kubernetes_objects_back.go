package steps

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"belay/steps/kubernetes"
)

// kubeHoldsData are the kinds whose deletion may take data with it.
func kubeHoldsData(r kubernetes.Ref) bool {
	switch r.Group + "/" + r.Kind {
	case "/PersistentVolumeClaim", "/PersistentVolume", "/Namespace", "apiextensions.k8s.io/CustomResourceDefinition":
		return true
	}
	return false
}

// undo deletes what was made, last first, and gives what was changed its
// former values.
func (s *kubeObjects) undo(ctx context.Context, e Env) error {
	var rec kubeApplied
	found, err := e.Memory.Get(kubeAppliedKey, &rec)
	if err != nil || !found {
		return err
	}
	for _, m := range slices.Backward(rec.Made) {
		if err := s.unmake(ctx, e, m); err != nil {
			return err
		}
	}
	if len(rec.Had) > 0 {
		if err := s.putBack(ctx, e); err != nil {
			return err
		}
		rec = kubeApplied{Gone: true}
		if err := e.Memory.Put(kubeAppliedKey, rec); err != nil {
			return err
		}
	}
	if rec.Gone {
		if err := kubernetes.Drop(ctx, e.Host, kubeKeptName(e)); err != nil {
			return err
		}
	}
	return e.Memory.Put(kubeAppliedKey, kubeApplied{})
}

func (s *kubeObjects) unmake(ctx context.Context, e Env, m kubeMade) error {
	k, ref := s.of.kubectl(), m.Ref
	o, there, err := k.Find(ctx, e.Host, ref)
	switch {
	case err != nil:
		return err
	case !there:
		return nil
	case m.UID != "" && m.UID != o.Text("metadata", "uid") || !o.MadeBy(kubeOwner):
		fmt.Fprintf(e.Log, "%s was not made by belay: it stays\n", ref)
		return nil
	case kubeHoldsData(ref) && !s.deleteData:
		fmt.Fprintf(e.Log, "%s stays, for it may hold data; delete it by hand when nobody needs that, or say delete_data\n", ref)
		return nil
	}
	if ref.Namespace != "" {
		k.Namespace = ref.Namespace
	}
	// Foreground: its pods are gone, too, before the old writer comes back.
	limit := fmt.Sprintf("--timeout=%ds", int(max(time.Duration(s.waits.Wait), time.Minute).Seconds()))
	if err := s.of.change(ctx, e, k, "delete", ref.Arg(), "--cascade=foreground", "--ignore-not-found", limit); err != nil {
		return fmt.Errorf("delete %s: %w", ref, err)
	}
	return nil
}

func (s *kubeObjects) putBack(ctx context.Context, e Env) error {
	kept, err := kubeKeptOf(ctx, e)
	if err != nil {
		return err
	}
	k := s.of.kubectl()
	var back []kubernetes.Object
	var refs []kubernetes.Ref
	for i, before := range kept.Before {
		now, there, err := k.Find(ctx, e.Host, before.Ref())
		if err != nil {
			return err
		}
		refs = append(refs, before.Ref())
		if !there {
			back = append(back, before.Plain())
			continue
		}
		o, foreign := kubernetes.Back(before, kept.Applied[i], kept.After[i], now)
		if len(foreign) > 0 {
			return fmt.Errorf("%s: somebody has changed %s since this step did; what it was before lies on %s in ~/.local/state/belay/kubernetes/%s. None of the objects that were there before was changed",
				before.Ref(), strings.Join(foreign, ", "), e.Host.Name, kubeKeptName(e))
		}
		if !kubernetes.Equal(now, before) {
			back = append(back, o)
		}
	}
	if len(back) > 0 {
		if err := s.applyBack(ctx, e, k, back); err != nil {
			return err
		}
	}
	for i, before := range kept.Before {
		now, _, err := k.Find(ctx, e.Host, before.Ref())
		if err != nil {
			return err
		}
		if left := kubernetes.Left(before, kept.After[i], now); len(left) > 0 {
			return fmt.Errorf("%s: %s could not be put back", before.Ref(), strings.Join(left, ", "))
		}
	}
	if err := s.of.waiter(s.waits).wait(ctx, e, refs); err != nil {
		return fmt.Errorf("what was there before is put back, but: %w", err)
	}
	return nil
}

func (s *kubeObjects) applyBack(ctx context.Context, e Env, k kubernetes.Kubectl, back []kubernetes.Object) error {
	var in io.Reader
	in, err := kubernetes.Stdin(back)
	if err != nil {
		return err
	}
	out, err := k.Change(ctx, e.Host, in, "apply", "--server-side", "--field-manager="+kubeOwner, "--force-conflicts", "-f", "-")
	_, _ = e.Log.Write(out)
	if err != nil {
		return fmt.Errorf("put back what was there before: %w", err)
	}
	return nil
}
