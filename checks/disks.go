package checks

import (
	"path"
	"strconv"
	"strings"
)

func init() {
	addFact(fact{name: "disks", limit: 512 << 10, parse: parseDisks, script: disksScript})
}

// disksScript asks statfs of real local file systems at once, and of network
// ones each alone with a limit: a dead NFS server must not hide the others.
const disksScript = `
[ -r /proc/mounts ] || { miss "/proc/mounts cannot be read"; return; }
has stat || { miss "there is no stat program"; return; }
set --
seen=$nl
while read -r dev at type opts rest; do
	case $type in
	proc|sysfs|cgroup*|dev*|mqueue|tracefs|debugfs|securityfs|pstore|bpf|configfs|fusectl|hugetlbfs|rpc_pipefs|binfmt_misc|nsfs|autofs|ramfs|efivarfs|selinuxfs|nfsd|squashfs|fuse.lxcfs|fuse.portal|fuse.gvfsd*|fuse.snapfuse) continue ;;
	esac
	case $at in
	/proc/*|/sys/*|/var/lib/docker/*|/var/lib/containers/*|/var/lib/kubelet/*|/run/docker/*|/run/user/*|/run/credentials/*|/snap/*|/dev/*) continue ;;
	esac
	case $seen in *"$nl$at$nl"*) continue ;; esac
	seen=$seen$at$nl
	at=$(printf '%b.' "$at"); at=${at%.}
	case $type in
	nfs*|cifs|smb*|fuse.*|ceph|gluster*|9p|afs|lustre|gpfs|beegfs|ocfs2|gfs2|virtiofs|davfs)
		lim 2 stat -f -c 's %S %b %a %c %d %n' "$at" || printf 'hung %s\n' "$at" ;;
	*)
		[ -d "$at" ] && set -- "$@" "$at" ;;
	esac
done </proc/mounts
[ $# -eq 0 ] || lim 5 stat -f -c 's %S %b %a %c %d %n' "$@"
printf 'mounts\n'
pass /proc/mounts
`

// parseDisks expects lines "s BLOCKSIZE BLOCKS AVAILABLE INODES FREEINODES
// /mount", lines "hung /mount", then "mounts" and the text of /proc/mounts.
func parseDisks(section []byte, f *Facts) error {
	found := map[string]*Disk{}
	var order []string
	mounts := false
	for line := range lines(section) {
		switch {
		case mounts:
			addMount(found, line)
		case line == "mounts":
			mounts = true
		case strings.HasPrefix(line, "hung "):
			f.Missing = append(f.Missing, "disks ("+OneLine(line[5:], 100)+"): did not answer in 2 s; is its server gone?")
		default:
			if d := parseStat(line); d != nil && found[d.Mount] == nil {
				found[d.Mount] = d
				order = append(order, d.Mount)
			}
		}
	}
	for _, at := range order {
		// No blocks: not a place to keep things.
		if d := found[at]; d.Total > 0 {
			f.Disks = append(f.Disks, *d)
		}
	}
	if len(f.Disks) == 0 {
		return noReading(f, "disks")
	}
	return nil
}

func parseStat(line string) *Disk {
	words := strings.SplitN(line, " ", 7)
	if len(words) != 7 || words[0] != "s" || !strings.HasPrefix(words[6], "/") {
		return nil
	}
	var n [5]int64
	for i := range n {
		v, err := strconv.ParseInt(words[i+1], 10, 64)
		if err != nil || v < 0 {
			return nil
		}
		n[i] = v
	}
	if n[0] == 0 || n[1] > 1<<62/n[0] || n[2] > 1<<62/n[0] {
		return nil
	}
	return &Disk{Mount: words[6], Total: n[0] * n[1], Free: n[0] * n[2], Inodes: n[3], InodesFree: n[4]}
}

// addMount takes "device mount type options 0 0"; the last mount at a place is
// the one that is seen. Names have spaces and backslashes as \040 and \134.
func addMount(found map[string]*Disk, line string) {
	words := strings.Fields(line)
	if len(words) < 4 {
		return
	}
	d := found[unescapeMount(words[1])]
	if d == nil {
		return
	}
	d.Device, d.Type, d.ReadOnly = unescapeMount(words[0]), words[2], false
	for o := range strings.SplitSeq(words[3], ",") {
		d.ReadOnly = d.ReadOnly || o == "ro"
	}
}

var mountEscapes = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`, `\043`, "#")

func unescapeMount(s string) string { return mountEscapes.Replace(s) }

// diskOf is the file system that holds an absolute path, by its name alone:
// symbolic links are not known here.
func (f *Facts) diskOf(name string) *Disk {
	var best *Disk
	for i, d := range f.Disks {
		if inside(path.Clean(name), d.Mount) && (best == nil || len(d.Mount) > len(best.Mount)) {
			best = &f.Disks[i]
		}
	}
	return best
}

func inside(name, dir string) bool {
	return dir == "/" || name == dir || strings.HasPrefix(name, dir+"/")
}
