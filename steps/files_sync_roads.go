package steps

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"belay/remote"
	"belay/steps/files"
)

// Two roads lead from host to host. Archives of tar are the quicker one for what
// is new: nothing is read or reckoned that is not sent. rsync is the quicker one
// for a large file that the target has in another version, or of which a part
// had arrived when an attempt broke off: only what differs is sent. So auto takes
// each for what it is good at.

// filesSyncPart is the size in bytes from which a file is worth rsync: below,
// asking what is there costs more than sending it.
const filesSyncPart = 64 << 10

// byRsync tells whether rsync is to be used at all.
func (c *filesSync) byRsync(w *filesSyncWork) bool {
	return c.By != "tar" && w.src.Rsync.Is() && w.dst.Rsync.Is()
}

// updates is the choice of a road for one entry; see files.How.
func (c *filesSync) updates(w *filesSyncWork) func(a files.Entry, b *files.Entry) bool {
	switch {
	case !c.byRsync(w):
		return nil
	case c.By == "rsync":
		return func(files.Entry, *files.Entry) bool { return true }
	}
	return func(a files.Entry, b *files.Entry) bool {
		if a.Type != 'f' || a.Size < filesSyncPart {
			return false
		}
		if b == nil { // an earlier attempt may have put it aside, to be made anew
			return w.begun && w.rec.Was == "full" && !w.made[a.Path]
		}
		return b.Type == 'f' && b.Size > 0
	}
}

// filesSyncSending is a copy under way.
type filesSyncSending struct {
	c     *filesSync
	e     Env
	road  files.Road
	wire  atomic.Int64 // bytes that rsync sent
	unfit atomic.Bool  // rsync turned out to be of no use
}

func (c *filesSync) send(ctx context.Context, e Env, w *filesSyncWork) error {
	var done atomic.Int64
	text := fmt.Sprintf("%s from %s", filesCount(w.todo.Send, "file"), c.From)
	s := &filesSyncSending{c: c, e: e}
	s.road = files.Road{
		From: w.from, To: w.to, FromDir: w.old.Dir, ToDir: w.rec.Dir, FromTar: w.src.Tar, ToTar: w.dst.Tar, Loose: c.Live,
		Count: func(n int64) {
			e.Say(Progress{Done: min(done.Add(n), w.todo.Bytes), Total: w.todo.Bytes, Unit: "B", Text: text})
		},
		FromRsync: w.src.Rsync, ToRsync: w.dst.Rsync, Wire: func(n int64) { s.wire.Add(n) },
	}
	if w.rec.Aside != "" {
		s.road.Basis, s.road.Temp = w.rec.Aside+"/old", w.rec.Aside+"/tmp"
	}
	limits := files.Limits{Bytes: filesSyncBatch, Entries: filesSyncEntries, Names: filesSyncNames}
	if w.src.Tar == "busy" {
		limits.Names = filesSyncArgs
	}
	large := limits // rsync takes longer to begin
	large.Bytes = filesSyncLarge
	g, sending := errgroup.WithContext(ctx)
	g.SetLimit(filesSyncStreams)
	err := w.todo.Batches(limits, large, func(b files.Batch) error {
		g.Go(func() error { return s.batch(sending, b) })
		return context.Cause(sending)
	})
	if failed := g.Wait(); failed != nil {
		err = failed // the first one; Batches was only told to end
	}
	if err != nil {
		return err
	}
	// The directories last: every entry made in one changes its time.
	for chunk := range slices.Chunk(w.todo.Meta, min(filesSyncEntries, limits.Names/64)) {
		if err := s.road.Send(ctx, chunk); err != nil {
			return err
		}
	}
	if n := s.wire.Load(); n > 0 {
		fmt.Fprintf(e.Log, "of %s that rsync brought over, it sent %s\n", remote.FormatBytes(w.todo.Parts), remote.FormatBytes(n))
	}
	return nil
}

// batch sends one batch. Where rsync cannot be used after all, or in a live
// source some file changed below its hands, tar takes the batch: it is content
// with what it finds.
func (s *filesSyncSending) batch(ctx context.Context, b files.Batch) error {
	if !b.Update || s.unfit.Load() {
		return s.road.Send(ctx, b.Entries)
	}
	err := s.road.Update(ctx, b.Entries)
	switch {
	case errors.Is(err, files.ErrUnfit) && s.c.By != "rsync":
		if !s.unfit.Swap(true) {
			fmt.Fprintf(s.e.Log, "%v; tar is used instead\n", err)
		}
	case files.Partly(err) && s.c.Live:
		fmt.Fprintf(s.e.Log, "%v; these files are sent as a whole instead\n", err)
	default:
		return err
	}
	return s.road.Send(ctx, b.Entries)
}
