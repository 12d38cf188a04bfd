package steps

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"belay/checks"
	"belay/steps/mysql"
)

// mysqlReplicateNeed is what mysql.replicate relies on, asked of both servers.
type mysqlReplicateNeed struct {
	step *mysqlReplicate
	on   string
}

func (n *mysqlReplicateNeed) CheckName() string { return "mysql" }

// HostNames are the hosts that reach the servers.
func (n *mysqlReplicateNeed) HostNames() []string {
	return storeHosts(n.on, n.step.From.store, n.step.To.store)
}

// Assess gives a finding a point, of the host that it is about.
func (n *mysqlReplicateNeed) Assess(ctx context.Context, w checks.World) ([]checks.Finding, error) {
	at := n.step.To.on(n.on)
	for _, h := range n.HostNames() {
		if err := w.Unreached[h]; err != nil {
			return []checks.Finding{{Host: at, Key: "replicate", Level: checks.Unknown, Text: "not judged: host " + h + " was not reached", Fix: "reach the host first, then re-check"}}, nil
		}
	}
	b, err := n.step.both(ctx, Env{Host: w.Hosts[n.on], Hosts: w.Hosts, Secret: w.Secret}, mysqlReplicaMade{})
	if err != nil {
		return nil, err
	}
	defer b.close()
	if err := b.open(ctx); err != nil {
		return []checks.Finding{{Host: at, Key: "replicate", Level: checks.Block, Text: err.Error(), Fix: "see that the servers run, and that address, user and password fit; what belay writes on the target is in a GTID domain of its own, which wants BINLOG REPLAY or SUPER"}}, nil
	}
	j := &mysqlJudge{of: n.step.From, host: n.step.From.on(n.on), side: "source"}
	err = n.source(ctx, j, b)
	if err == nil {
		j.of, j.host, j.side = n.step.To, at, "target"
		err = n.target(ctx, j, b)
	}
	return j.all, err
}

// mysqlJudge collects findings.
type mysqlJudge struct {
	of         mysqlStore
	host, side string
	all        []checks.Finding
}

func (j *mysqlJudge) say(key string, ok bool, bad checks.Level, text, fix string) {
	f := checks.Finding{Host: j.host, Key: "replicate " + j.side + " " + key, Level: checks.Pass, Text: text}
	if !ok {
		f.Level, f.Fix = bad, fix
	}
	j.all = append(j.all, j.of.tell(f, "MySQL", mysqlPort))
}

// source holds the source against what replication by GTID needs (MariaDB:
// "Setting Up Replication"; MySQL manual, 19.1.3).
func (n *mysqlReplicateNeed) source(ctx context.Context, j *mysqlJudge, b *mysqlBoth) error {
	v, err := b.source.Globals(ctx)
	if err != nil {
		return err
	}
	unfit := mysql.Unfit(b.source.Version, b.target.Version)
	text := fmt.Sprintf("%s can follow %s", b.target.Version, b.source.Version)
	if unfit != nil {
		text = unfit.Error()
	}
	j.say("version", unfit == nil, checks.Block, text, "bring the target to the same or a newer release, or use mysql.copy while frozen")
	j.say("log_bin", v["log_bin"] == "ON", checks.Block, "log_bin of the source is "+v["log_bin"], "set log_bin there and restart it in a maintenance window before, or use mysql.copy while frozen")
	j.say("binlog_format", v["binlog_format"] == "ROW", checks.Block, "binlog_format of the source is "+v["binlog_format"],
		"SET GLOBAL binlog_format = 'ROW' there, and let the applications connect anew: sessions keep what they began with")
	if image := v["binlog_row_image"]; image != "" {
		j.say("binlog_row_image", image == "FULL", checks.Warn, "binlog_row_image of the source is "+image, "a table without a primary key needs FULL")
	}
	if !b.source.Version.MariaDB {
		j.say("gtid_mode", v["gtid_mode"] == "ON", checks.Block, "gtid_mode of the source is "+v["gtid_mode"], "go step by step to gtid_mode = ON there (MySQL manual, 19.1.4), or use mysql.copy while frozen")
	}
	kept := mysql.LogKept(v)
	j.say("kept log", kept == 0 || kept >= 24*3600, checks.Warn, fmt.Sprintf("the source keeps its binary log for %d s (0: for good)", kept), "raise binlog_expire_logs_seconds (expire_logs_days) for the time of the move: a target that is away for longer is lost")
	if err := n.rights(ctx, j, b.source, "REPLICATION SLAVE", "CREATE USER", "RELOAD", "CREATE", "INSERT", "DROP"); err != nil {
		return err
	}
	return n.tables(ctx, j, b)
}

func (n *mysqlReplicateNeed) rights(ctx context.Context, j *mysqlJudge, db *mysql.DB, want ...string) error {
	lacks, err := db.Lacks(ctx, want...)
	if err != nil {
		return err
	}
	j.say("rights", len(lacks) == 0, checks.Block, fmt.Sprintf("belay's login on the %s has %d of the %d rights that it needs on *.*", j.side, len(want)-len(lacks), len(want)),
		"GRANT "+strings.Join(lacks, ", ")+" ON *.* to it for the time of the move")
	return nil
}

