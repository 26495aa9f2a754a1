package timeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func TestLinesOfRequestsAreWhatEncodingJSONWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Pack(rapid.SliceOfN(rapid.Custom(drawRequest), 0, 50).Draw(t, "requests"))
		want, err := json.Marshal(Event{Requests: p})
		if err != nil {
			t.Fatal(err)
		}
		line := p.appendLine(nil)
		if diff := cmp.Diff(string(want)+"\n", string(line)); diff != "" {
			t.Fatal(diff)
		}
		var got Requests
		if !got.parseLine(bytes.TrimSuffix(line, []byte("\n"))) {
			t.Fatalf("not parsed: %s", line)
		}
		if diff := cmp.Diff(p, &got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

// FuzzParseLine wants of every line that parseLine takes what encoding/json makes of it.
func FuzzParseLine(f *testing.F) {
	for _, fields := range []string{`"n":0`, `"n":2,"seq":[1,-1],"took":[7]`, `"n":3,"outcome":{"eof":[1],"reset":[0,2]},"hidden":[1]`,
		`"n":1,"sent":[999999999999999999]`, `"n":1,"sent":[9999999999999999999]`, `"n":01`, `"n":1,"hidden":[-0]`, `"n":1,"n":2`,
		`"n":2,"outcome":{"eof":[0],"eof":[1]}`, `"n":1,"seq":[]`, `"n":1,"seq":null`, `"n":1.5`, `"n":1,"more":1`} {
		f.Add(`{"requests":{` + fields + `}}`)
	}
	f.Fuzz(func(t *testing.T, line string) {
		var p Requests
		p.parseLine([]byte(`{"requests":{"n":1,"took":[3],"outcome":{"other":[0]}}}`)) // what is left of it must not show
		if !p.parseLine([]byte(line)) {
			return
		}
		var want Event
		if err := json.Unmarshal([]byte(line), &want); err != nil {
			t.Fatalf("took %s, which is %v", line, err)
		}
		if diff := cmp.Diff(want.Requests, &p, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

const emptyHeader = `{"header":{"format":"restartbench run file","version":1}}`

func TestRewindLeavesOutWhatIsSkipped(t *testing.T) {
	// The second line of requests and the second line of a log are as a person might write them.
	file := compress(t, strings.Join([]string{emptyHeader, `{"load":{"rate":5}}`, `{"requests":{"n":1}}`, `{ "requests": {"n": 2} }`,
		`{"log":{"text":"a"}}`, `{ "log": {"text": "b"} }`, `{"end":{"reason":"complete"}}`, ""}, "\n"))
	rd, err := NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	for _, tc := range []struct {
		skip Skip
		want string
	}{
		{0, "load requests requests log log end"},
		{SkipRequests, "load log log end"},
		{SkipLogs, "load requests requests end"},
		{SkipRequests | SkipLogs, "load end"},
		{0, "load requests requests log log end"},
	} {
		if err := rd.Rewind(tc.skip); err != nil {
			t.Fatal(err)
		}
		got, err := kinds(rd)
		if got != tc.want || err != io.EOF {
			t.Errorf("skipping %d: %s, %v, want %s", tc.skip, got, err, tc.want)
		}
	}
}

// kinds reads on to the end, and names the events.
func kinds(rd *Reader) (string, error) {
	var names []string
	for {
		e, err := rd.Next()
		switch {
		case err != nil:
			return strings.Join(names, " "), err
		case e.Load != nil:
			names = append(names, "load")
		case e.Requests != nil:
			names = append(names, "requests")
		case e.Log != nil:
			names = append(names, "log")
		case e.End != nil:
			names = append(names, "end")
		default:
			names = append(names, fmt.Sprintf("%+v", e))
		}
	}
}

func TestReadingAgainEndsWhereTheFirstReadingDid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	begun := compress(t, emptyHeader+"\n"+`{"load":{"rate":5}}`+"\n")
	if err := os.WriteFile(path, begun, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rd, err := NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	first, firstErr := kinds(rd)
	if _, err := f.WriteAt(compress(t, `{"log":{"text":"a"}}`+"\n"), int64(len(begun))); err != nil {
		t.Fatal(err)
	}
	if err := rd.Rewind(0); err != nil {
		t.Fatal(err)
	}
	second, secondErr := kinds(rd)
	if first != "load" || second != first || !errors.Is(firstErr, ErrTruncated) || !errors.Is(secondErr, ErrTruncated) {
		t.Errorf("read %s, %v, and then %s, %v", first, firstErr, second, secondErr)
	}
}

func TestWhatIsNoFileCannotBeReadAgain(t *testing.T) {
	file := compress(t, emptyHeader+"\n")
	rd, err := NewReader(io.MultiReader(bytes.NewReader(file)))
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	if err := rd.Rewind(0); err == nil || !strings.Contains(err.Error(), "second time") {
		t.Errorf("got %v", err)
	}
}
