package checks

import "strings"

func init() {
	addFact(fact{name: "identity", limit: 8 << 10, parse: parseIdentity, script: `
first() { [ -r "$2" ] && IFS= read -r v <"$2" && printf '%s=%s\n' "$1" "$v"; }
v=
if has uname; then printf 'hostname=%s\n' "$(uname -n)"; else first hostname /proc/sys/kernel/hostname; fi
first machine_id /etc/machine-id || first machine_id /var/lib/dbus/machine-id || first machine_id /sys/class/dmi/id/product_uuid
first boot_id /proc/sys/kernel/random/boot_id
if has readlink; then
	printf 'mount_ns=%s\n' "$(readlink /proc/self/ns/mnt)"
	printf 'init_ns=%s\n' "$(readlink /proc/1/ns/mnt)"
fi
if has id; then
	printf 'uid=%s\nuser=%s\ngroups=%s\n' "$(id -u)" "$(id -un)" "$(id -Gn)"
else
	note user "there is no id program"
fi`})
}

// parseIdentity expects lines such as "boot_id=a1aeade8-…".
func parseIdentity(section []byte, f *Facts) error {
	v := pairs(section)
	f.Hostname, f.MachineID, f.BootID = v["hostname"], v["machine_id"], v["boot_id"]
	f.MountNS, f.InitNS = v["mount_ns"], v["init_ns"]
	f.User, f.Root = v["user"], v["uid"] == "0"
	f.Groups = strings.Fields(v["groups"])
	if f.Hostname == "" && f.BootID == "" {
		return noReading(f, "identity")
	}
	return nil
}

// pairs reads name=value lines; the first of a name counts.
func pairs(section []byte) map[string]string {
	v := map[string]string{}
	for line := range lines(section) {
		name, value, _ := strings.Cut(line, "=")
		if _, twice := v[name]; !twice {
			v[name] = strings.TrimSpace(value)
		}
	}
	return v
}
