package api

import (
	"html/template"
	"net/http"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
)

const pageMost = 100 // deliveries on the page

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"age": func(s int64) string { return custody.FormatAge(time.Duration(s) * time.Second) },
	"in": func(t *time.Time) string {
		if t == nil {
			return "never"
		}
		if d := time.Until(*t); d > 0 {
			return "in " + custody.FormatAge(d)
		}
		return "now"
	},
	"clock": func(t *time.Time) string {
		if t == nil {
			return ""
		}
		return t.Local().Format("Mon 2 Jan 15:04:05")
	},
	"rfc": func(t *time.Time) string {
		if t == nil {
			return ""
		}
		return t.Format(time.RFC3339)
	},
}).Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="5"><title>postrider on {{.Hostname}}</title>
<style>
:root{color-scheme:light dark;--ink:#1d2330;--soft:#667;--line:#dde;--card:#fff;--back:#f5f6fa;--warn:#a4560a}
@media(prefers-color-scheme:dark){:root{--ink:#e6e8ef;--soft:#9aa;--line:#333a48;--card:#1d222c;--back:#14171d;--warn:#f0a04b}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back);max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.3rem;margin:0}header p{color:var(--soft);margin:.2rem 0 1.5rem}
article{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.9rem 1.1rem;margin:.7rem 0}
article h2{font-size:1rem;margin:0;overflow-wrap:anywhere}.soft{color:var(--soft)}
.last{font-family:ui-monospace,monospace;font-size:.85rem;white-space:pre-wrap;overflow-wrap:anywhere;margin:.5rem 0;color:var(--warn)}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:.4rem 1rem;margin:.4rem 0 0}
dt{color:var(--soft);font-size:.8rem}dd{margin:0}
</style></head><body>
<header><h1>postrider on {{.Hostname}}</h1>
<p>{{.Health.Waiting}} deliveries of {{.Health.Messages}} messages wait. A 250 from here means: {{.Health.Durability}}.{{with .Health.Fault}} <strong>Nothing is taken now: {{.}}</strong>{{end}}</p></header>
<main>{{range .Deliveries}}<article>
<h2>{{with .Subject}}{{.}}{{else}}<span class="soft">(no subject)</span>{{end}}</h2>
<div class="soft">{{with .From}}{{.}}{{else}}&lt;&gt;{{end}} &rarr; {{range $i, $r := .Recipients}}{{if $i}}, {{end}}{{$r}}{{end}}</div>
{{with .Last}}<div class="last">{{with .Host}}{{.}}: {{end}}{{if .Code}}{{.Code}} {{end}}{{.Status}} {{.Text}}</div>{{end}}
<dl><div><dt>{{.State}}</dt><dd>for {{age .AgeS}}, {{.Attempts}} attempts</dd></div>
<div><dt>next try</dt><dd title="{{rfc .Fate.NextTry}}">{{in .Fate.NextTry}}</dd></div>
<div><dt>sender warned</dt><dd title="{{rfc .Fate.NextWarning}}">{{in .Fate.NextWarning}}</dd></div>
<div><dt>given up</dt><dd title="{{rfc .Fate.GivesUp}}">{{in .Fate.GivesUp}} <span class="soft">{{clock .Fate.GivesUp}}</span></dd></div></dl>
{{with .Fate.Blocked}}<div class="last">{{.}}</div>{{end}}
<div class="soft">because: {{with .Held}}{{.}}{{else}}{{.Fate.Because}}{{end}} &middot; {{.ID}}</div>
</article>{{else}}<p>Nothing waits.</p>{{end}}
{{if .More}}<p class="soft">The first {{len .Deliveries}} are shown; <code>postrider queue</code> lists them all.</p>{{end}}
</main></body></html>
`))

// page shows what waits, and its fate.
func (s *server) page(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	data := struct {
		Hostname   string
		Health     spool.Health
		Deliveries []Delivery
		More       bool
	}{Hostname: s.o.Hostname, Health: s.o.Store.Health(r.Context())}
	for row, err := range s.o.Store.Find(r.Context(), spool.Query{Limit: pageMost + 1}) {
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		if len(data.Deliveries) == pageMost {
			data.More = true
			break
		}
		data.Deliveries = append(data.Deliveries, s.show(row, now))
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := page.Execute(w, data); err != nil {
		return // the browser went away
	}
}
