package web

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/postrider/postrider/internal/api"
)

func (d *desk) configurationRoutes(mux *http.ServeMux) {
	if _, told := d.Configuration(); !told {
		return
	}
	d.add("Configuration", "/configuration")
	mux.HandleFunc("GET /configuration", d.configuration)
}

// configured is what the page of the configuration shows.
type configured struct {
	api.Configuration
	Sections []section
	Lint     []subject
	Fault    string // why the schedules could not be looked at
}

// section is the settings with the same first word.
type section struct {
	Name     string
	Settings []setting
	Set      int // of these, those that the file sets
}

type setting struct {
	api.Setting
	Short string // the key without the section
	Text  string // the value
}

// subject is a schedule and the traps in it.
type subject struct {
	Name  string
	Found []api.Linted
}

func (d *desk) configuration(w http.ResponseWriter, r *http.Request) {
	c, _ := d.Configuration()
	v := configured{Configuration: c, Sections: sections(c.Settings)}
	found, err := d.Lint(r.Context())
	if err != nil {
		v.Fault = err.Error()
	}
	for _, f := range found {
		if n := len(v.Lint); n == 0 || v.Lint[n-1].Name != f.Subject {
			v.Lint = append(v.Lint, subject{Name: f.Subject})
		}
		last := &v.Lint[len(v.Lint)-1]
		last.Found = append(last.Found, f)
	}
	d.show(w, r, http.StatusOK, "configuration.html", view{Title: "Configuration", Place: "/configuration", Data: v})
}

// sections puts settings of one first word together, in their order.
func sections(all []api.Setting) (out []section) {
	place := map[string]int{}
	for _, s := range all {
		name, short, dotted := strings.Cut(s.Key, ".")
		if !dotted {
			name, short = "", s.Key
		}
		i, seen := place[name]
		if !seen {
			i = len(out)
			place[name] = i
			out = append(out, section{Name: name})
		}
		text := "not set"
		if s.Hidden {
			text = "hidden"
		} else if s.Value != nil {
			b, err := json.Marshal(s.Value)
			if text = string(b); err != nil {
				text = err.Error()
			}
		}
		out[i].Settings = append(out[i].Settings, setting{s, short, text})
		if !s.Default {
			out[i].Set++
		}
	}
	return out
}

// severityInk is the colour of how much a finding matters.
func severityInk(severity string) string {
	return map[string]string{"wrong": "bad", "warning": "wait"}[severity]
}
