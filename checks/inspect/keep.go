package inspect

import "slices"

// ForDiff is a copy of what Diff needs of a host in those areas, to be kept: a
// tenth of the whole.
func (h *Host) ForDiff(areas []string) *Host {
	keep := &Host{Name: h.Name, Unreached: h.Unreached, TakenAt: h.TakenAt, Hostname: h.Hostname, OS: h.OS, Root: h.Root, NotWhole: h.NotWhole}
	for _, area := range areas {
		switch area {
		case AreaPorts, AreaEnvironment:
			if keep.Programs == nil {
				for _, p := range h.Programs {
					keep.Programs = append(keep.Programs, &Program{Kind: p.Kind, Name: p.Name, Listens: p.Listens, Env: p.Env})
				}
			}
			keep.EnvFiles = h.EnvFiles
		case AreaUnits:
			keep.Units = h.Units
		case AreaCron:
			keep.Jobs = h.Jobs
		case AreaUsers:
			keep.Users, keep.Accounts = h.Users, h.Accounts
		case AreaMounts:
			keep.Mounts = h.Mounts
		case AreaCertificates:
			keep.Certificates = h.Certificates
		case AreaPackages:
			keep.Packages = h.Packages
		}
	}
	return keep
}

// In leaves only the differences of those areas.
func In(areas []string, all []Difference) []Difference {
	return slices.DeleteFunc(slices.Clone(all), func(d Difference) bool { return !slices.Contains(areas, d.Area) })
}
