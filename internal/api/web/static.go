package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"html/template"

	"github.com/postrider/postrider/chain"
	"github.com/postrider/postrider/explain"
)

// static is a file that browsers may keep: its name changes with its content.
type static struct {
	path    string
	content []byte
}

// statics are the scripts, the styles and the mark, by the name of their file.
var statics = sync.OnceValue(func() map[string]static {
	out := map[string]static{}
	files, _ := fs.ReadDir(staticFiles, "static") // embedded
	for _, f := range files {
		b, _ := staticFiles.ReadFile("static/" + f.Name())
		if f.Name() == "desk.css" {
			b = append(bytes.Clone(b), pictureStyles()...)
		}
		sum := sha256.Sum256(b)
		name, ext, _ := strings.Cut(f.Name(), ".")
		out[f.Name()] = static{fmt.Sprintf("/static/%s-%s.%s", name, hex.EncodeToString(sum[:4]), ext), b}
	}
	return out
})

func staticRoutes(mux *http.ServeMux) {
	for name, f := range statics() {
		mux.HandleFunc("GET "+f.path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
			http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(f.content))
		})
	}
}

// templates are the pages, each with the frame around it.
var templates = sync.OnceValue(func() map[string]*template.Template {
	out := map[string]*template.Template{}
	frame := template.Must(template.New("frame").Funcs(words).ParseFS(pageFiles, "pages/frame.html", "pages/parts.html"))
	files, _ := fs.Glob(pageFiles, "pages/*.html") // the pattern is sound
	for _, f := range files {
		out[path.Base(f)] = template.Must(template.Must(frame.Clone()).ParseFS(pageFiles, f))
	}
	return out
})

// The pictures of chain and explain carry a style of their own, which a page may not
// take from within itself: it goes into the style sheet.

// inline is a picture of another package to be put into a page: without its style,
// in a frame that the style sheet knows.
func inline(svg string) template.HTML {
	_, picture := styleOf(svg)
	return template.HTML(picture)
}

// styleOf takes a picture and its style apart.
func styleOf(svg string) (style, picture string) {
	before, rest, ok := strings.Cut(svg, "<style>")
	style, after, closed := strings.Cut(rest, "</style>")
	if !ok || !closed {
		return "", svg
	}
	return style, before + after
}

// pictureStyles are the styles of the pictures of chain and explain. Those of chain
// have plain names: each holds within its own frame alone.
func pictureStyles() string {
	var drawn, down strings.Builder
	story, _ := chain.Run(chain.Scenario{Hops: []chain.Hop{{Name: "a", System: "postfix"}, {Name: "b"}}})
	_ = errors.Join(story.Draw(&drawn), chain.DrawReceivers(&down, 0, nil)) // into memory
	chained, _ := styleOf(drawn.String())
	receivers, _ := styleOf(down.String())
	way, _ := styleOf(explain.SVG(explain.Report{}))
	return "\n.story {" + chained + "}\n.receivers {" + receivers + "}\n" + way
}