// tables judges what is to be followed.
func (n *mysqlReplicateNeed) tables(ctx context.Context, j *mysqlJudge, b *mysqlBoth) error {
	databases := n.step.Databases
	if len(databases) == 0 {
		var err error
		if databases, err = mysql.Databases(ctx, b.source); err != nil {
			return err
		}
	}
	all, err := mysql.Tables(ctx, b.source, databases)
	if err != nil {
		return err
	}
	var keyless, others []string
	for _, t := range all {
		if len(t.Key) == 0 {
			keyless = append(keyless, t.String())
		}
		if !strings.EqualFold(t.Engine, "InnoDB") {
			others = append(others, t.String()+" ("+t.Engine+")")
		}
	}
	j.say("tables", len(others) == 0, checks.Block, fmt.Sprintf("%d tables would be followed, %d of them are not InnoDB's", len(all), len(others)),
		"the first copy of these is of no one moment, so what changes meanwhile would come twice or not at all: ALTER TABLE … ENGINE = InnoDB, or copy that database while frozen: "+mysqlSome(others))
	j.say("keys", len(keyless) == 0, checks.Warn, fmt.Sprintf("%d tables have no key", len(keyless)),
		"every changed row is looked for in the whole table on the target, which is slow where it is big: give it a primary key: "+mysqlSome(keyless))
	return nil
}

// restarts judges whether a target of MySQL that is started anew can be kept
// from applying what it had got of databases that it must not follow.
func (n *mysqlReplicateNeed) restarts(ctx context.Context, j *mysqlJudge, b *mysqlBoth) error {
	_, others, err := n.step.scope(ctx, b)
	if err != nil || !others {
		return err
	}
	lacks, err := b.target.HoldRights(ctx)
	j.say("restart", len(lacks) == 0, checks.Block, "both servers have other databases, too, of which a target that is started anew must not apply anything: skip_replica_start keeps it from that",
		"GRANT "+strings.Join(lacks, ", ")+" ON *.* to belay's login on the target for the time of the move, or set skip_replica_start = ON there")
	return err
}

func mysqlSome(all []string) string {
	if len(all) > 5 {
		return fmt.Sprintf("%s and %d more", strings.Join(all[:5], ", "), len(all)-5)
	}
	return strings.Join(all, ", ")
}

// target judges the server that shall follow.
func (n *mysqlReplicateNeed) target(ctx context.Context, j *mysqlJudge, b *mysqlBoth) error {
	v, err := b.target.Globals(ctx)
	if err != nil {
		return err
	}
	s, err := b.source.Globals(ctx)
	if err != nil {
		return err
	}
	j.say("server_id", v["server_id"] != s["server_id"] && v["server_id"] != "0", checks.Block, fmt.Sprintf("server_id is %s at the source and %s at the target", s["server_id"], v["server_id"]),
		"SET GLOBAL server_id on the target to another number, and in its configuration")
	others, err := b.Others(ctx, b.target)
	if err != nil {
		return err
	}
	j.say("others", len(others) == 0, checks.Block, fmt.Sprintf("the target follows %d other servers", len(others)), "end that first ("+strings.Join(others, ", ")+"), or use mysql.copy while frozen: there is one position for all")
	if b.target.Version.MariaDB {
		strict := v["gtid_strict_mode"] == "ON"
		shared := mysql.SharedDomains(s["gtid_binlog_pos"], v["gtid_binlog_pos"])
		j.say("gtid_strict_mode", !strict || len(shared) == 0, checks.Block, fmt.Sprintf("gtid_strict_mode of the target is %s, and it shares %d GTID domains with the source", v["gtid_strict_mode"], len(shared)),
			"SET GLOBAL gtid_strict_mode = OFF there for the time of the move, or RESET MASTER if nobody follows it: it has numbered transactions of its own in domain "+strings.Join(shared, ", "))
		j.say("threads", v["slave_parallel_threads"] != "0", checks.Warn, "slave_parallel_threads of the target is "+v["slave_parallel_threads"],
			"where the source takes more than some hundred transactions a second, SET GLOBAL slave_parallel_threads = 4 there before, or one thread may never catch up")
	} else {
		j.say("server_uuid", v["server_uuid"] != s["server_uuid"], checks.Block, "server_uuid is "+s["server_uuid"]+" at the source and "+v["server_uuid"]+" at the target",
			"the machine of one was cloned from the other: remove auto.cnf from the target's data directory and start it anew, which makes another")
		j.say("gtid_mode", v["gtid_mode"] == "ON", checks.Block, "gtid_mode of the target is "+v["gtid_mode"], "set gtid_mode and enforce_gtid_consistency to ON there")
		if err := n.restarts(ctx, j, b); err != nil {
			return err
		}
	}
	if n.step.ReadOnly {
		have, err := mysql.Databases(ctx, b.target)
		if err != nil {
			return err
		}
		j.say("read_only", len(have) == 0, checks.Warn, "until mysql.switch the target refuses writes, to its "+strconv.Itoa(len(have))+" databases, too",
			"if somebody writes to these now, say read_only: false: "+mysqlSome(have))
	}
	want := []string{"REPLICATION SLAVE ADMIN", "BINLOG REPLAY"}
	if !b.target.Version.MariaDB {
		want = []string{"REPLICATION_SLAVE_ADMIN"}
	}
	return n.rights(ctx, j, b.target, want...)
}
