package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/postrider/postrider/internal/api"
)

// served answers the commands in place of a running postrider, and returns the
// configuration that leads to it.
func served(t *testing.T, h http.HandlerFunc) (file string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "cmd") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "postrider.sock"))
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h}
	go s.Serve(l)
	t.Cleanup(func() { s.Close(); os.RemoveAll(dir) })
	file = filepath.Join(dir, "postrider.toml")
	write(t, file, fmt.Sprintf("hostname = \"mx.author.test\"\ndata = %q\n[[listen]]\nkind = \"smtp\"\naddress = \"127.0.0.1:0\"\n", dir))
	return file
}

// answered answers an order.
func answered(w http.ResponseWriter, all, faults int, done ...api.Done) {
	w.Header().Set("Postrider-Total", fmt.Sprint(all))
	w.Header().Set("Postrider-Faults", fmt.Sprint(faults))
	writeJSON(w, append([]api.Done{}, done...))
}

func TestAnOrderForVeryManySaysForHowMany(t *testing.T) {
	file := served(t, func(w http.ResponseWriter, _ *http.Request) {
		answered(w, 50_000, 7, api.Done{}, api.Done{Fault: "late"})
	})
	var out, errs bytes.Buffer
	code := run([]string{"postrider", "-c", file, "retry", "--all"}, streams{nil, &out, &errs})
	for _, w := range []string{"retry: done for 49993 deliveries", "2 of 50000 are shown", "7 of 50000 were not carried out", ": late"} {
		if !strings.Contains(out.String()+errs.String(), w) || code != exitNo {
			t.Errorf("exit %d, it says\n%s%s, not %q", code, &out, &errs, w)
		}
	}
}

func TestATraceSaysHowToSeeTheRest(t *testing.T) {
	file := served(t, func(w http.ResponseWriter, r *http.Request) {
		if limit := r.FormValue("limit"); limit != "1" {
			w.Header().Set("Postrider-More", "true")
		}
		writeJSON(w, []api.Trace{{}})
	})
	for limit, want := range map[string]string{"1": "", "20": "--limit shows up to 1000", "1000": "choose among them"} {
		var out, errs bytes.Buffer
		code := run([]string{"postrider", "-c", file, "trace", "bob@there.test", "--limit", limit}, streams{nil, &out, &errs})
		if code != exitDone || !strings.Contains(errs.String(), want) || (want == "") != (errs.Len() == 0) {
			t.Errorf("--limit %s: exit %d, %q, want %q", limit, code, &errs, want)
		}
	}
}

func TestEachIDThatIsNamedIsAnsweredFor(t *testing.T) {
	const a, b, broken = "06h29x5sac0000000000000004-1", "06h29x5sc40000000000000004-1", "06h29x5sd80000000000000004"
	var got []string
	file := served(t, func(w http.ResponseWriter, r *http.Request) {
		var o api.Order
		if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
			t.Error(err)
		}
		got = append(got, o.Filter.ID)
		var d api.Done
		switch d.ID = o.Filter.ID; d.ID {
		case a:
			answered(w, 1, 0, d)
		case broken:
			http.Error(w, "the store could not be read", http.StatusInternalServerError)
		default:
			answered(w, 0, 0)
		}
	})
	for _, c := range []struct {
		args string
		code int
		sent []string
		says []string
	}{
		{"hold " + a, exitDone, []string{a}, []string{"hold: done for 1 delivery"}},
		{"hold " + a + " " + b, exitNo, []string{a, b}, []string{"hold: done for 1 delivery", "nothing matches " + b}},
		{"hold --json " + b + " " + a, exitNo, []string{b, a}, []string{`"id":"` + a, "nothing matches " + b}},
		{"hold " + a + " " + broken + " " + b, exitNo, []string{a, broken}, []string{"hold: done for 1 delivery", "the store could not be read"}},
		{"hold " + a + " nonsense", exitNo, nil, []string{`"nonsense" is no message or delivery id`}},
		{"hold --id " + b + " " + a, exitNo, nil, []string{"either --id or ids"}},
		{"hold --domain there.test ?", exitNo, nil, []string{"an id is empty"}},
	} {
		got = nil
		args := append([]string{"postrider", "-c", file}, strings.Fields(c.args)...)
		if at := slices.Index(args, "?"); at > 0 {
			args[at] = "" // of a variable that is not set
		}
		var out, errs bytes.Buffer
		if code := run(args, streams{nil, &out, &errs}); code != c.code || !slices.Equal(got, c.sent) {
			t.Errorf("%s: exit %d, ordered for %q, want %d %q", c.args, code, got, c.code, c.sent)
		}
		for _, w := range c.says {
			if !strings.Contains(out.String()+errs.String(), w) {
				t.Errorf("%s: it says\n%s%s, not %q", c.args, &out, &errs, w)
			}
		}
	}
}
