package steps

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"belay/steps/mysql"
)

// mysqlTrace is how far a script has come. It is on the disk before and after
// each statement.
type mysqlTrace struct {
	Next  int  `json:"next"`           // the statement to go on with, from 0
	Sent  bool `json:"sent,omitempty"` // it was sent, and nobody knows how it ended
	Told  bool `json:"told,omitempty"` // that was said
	Done  bool `json:"done,omitempty"`
	Begun bool `json:"begun,omitempty"`
	Kept  bool `json:"kept,omitempty"` // what stands before Next is committed, though it began a transaction
}

// from is the statement to go on with in another session: the transaction that
// an earlier one was in is gone.
func (t mysqlTrace) from(back []int) int {
	if t.Kept || t.Next >= len(back) { // the file was made shorter
		return t.Next
	}
	return back[t.Next]
}

// mysqlScript cuts a script into statements. One that leaves a transaction open
// would be forgotten with the session.
func mysqlScript(text string) ([]mysql.Statement, error) {
	all, err := mysql.Split(text)
	if err != nil {
		return nil, err
	}
	if open := mysql.Back(all)[len(all)]; open < len(all) {
		return nil, fmt.Errorf("line %d: %s begins a transaction that nothing ends: end it by COMMIT, or it would not be kept", all[open].Line, all[open])
	}
	return all, nil
}

// mysqlRunScript runs a script once, keeping a trace under key.
func mysqlRunScript(ctx context.Context, e Env, s mysqlStore, database, key, text string) error {
	all, err := mysqlScript(text)
	if err != nil {
		return fmt.Errorf("%w; nothing was changed", err)
	}
	var t mysqlTrace
	if _, err := e.Memory.Get(key, &t); err != nil || t.Done {
		return err
	}
	from := t.from(mysql.Back(all))
	st := all[min(t.Next, len(all)-1)]
	if ends, _ := st.Ends(); t.Sent && !t.Told && (from == t.Next || ends) {
		t.Told = true
		if err := e.Memory.Put(key, t); err != nil {
			return err
		}
		return fmt.Errorf("statement %d of %d (line %d: %s) was sent when belay or the link was lost, and may or may not have been carried out; those before it were, those after it not. Look at the server: if it was, undo it by hand or skip the step; trying again %s",
			t.Next+1, len(all), st.Line, st, mysqlAgain(t.Next, from))
	}
	srv, err := s.server(ctx, e)
	if err != nil {
		return err
	}
	db, err := srv.OpenPlain(ctx, database)
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	for i, st := range all {
		if i >= from {
			if err := mysqlRunOne(ctx, e, conn, key, &t, i, all); err != nil {
				return err
			}
		} else if st.Session() { // said again: it is another session
			if _, err := conn.ExecContext(ctx, st.Text); err != nil {
				return fmt.Errorf("line %d: %s: %w; nothing more was changed", st.Line, st, err)
			}
		}
	}
	t.Done = true
	return e.Memory.Put(key, t)
}

func mysqlAgain(i, from int) string {
	if from == i {
		return "runs it once more"
	}
	return fmt.Sprintf("begins again with statement %d, where its transaction began", from+1)
}

// errMySQLParse is of a statement that the server could not even read.
const errMySQLParse = 1064

func mysqlRunOne(ctx context.Context, e Env, conn *sql.Conn, key string, t *mysqlTrace, i int, all []mysql.Statement) error {
	st := all[i]
	*t = mysqlTrace{Next: i, Sent: true, Begun: true}
	if err := e.Memory.Put(key, t); err != nil {
		return err
	}
	e.Say(Progress{Done: int64(i), Total: int64(len(all)), Unit: "statements", Text: st.String()})
	res, err := conn.ExecContext(ctx, st.Text)
	if err != nil {
		back, number := mysql.Back(all), mysql.Number(err)
		from := back[i]
		ends, first := st.Ends()
		t.Sent = number == 0 && (from == i || ends) // the link, not the server
		t.Told = t.Sent
		said := mysqlSoFar(i, from)
		switch {
		case t.Sent:
			said = "it may or may not have been carried out, those before it were; look before you try again, which " + mysqlAgain(i, from)
		case number != 0 && number != errMySQLParse && from < i && first:
			t.Kept, said = true, mysqlSoFar(i, i)
		}
		return errors.Join(fmt.Errorf("statement %d of %d (line %d: %s): %w; %s", i+1, len(all), st.Line, st, err, said), e.Memory.Put(key, t))
	}
	n, _ := res.RowsAffected()
	fmt.Fprintf(e.Log, "line %d: %s: %d rows\n", st.Line, st, n)
	*t = mysqlTrace{Next: i + 1, Begun: true}
	return e.Memory.Put(key, t)
}

// mysqlSoFar tells what stands when statement i, from 0, was refused, and its
// transaction, which began with from, is gone with the session.
func mysqlSoFar(i, from int) string {
	switch {
	case i == 0:
		return "nothing was changed"
	case from == 0:
		return "the transaction that it stands in was rolled back, and nothing was changed"
	case from < i:
		return fmt.Sprintf("statements 1 to %d were carried out, the transaction that begins with statement %d was rolled back; trying again begins with that", from, from+1)
	}
	return fmt.Sprintf("statements 1 to %d were carried out, and what they define is committed; trying again goes on with this one", i)
}
