// Package inspect finds out what runs on servers and what belongs to it, before
// a plan is written and for the comparison after a move.
//
//	found, err := inspect.Look(ctx, hosts, names) // two round trips a host, read-only
//	inspect.Text(os.Stdout, found, 80, time.Now())
//	missing := inspect.Diff(oldHost, newHost)
//
// The first round trip takes the facts of package checks; the second asks, in
// POSIX sh, about the processes, units and containers that they name. Build
// puts both in relation and is pure. A Program is a systemd unit, a container,
// a tmux session or a bare process; everything else belongs to one, or to the
// host, or is a Gap: what is not known, and what to do about it.
//
// Nothing is changed on a host. What it takes part in: databases are asked for
// their names where they let their own user in without a password (PostgreSQL
// and Redis; a refused attempt is a line in their log), MySQL's are read from
// its data directory. As root, belay talks to them as who runs them.
//
// Values of environments and environment files never leave the host: only names
// are printed there. Command lines do leave it; mask hides in them what looks
// like a secret.
//
// # JSON
//
// `belay inspect --json` prints an Inspection:
//
//	{"format": 1, "hosts": [{
//	  "name": "chat", "taken_at": "…", "hostname": "…", "os": "…", "cpus": 4, "memory_bytes": …,
//	  "uptime_seconds": …, "looked_as": "root", "root": true,
//	  "programs": [{
//	    "kind": "unit" | "container" | "tmux" | "process", "name": "nginx.service", "state": "active (running)",
//	    "listens": [{"proto": "tcp", "address": "0.0.0.0", "port": 443, "inside": "80/tcp"}],
//	    "sockets": ["/run/x.sock"],
//	    "processes": [{"pid": 7, "user": "root", "exe": "…", "package": "nginx" | "-", "dir": "/", "args": "…", "age_seconds": …}],
//	    "parent": "…", "unit_file": "…", "drop_ins": ["…"], "enabled": "enabled", "directories": ["…"], "runs_as": "…", "exec": "…", "started_by": ["x.timer"],
//	    "container": {"id": "…", "image": "…", "project": "…", "service": "…", "project_dir": "…", "config_files": ["…"], …},
//	    "files": [{"path": "…", "use": "config" | "open" | "written"}],
//	    "volumes": [{"type": "volume" | "bind" | "tmpfs", "source": "…", "target": "…", "read_only": true}],
//	    "env": ["NAME"], "env_files": ["/path"],
//	    "databases": [{"kind": "postgresql", "version": "15.5", "port": 5432, "data_dir": "…", "databases": [{"name": "shop", "bytes": …}], "tables_of_postgres": ["public.x"], "note": "…"}],
//	    "sites": [{"file": "…", "names": ["…"], "listen": ["443 ssl"], "routes": [{"path": "/", "to": "http://…", "program": "tmux x"}], "certificates": ["…"]}],
//	    "nginx_files": [{"file": "…", "target": "…", "names": ["/path"], "log_dirs": ["…"], "dirs": ["…"], "shares": true}],
//	    "starters": [{"name": "x.socket", "enabled": "enabled", "files": ["…"]}],
//	    "connects": [{"to": "10.0.0.9:5432", "what": "postgresql", "program": "unit …", "count": 3}],
//	    "jobs": [0], "certificates": ["/path"]
//	  }],
//	  "jobs": [{"kind": "cron" | "timer", "user": "…", "where": "…", "when": "…", "command": "…", "program": "…", "why": "…",
//	    "package": "cron" | "-", "enabled": "enabled", "starts": "x.service", "persistent": true, "unit_files": ["…"], "env_files": ["…"],
//	    "directories": ["…"]}],
//	  "users": [{"name": "…", "uid": 0, "home": "…", "shell": "…", "gid": 0, "group": "…", "groups": ["…"]}],
//	  "accounts": [as users],
//	  "mounts": [{"at": "/", "device": "…", "type": "ext4", "read_only": true, "total_bytes": …, "free_bytes": …}],
//	  "certificates": [{"path": "…", "names": ["…"], "issuer": "…", "not_after": "…", "program": "…", "problem": "…"}],
//	  "env_files": [{"path": "…", "keys": ["NAME"], "program": "…", "problem": "…"}],
//	  "units": [{"name": "…", "state": "active (running)", "enabled": "enabled"}],
//	  "idle": [{"name": "…", "unit_file": "…", "user": "…"}],
//	  "packages": {"nginx": "1.22.1-9"},
//	  "not_whole": ["job"], "not_understood": [{"what": "…", "do": "…"}]
//	}]}
//
// A program is referred to by its key, "KIND NAME"; jobs of a program are
// indices into the host's. A host that was not reached has "unreached" and
// nothing else. Fields may be added within a format; a field that is absent is
// empty. "not_whole" names the areas of Diff in which an absence proves nothing.
package inspect
