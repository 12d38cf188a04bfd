package run

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"belay/remote"
	"belay/remote/secret"
	"belay/steps/engine"
	"belay/steps/journal"
	"belay/steps/journal/journaltest"
	"belay/steps/journal/pg"
	"belay/steps/plan"
)

// A run whose journal is in a database: a screen on its machine attaches and
// answers; one on another machine looks on; when the database goes the run
// stops before the next act; and another machine takes it up.
func TestSharedJournal(t *testing.T) {
	server := journaltest.StartPostgres(t)
	store, err := pg.At(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Load("plan.yaml", []byte(askingPlan), plan.All())
	if err != nil {
		t.Fatal(err)
	}
	ada, ben := journal.Author{Name: "ada", Login: "ada"}, journal.Author{Login: "ben"}
	a, b := t.TempDir(), t.TempDir()
	r, err := CreateIn(store, a, "r1", p, &secret.Redactor{}, ada)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	spec := Spec{Version: "test", Hosts: remote.Hosts{"here": remote.Local("here")}, Secret: noSecrets, Author: ada}
	e := r.Engine(spec)
	k, err := Serve(r, "")
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	ended := make(chan error, 1)
	go func() {
		_, err := (*engine.Engine).Walk(e, context.Background())
		r.Ended(err)
		ended <- err
	}()

	at, err := Attach(r.Dir(), plan.All(), ada)
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	afar, err := Look(t.Context(), store, "r1", plan.All())
	if err != nil {
		t.Fatal(err)
	}
	defer afar.Close()
	answerAll := func(kind string) {
		t.Helper()
		until(t, kind, func() bool {
			for _, q := range at.State().Questions {
				if q.Kind == kind {
					return true
				}
				ans := journal.Answer{Question: q.ID, Choice: "go", By: ada}
				if _, open := at.State().Standing(); len(open) > 0 {
					ans.Choice, ans.Item, ans.Reason = "accept", open[0].ID, "a test"
				}
				_ = at.Answer(t.Context(), ans)
			}
			return false
		})
	}
	answerAll(journal.AskManual)
	until(t, "the look from afar", func() bool { return afar.State().Seq == r.State().Seq })
	q := afar.State().Questions[0]
	var refused *journal.RefusedError
	if err := afar.Answer(t.Context(), journal.Answer{Question: q.ID, Choice: "done", By: ben}); !errors.As(err, &refused) || !strings.Contains(refused.Why, "ada drives") {
		t.Errorf("an answer from afar: %v", err)
	}
	if live := afar.Live(); live.Ended || live.Err != nil {
		t.Errorf("from afar: %+v", live)
	}
	if all, err := List(a); err != nil || len(all) != 1 || all[0].Live == nil || all[0].State.Seq == 0 {
		t.Errorf("list: %+v, %v", all, err)
	}
	if id, err := FindShared(t.Context(), store, ""); err != nil || id != "r1" {
		t.Errorf("the only run: %q, %v", id, err)
	}
	other, err := CreateIn(store, a, "r2", p, &secret.Redactor{}, ben)
	if err == nil {
		err = errors.Join(other.journal.Append(journal.Event{Type: journal.RunOpened, Data: []byte(`{"run":"r2"}`)}), other.Close(), os.RemoveAll(other.Dir()))
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := FindShared(t.Context(), store, ""); err == nil || !strings.Contains(err.Error(), "r2, r1") {
		t.Errorf("one of two runs was guessed: %v", err)
	}
	dir, fresh, err := Fetch(t.Context(), store, b, "r1")
	if err != nil || !fresh || dir != filepath.Join(b, "r1") {
		t.Fatal(dir, fresh, err)
	}
	var locked *LockedError
	if _, err := Open(dir, plan.All(), &secret.Redactor{}, ben, "resume"); !errors.As(err, &locked) || locked.By.Login != "ada" {
		t.Errorf("a second writer: %v", err)
	}

	server.Kill()
	seq := r.State().Seq
	if err := at.Answer(t.Context(), journal.Answer{Question: q.ID, Choice: "done", By: ada}); err != nil {
		t.Fatal(err)
	}
	select {
	case err = <-ended:
	case <-time.After(2 * time.Minute):
		t.Fatal("the run goes on without its journal")
	}
	if err == nil || !strings.Contains(err.Error(), "nothing further was started") || !strings.Contains(err.Error(), "belay resume r1") {
		t.Errorf("the run ended with: %v", err)
	}
	if r.State().Seq != seq {
		t.Error("the state moved on without the journal")
	}
	if all, err := List(a); err != nil || len(all) != 1 || all[0].Err == nil {
		t.Errorf("list without the database: %+v, %v", all, err)
	}
	server.Start(t)
	until(t, "the look from afar sees that nobody drives", func() bool { return afar.Live().Ended })
	var none *NoKeeperError
	if !errors.As(afar.Live().Err, &none) {
		t.Errorf("from afar: %v", afar.Live().Err)
	}

	second, err := Open(dir, plan.All(), &secret.Redactor{}, ben, "resume")
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if s := second.State(); s.Seq != seq || len(s.Questions) != 1 || second.Plan().Hash != p.Hash {
		t.Errorf("taken over at event %d with %d questions, plan %s", s.Seq, len(s.Questions), second.Plan().Hash)
	}
	if _, err := os.Stat(filepath.Join(dir, "journal")); err == nil {
		t.Error("a journal file stands beside the database's")
	}
}

func TestFetchMakesNoDirectoryElsewhere(t *testing.T) {
	for _, id := range []string{"../x", "a/b", ".hidden", ".", ".."} {
		if _, _, err := Fetch(t.Context(), nil, t.TempDir(), id); err == nil {
			t.Errorf("%q was fetched", id)
		}
	}
}
