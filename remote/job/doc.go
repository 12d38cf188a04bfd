// Package job runs commands that outlive the connection that started them.
//
//	res, err := job.Run(ctx, host, job.Spec{ID: "move-7.copy.db1", Script: "pg_dump shop >/var/backups/shop"},
//		job.Options{Log: file, Offset: sizeOfFile, Seen: remember})
//
// Run starts the job under its ID or, when it was started before, attaches to
// it; follows its log; and returns its outcome. Whatever breaks in between
// (the link, the bastion, this process) is made good by calling Run again with
// the same Spec: the command is run at most once for an ID, ever, until
// somebody deletes the ID's directory on the host.
//
// The target needs a POSIX sh (dash, busybox ash and bash are tested) and
// setsid or perl. Nothing is installed there.
//
// # IDs
//
// An ID names one execution, for ever: a retry that shall run the command
// again needs another ID. Two hosts may share a home directory, so an ID that
// is used on several hosts holds the host's name.
//
// # What is on the host
//
// One directory a job, mode 0700, at
// ${XDG_STATE_HOME:-$HOME/.local/state}/belay/jobs/ID or, where the home
// directory is not ours to write, /var/tmp/belay-UID/ID. Both are looked at
// before either is made. One that is a symbolic link or somebody else's is
// refused.
//
//	sum     hash of the command: the same ID with another command is a conflict
//	cmd     the command: a line of cd and export, then the script
//	claim   "pid boot-id start-time" of the minder: the fence
//	pid     the same of the command, which leads a process group of its own
//	log     stdout and stderr in the order of writing, followed from a byte offset
//	rc      exit status; there once the command has ended
//	cancel  somebody asked it to end
//
// # Starting exactly once
//
// protocol.sh, the far half, travels on stdin with its length in front: what
// was cut short is not evaluated. After it comes the command, then the input
// for the command, which is where secrets go: it is kept in memory and pipes
// only, never on a disk or on a command line. A start that was cut anywhere
// has claimed nothing.
//
// start stores the command and starts the minder, a shell in a session of its
// own. Once the minder holds all of the input it writes its identity to a
// temporary file, syncs it, and hard-links it to claim: of any number of
// minders one succeeds, and only then the command begins. Being durable before
// the command begins, the claim also holds after a power cut. Every later
// start finds it and only looks.
//
// The minder waits for the command and puts its exit status into rc, by sync
// and rename, in room that was set aside before the start, so that a disk that
// has filled up since does not swallow the outcome.
//
// # States
//
//	none      nothing is known under this ID
//	ready     stored, but not begun: a start was cut; start again
//	running   the claim names a living process of this boot
//	done      rc is there
//	rebooted  the host was booted again since the claim
//	orphaned  the minder is gone, the command lives
//	lost      both are gone and left no rc
//
// A process is known by its pid, its start time and the boot, so that a pid
// that was given out again is not taken for it. The last three are not
// failures: nobody knows the outcome, and Run says so by *UnknownError.
// A job ended by signal n has the status 128+n, as shells say it.
//
// Where the login system ends all processes of a user at logout
// (KillUserProcesses=yes of systemd-logind) a job is ended too, and lost.
//
// # Following
//
// The far side looks at the log every 20 to 200 ms while it grows and for two
// seconds after, then every 500 ms and 1 s, and sends frames: data with its
// offset, a heartbeat when there was nothing to say, the state at the end. A
// quiet look costs the host two short processes (wc, sleep); a quiet link
// carries 21 bytes a second (measured with OpenSSH). The near side takes a
// link for dead when no frame came for Options.Silence, and asks again from
// the last byte it has.
//
// # Ending
//
// Cancel of a job that has not begun takes the claim itself, so that it never
// begins. Otherwise the whole process group gets TERM and, after the grace,
// KILL. Reap deletes all but the fence and the outcome; it is for when the
// outcome is written down elsewhere.
package job
