package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"html/template"
	"io"
	"net/http"
	"strings"

	"github.com/postrider/postrider/explain"
	"github.com/postrider/postrider/internal/api"
)

const (
	bounceMost = 8 << 20 // octets that may be handed in
	bouncesMax = 20      // messages of a mailbox file that are read
	citedMost  = 40      // lines of evidence that are shown
)

func (d *desk) bounceRoutes(mux *http.ServeMux) {
	d.add("Explain", "/explain")
	mux.HandleFunc("GET /explain", d.bounce)
	mux.HandleFunc("POST /explain", d.explainBounce)
}

// bounce is what the page that explains shows.
type bounce struct {
	Text      string
	Languages []string
	Language  string // of the letters
	Answers   []answer
	More      bool
	Wrong     string
}

// answer is one report, explained.
type answer struct {
	explain.Report
	Fates   []fateOf
	Letters []letterFor
}

// fateOf is what became of some recipients.
type fateOf struct {
	explain.Finding
	Names   []string
	Picture template.HTML
	Cited   []explain.Evidence
	Folded  int // lines of evidence that are not shown
}

// letterFor is the answer worded for one reader.
type letterFor struct{ ID, For, Text string }

func (d *desk) bounce(w http.ResponseWriter, r *http.Request) {
	d.showBounce(w, r, http.StatusOK, bounce{})
}

func (d *desk) showBounce(w http.ResponseWriter, r *http.Request, status int, b bounce) {
	b.Languages = explain.Languages()
	if b.Language == "" {
		b.Language = "en"
	}
	d.show(w, r, status, "explain.html", view{Title: "Explain a bounce", Place: "/explain", Data: b})
}

// explainBounce reads what was handed in, pasted or as a file, and keeps nothing.
func (d *desk) explainBounce(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, bounceMost)
	b := bounce{}
	raw, err := handedIn(r, &b)
	switch tooLarge := new(http.MaxBytesError); {
	case errors.As(err, &tooLarge):
		b.Wrong = "That is more than 8 MB. The header and the report of a bounce are enough; the message that came back may be cut off."
		d.showBounce(w, r, http.StatusRequestEntityTooLarge, b)
		return
	case err != nil:
		b.Wrong = err.Error()
	case len(bytes.TrimSpace(raw)) == 0:
		b.Wrong = "Nothing was handed in. Paste a bounce, or a single line of one, or choose a file."
	}
	if b.Wrong == "" {
		v, err := api.Work(r.Context(), d.Desk, func() (readout, error) { return explained(raw, b.Language) })
		if b.Answers, b.More = v.answers, v.more; err != nil {
			b.Wrong = err.Error()
		}
	}
	status := http.StatusOK
	if b.Wrong != "" {
		status = http.StatusUnprocessableEntity
	}
	d.showBounce(w, r, status, b)
}

func handedIn(r *http.Request, b *bounce) ([]byte, error) {
	if err := r.ParseForm(); err != nil {
		return nil, err
	}
	if err := r.ParseMultipartForm(bounceMost); err != nil && !errors.Is(err, http.ErrNotMultipart) {
		return nil, err
	}
	b.Text, b.Language = r.PostFormValue("text"), r.PostFormValue("language")
	f, _, err := r.FormFile("file")
	if err != nil { // none was chosen
		return []byte(b.Text), nil
	}
	defer f.Close()
	raw, err := io.ReadAll(f)
	if len(raw) == 0 {
		return []byte(b.Text), err
	}
	b.Text = ""
	return raw, err
}

// readout is what was found in what was handed in.
type readout struct {
	answers []answer
	more    bool // messages than are read
}

// explained explains each message of what was handed in.
func explained(raw []byte, language string) (out readout, err error) {
	for m, err := range explain.Messages(bytes.NewReader(raw)) {
		if err != nil {
			return out, err
		}
		if len(out.answers) == bouncesMax {
			out.more = true
			break
		}
		rep, err := explain.Explain(bytes.NewReader(m.Raw), explain.Options{Line: m.Line})
		if err != nil {
			return out, err
		}
		a := answer{Report: rep, Fates: fates(rep)}
		if len(rep.Recipients) > 0 {
			if a.Letters, err = letters(m, language); err != nil {
				return out, err
			}
		}
		out.answers = append(out.answers, a)
	}
	return out, nil
}

// fates puts recipients of one fate together.
func fates(rep explain.Report) []fateOf {
	var out []fateOf
	place := map[string]int{}
	for _, f := range rep.Recipients {
		alike := f
		alike.Recipient, alike.Evidence = "", nil
		key, _ := json.Marshal(alike) // plain values
		i, seen := place[string(key)]
		if !seen {
			i = len(out)
			place[string(key)] = i
			v := fateOf{Finding: f, Cited: f.Evidence[:min(len(f.Evidence), citedMost)]}
			v.Folded = len(f.Evidence) - len(v.Cited)
			drawn := alike
			drawn.Verdict = "" // stands above the picture
			v.Picture = inline(explain.SVG(explain.Report{Kind: rep.Kind, Recipients: []explain.Finding{drawn}, Language: rep.Language}))
			out = append(out, v)
		}
		if f.Recipient != "" {
			out[i].Names = append(out[i].Names, f.Recipient)
		}
	}
	return out
}

// letters words the answer for those who may want it.
func letters(m explain.Message, language string) ([]letterFor, error) {
	rep, err := explain.Explain(bytes.NewReader(m.Raw), explain.Options{Line: m.Line, Language: language})
	if err != nil {
		return nil, err
	}
	var out []letterFor
	for _, to := range []struct {
		id, name string
		reader   explain.Reader
	}{
		{"sender", "the sender", explain.Sender}, {"sending", "the sending side's administrator", explain.SendingAdmin},
		{"receiving", "the receiving side's administrator", explain.ReceivingAdmin},
	} {
		var b strings.Builder
		if err := explain.WriteFor(&b, rep, to.reader); err != nil {
			return nil, err
		}
		out = append(out, letterFor{to.id, to.name, strings.TrimSpace(b.String())})
	}
	return out, nil
}

// fixers are those who can mend a trouble, as explain names them.
var fixers = map[string]string{
	"sender": "The sender", "sender-admin": "The sending side's mail administrator", "receiver-admin": "The receiving side's mail administrator",
	"recipient": "The recipient", "operator": "Whoever runs the server that gave up", "nobody": "Nobody",
}
