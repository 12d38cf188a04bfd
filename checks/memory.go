package checks

import (
	"strconv"
	"strings"
)

func init() {
	addFact(fact{name: "memory", limit: 32 << 10, parse: parseMemory, script: `
[ -r /proc/meminfo ] || { miss "/proc/meminfo cannot be read"; return; }
pass /proc/meminfo
# A container's own limit: cgroup v2, then v1 (kernel Documentation/admin-guide).
d=/sys/fs/cgroup
if [ -r $d/memory.max ]; then
	IFS= read -r v <$d/memory.max && printf 'limit: %s\n' "$v"
	IFS= read -r v <$d/memory.current && printf 'used: %s\n' "$v"
	pass $d/memory.stat
elif [ -r $d/memory/memory.limit_in_bytes ]; then
	d=$d/memory
	IFS= read -r v <$d/memory.limit_in_bytes && printf 'limit: %s\n' "$v"
	IFS= read -r v <$d/memory.usage_in_bytes && printf 'used: %s\n' "$v"
	pass $d/memory.stat
fi`})
}

// parseMemory expects /proc/meminfo ("MemTotal:  2035 kB"), and of a container
// "limit: 536870912" (or "max"), "used: …" and memory.stat ("inactive_file 4096").
func parseMemory(section []byte, f *Facts) error {
	v := map[string]int64{}
	for line := range lines(section) {
		words := strings.Fields(line)
		if len(words) < 2 || len(words) > 3 {
			continue
		}
		n, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil || n < 0 || n > 1<<52 {
			continue
		}
		if len(words) == 3 && words[2] == "kB" {
			n *= 1024
		}
		v[strings.TrimSuffix(words[0], ":")] = n
	}
	m := Memory{Total: v["MemTotal"], SwapTotal: v["SwapTotal"], SwapFree: v["SwapFree"]}
	if m.Total == 0 {
		return noReading(f, "memory")
	}
	available, known := v["MemAvailable"]
	if !known { // kernels before 3.14
		available = v["MemFree"] + v["Cached"] + v["Buffers"]
	}
	m.Available = min(available, m.Total)
	if limit := v["limit"]; limit > 0 && limit < m.Total {
		// File pages that nobody used lately are given back when asked for.
		free := limit - v["used"] + v["inactive_file"]
		m.Total, m.Available = limit, max(0, min(m.Available, free, limit))
	}
	f.Memory = m
	return nil
}
