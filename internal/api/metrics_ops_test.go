package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"gopkg.in/yaml.v3"

	"github.com/postrider/postrider/test/peers"
)

var names = regexp.MustCompile(`\bpostrider_[a-z0-9_]+`)

// registered are the names of all metrics of ours.
func registered(t *testing.T) []string {
	t.Helper()
	ch := make(chan *prometheus.Desc, 200)
	newWorld(t, "x").metrics(&told{}).o.Watch.Registry.Describe(ch)
	close(ch)
	var all []string
	for d := range ch {
		if name := names.FindString(d.String()); name != "" {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../..", file))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Each metric has a row in docs/metrics.md with its labels' names, and each row a metric.
func TestEveryMetricIsDocumented(t *testing.T) {
	var rows []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(postrider_[a-z_]+)` \\| (counter|gauge|histogram) \\|").FindAllStringSubmatch(string(read(t, "docs/metrics.md")), -1) {
		rows = append(rows, m[1])
	}
	slices.Sort(rows)
	if diff := cmp.Diff(registered(t), rows); diff != "" {
		t.Errorf("(-registered +documented)\n%s", diff)
	}
}

// What the alert rules and the dashboard ask for is there.
func TestAlertsAndDashboardAskForMetricsThatExist(t *testing.T) {
	known := registered(t)
	for _, file := range []string{"ops/alerts.yaml", "ops/alerts_test.yaml", "ops/grafana.json", "docs/metrics.md"} {
		used := names.FindAllString(string(read(t, file)), -1)
		if len(used) == 0 {
			t.Errorf("%s uses none", file)
		}
		for _, name := range used {
			short := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
			if !slices.Contains(known, name) && !slices.Contains(known, short) {
				t.Errorf("%s uses %s, which is not told", file, name)
			}
		}
	}
}

// dashboard is what is looked at of ops/grafana.json.
type dashboard struct {
	Panels []struct {
		ID      int
		Title   string
		Type    string
		GridPos struct{ H, W, X, Y int }
		Targets []struct{ Expr string }
	}
}

func TestTheDashboardIsWhole(t *testing.T) {
	var d dashboard
	if err := json.Unmarshal(read(t, "ops/grafana.json"), &d); err != nil {
		t.Fatal(err)
	}
	type cell struct{ x, y int }
	taken, ids := map[cell]string{}, map[int]bool{}
	for _, p := range d.Panels {
		if p.Title == "" || ids[p.ID] || p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %d %q has no title, no number of its own or no question", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				c := cell{p.GridPos.X + x, p.GridPos.Y + y}
				if other := taken[c]; other != "" || c.x >= 24 {
					t.Fatalf("%q lies on %q or beyond the edge", p.Title, other)
				}
				taken[c] = p.Title
			}
		}
	}
}

// promtool runs Prometheus's own checker.
func promtool(t *testing.T, in []byte, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(peers.Tree(t, "prometheus"), "usr/bin/promtool"), args...)
	cmd.Dir, cmd.Stdin = "../../ops", bytes.NewReader(in)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestPrometheusUnderstandsTheAlerts(t *testing.T) {
	t.Parallel()
	promtool(t, nil, "check", "rules", "--lint=all", "--lint-fatal", "alerts.yaml")
	promtool(t, nil, "test", "rules", "alerts_test.yaml")
}

// The dashboard's questions are written as rules, which promtool can check.
func TestPrometheusUnderstandsTheDashboard(t *testing.T) {
	t.Parallel()
	var d dashboard
	if err := json.Unmarshal(read(t, "ops/grafana.json"), &d); err != nil {
		t.Fatal(err)
	}
	type rule struct{ Record, Expr string }
	var rules []rule
	for _, p := range d.Panels {
		for i, q := range p.Targets {
			expr := strings.NewReplacer("$__rate_interval", "1m", "$instance", "x").Replace(q.Expr)
			rules = append(rules, rule{fmt.Sprintf("panel_%d_%d", p.ID, i), expr})
		}
	}
	b, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "x", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, nil, "check", "rules", file)
}

func TestPrometheusUnderstandsAScrape(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "x", "a@one.test")
	m := w.metrics(&told{})
	v, err := m.o.Outlooks.look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m.o.Outlooks.all.show(v, 0)
	r := httptest.NewRecorder()
	New(Options{Metrics: m, Store: w.store}, false).ServeHTTP(r, httptest.NewRequest("GET", "/metrics", nil))
	promtool(t, r.Body.Bytes(), "check", "metrics")
}
