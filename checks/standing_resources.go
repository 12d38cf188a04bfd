package checks

import (
	"slices"
	"strings"
	"time"

	"belay/remote"
)

const (
	lowSpace  = 2 << 30 // bytes free that a system disk should have, if it is not a small one
	lowMemory = 256 << 20
	skewWarn  = 2 * time.Second
	skewBlock = time.Minute
)

// judgeDiskSpace gives one pass, or one finding for each file system that is
// low. The system's own (/, /var, /tmp) block below 1 % and warn below 10 % or
// 2 GiB (a quarter of one smaller than 8 GiB); the others warn below 10 %.
func judgeDiskSpace(f *Facts) []Finding {
	if all, lacks := lacking(f, "disks"); lacks && len(f.Disks) == 0 {
		return all
	}
	system := map[string]bool{}
	for _, at := range []string{"/", "/var", "/tmp"} {
		if d := f.diskOf(at); d != nil {
			system[d.Mount] = true
		}
	}
	var all []Finding
	seen := map[string]bool{} // devices: bind mounts and subvolumes are told of once
	for _, d := range f.Disks {
		again := strings.HasPrefix(d.Device, "/dev/") && seen[d.Device]
		seen[d.Device] = true
		if d.ReadOnly || again && !system[d.Mount] {
			continue
		}
		if found := judgeSpace(d, system[d.Mount]); found.Level != Pass {
			all = append(all, found)
		}
	}
	if why, lacks := f.Lacks("disks"); lacks {
		all = append(all, notRead("disks", why))
	}
	if len(all) > 0 {
		return all
	}
	root := f.diskOf("/")
	if root == nil {
		return []Finding{unknown("look at `df /` there", "the file system of / is not known")}
	}
	return []Finding{pass("%s of %s free on /; %d file systems have room", remote.FormatBytes(root.Free), remote.FormatBytes(root.Total), len(f.Disks))}
}

func judgeSpace(d Disk, system bool) Finding {
	const fix = "free some room there first: old packages, logs, images"
	free := percent(d.Free, d.Total)
	inodes := 100.0
	if d.Inodes > 0 {
		inodes = percent(d.InodesFree, d.Inodes)
	}
	found := pass("%s has room", d.Mount)
	switch {
	case system && free < 1:
		found = block(fix, "%s is full: %s of %s free (%.1f %%)", d.Mount, remote.FormatBytes(d.Free), remote.FormatBytes(d.Total), free)
	case system && inodes < 1:
		found = block(fix, "%s has no room for more files: %d of %d inodes free (%.1f %%)", d.Mount, d.InodesFree, d.Inodes, inodes)
	case free < 10 || system && d.Free < min(lowSpace, d.Total/4):
		found = warn(fix, "%s is nearly full: %s of %s free (%.0f %%)", d.Mount, remote.FormatBytes(d.Free), remote.FormatBytes(d.Total), free)
	case inodes < 10:
		found = warn(fix, "%s has little room for more files: %d of %d inodes free (%.0f %%)", d.Mount, d.InodesFree, d.Inodes, inodes)
	}
	found.Key = d.Mount
	return found
}

func percent(part, whole int64) float64 {
	if whole <= 0 {
		return 0
	}
	return 100 * float64(part) / float64(whole)
}

// judgeRootFS: a disk's file system that is read-only was usually made so by
// the kernel after an error; an image that is read-only was built so.
func judgeRootFS(f *Facts) []Finding {
	i := slices.IndexFunc(f.Disks, func(d Disk) bool { return d.Mount == "/" })
	if i < 0 {
		if all, lacks := lacking(f, "disks"); lacks {
			return all
		}
		return []Finding{unknown("look at `mount` there", "the mount of / is not known")}
	}
	d := f.Disks[i]
	switch {
	case !d.ReadOnly:
		return []Finding{pass("/ can be written to (%s on %s)", d.Type, d.Device)}
	case d.Type == "overlay" || d.Type == "erofs" || d.Type == "composefs":
		return []Finding{warn("make sure that the plan writes to other places only", "/ is read-only, as an image of type %s may be", d.Type)}
	}
	return []Finding{block("look at `dmesg` there for disk errors before anything else", "/ is read-only (%s on %s)", d.Type, d.Device)}
}

func judgeMemory(f *Facts) []Finding {
	if all, lacks := lacking(f, "memory"); lacks {
		return all
	}
	m := f.Memory
	if m.Total <= 0 {
		return []Finding{unknown("look at `free` there", "the memory is not known")}
	}
	text := []any{remote.FormatBytes(m.Available), remote.FormatBytes(m.Total), percent(m.Available, m.Total)}
	if percent(m.Available, m.Total) < 10 || m.Available < min(lowMemory, m.Total/4) {
		return []Finding{warn("see what uses it; two services at once may not fit", "memory is short: %s of %s available (%.0f %%)", text...)}
	}
	return []Finding{pass("%s of %s available (%.0f %%)", text...)}
}

func judgeLoad(f *Facts) []Finding {
	if why, lacks := f.Lacks("os (load)"); lacks || f.CPUs == 0 {
		return []Finding{unknown("look at `uptime` and `nproc` there", "load or number of CPUs is not known %s", why)}
	}
	if f.Load1 > 2*float64(f.CPUs) {
		return []Finding{warn("see what is busy there; the plan's steps will be slow", "load is %.1f on %d CPUs", f.Load1, f.CPUs)}
	}
	return []Finding{pass("load is %.1f on %d CPUs", f.Load1, f.CPUs)}
}

// judgeTime compares with this machine's clock. What the reading is too coarse
// to tell is Unknown, not pass.
func judgeTime(f *Facts) []Finding {
	const fix = "start or mend time synchronisation (chrony, systemd-timesyncd) there, or here"
	if all, lacks := lacking(f, clockFact); lacks {
		return all
	}
	least, most := skewRange(f.Skew, f.SkewErr)
	text := "its clock is " + skewText(f.Skew, f.SkewErr)
	switch {
	case least > skewBlock:
		return []Finding{block(fix, "%s", text)}
	case most > skewBlock, least <= skewWarn && most > skewWarn:
		return []Finding{unknown("re-check: the connection was slow while the clock was read", "%s: too coarse to judge", text)}
	case least > skewWarn:
		return []Finding{warn(fix, "%s", text)}
	}
	return []Finding{pass("%s", text)}
}

// skewRange is between what the two clocks surely and possibly differ.
func skewRange(skew, err time.Duration) (least, most time.Duration) {
	skew = skew.Abs()
	return max(0, skew-err), skew + err
}

func skewText(skew, err time.Duration) string {
	way := "ahead of ours"
	if skew < 0 {
		way = "behind ours"
	}
	return short(skew.Abs()) + " " + way + ", precise to " + short(err)
}

// short keeps three digits or so: "1.23s", "450ms", "2m3s".
func short(d time.Duration) string {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}
