package checks

import (
	"context"
	"fmt"
)

// sameMachine looks for one machine under two names of the plan.
//
// The boot id is new at each start of a kernel, so two names with different
// boot ids are two machines, also when they are clones with one machine id.
// The same boot id is one kernel, but perhaps two containers on it: those have
// different mount namespaces, and the number of a namespace is unique within a
// kernel. Where the namespace of the login is a private one (pam_namespace, a
// sandboxed sshd), that of process 1 decides, if host name and machine id
// agree as well: a container that shares process 1 has its own host name.
type sameMachine struct{}

const sameName = "same-machine"

func (sameMachine) NeedsFacts() bool { return true }

func (sameMachine) Assess(_ context.Context, w World) ([]Finding, error) {
	names := w.names(nil)
	var all []Finding
	for i, a := range names {
		if why, no := w.shut(a); no || w.Facts[a] == nil {
			if !no {
				why = unknown("re-check", "not judged: there are no facts of host %s", a)
			}
			all = append(all, why.about(sameName, a, ""))
			continue
		}
		clear := true
		for j, b := range names {
			if i == j || w.Facts[b] == nil {
				continue
			}
			found := compare(a, b, w.Facts[a], w.Facts[b])
			clear = clear && found.Level == Pass
			if found.Level != Pass && i < j {
				all = append(all, found.about(sameName, "", a+" = "+b))
			}
		}
		if clear {
			all = append(all, pass("no other name of the plan leads to this machine (%s)", w.Facts[a].Hostname).about(sameName, a, ""))
		}
	}
	return all, nil
}

func compare(a, b string, x, y *Facts) Finding {
	evidence := fmt.Sprintf("%s: %s\n%s: %s", a, identity(x), b, identity(y))
	doubt := func(why string) Finding {
		f := unknown("log in to both and compare, then accept with a reason", "hosts %s and %s may be one machine: %s", a, b, why)
		f.Detail = evidence
		return f
	}
	if x.BootID == "" || y.BootID == "" {
		switch {
		case x.MachineID != "" && y.MachineID != "" && x.MachineID != y.MachineID:
			return pass("different machine ids")
		case x.Hostname != y.Hostname:
			return pass("different host names")
		}
		return doubt("their host name is the same, and a boot id cannot be read")
	}
	if x.BootID != y.BootID {
		return pass("different kernels")
	}
	alike := x.Hostname == y.Hostname && x.MachineID == y.MachineID
	sameLogin := x.MountNS != "" && x.MountNS == y.MountNS
	sameInit := x.InitNS != "" && x.InitNS == y.InitNS
	switch {
	case alike && (sameLogin || sameInit):
		f := block("correct the address of one of them: a migration must not have the same machine as two hosts",
			"hosts %s and %s are the same machine (%s)", a, b, x.Hostname)
		f.Detail = evidence
		return f
	case sameLogin:
		return doubt("they have the same kernel and file systems, but differ in host name or machine id")
	case x.MountNS == "" || y.MountNS == "":
		return doubt("they run on the same kernel, and their namespaces cannot be read")
	}
	return pass("two containers of one machine")
}

func identity(f *Facts) string {
	return fmt.Sprintf("host name %s, machine id %s, boot id %s, %s (process 1: %s)", f.Hostname, f.MachineID, f.BootID, f.MountNS, f.InitNS)
}
