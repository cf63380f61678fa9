package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/postrider/postrider/internal/queue"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/watch"
)

// Metrics is all that a node tells in numbers: what its entries told so far, and how
// its store, queue, door and connections are now. One serves every listener. Make it
// with NewMetrics.
type Metrics struct {
	o     MetricsOptions
	sites *lookout[destinations]

	requests *prometheus.CounterVec
	answered *prometheus.HistogramVec
}

// MetricsOptions of a Metrics. Watch, Store, Queue and Outlooks are wanted.
type MetricsOptions struct {
	Watch *watch.Metrics
	Store spool.Store
	Queue MetricsQueue
	// Outlooks look through what waits; whoever makes them runs them.
	Outlooks *Outlooks
	Door     Door // nil: nothing is told of overrides
	// Connections counts those to other hosts: being opened, in use, and kept for
	// the next message; nil: nobody counts.
	Connections func() (opening, busy, idle int)
}

// MetricsQueue is what metrics ask of the queue.
type MetricsQueue interface {
	Sites(ctx context.Context, what queue.SitesQuery) (queue.Sites, error)
}

// NewMetrics makes a Metrics. Run keeps it up to date.
func NewMetrics(o MetricsOptions) *Metrics {
	m := &Metrics{
		o: o,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postrider_http_requests_total", Help: "Requests to the API and the pages, by what was asked for.",
		}, []string{"route", "code"}),
		answered: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "postrider_http_request_seconds", Help: "How long requests took; a live feed lasts as long as somebody listens.",
			Buckets: []float64{.005, .025, .1, .2, 1, 5},
		}, []string{"route"}),
	}
	m.sites = newLookout(sitesShare, m.lookAtSites)
	o.Watch.Registry.MustRegister(m.requests, m.answered, &state{m})
	return m
}

// Run looks at the destinations when somebody asks, until ctx ends.
func (m *Metrics) Run(ctx context.Context) error {
	m.sites.run(ctx)
	return nil
}

// metricsRoutes serves the metrics to Prometheus, and to people what they need now.
func (s *server) metricsRoutes(a huma.API, mux *http.ServeMux) {
	if s.o.Metrics == nil {
		return
	}
	told := promhttp.HandlerFor(s.o.Metrics.o.Watch.Registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
	plain(a, mux, huma.Operation{OperationID: "metrics", Method: "GET", Path: "/metrics", Summary: "All numbers, for Prometheus", Responses: words("200", "As docs/metrics.md describes them", "text/plain")}, told.ServeHTTP)
	huma.Register(a, huma.Operation{OperationID: "now", Method: "GET", Path: "/api/v1/now", Summary: "What comes, leaves and waits now, in numbers"}, s.now)
}

// counted counts the requests that a mux serves.
func (s *server) counted(mux *http.ServeMux) http.Handler {
	m := s.o.Metrics
	if m == nil {
		return mux
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		c := &coded{ResponseWriter: w}
		mux.ServeHTTP(c, r)
		route := r.Pattern // of ours: there are only so many
		if route == "" {
			route = watch.TheOthers
		}
		m.requests.WithLabelValues(route, strconv.Itoa(max(c.code, http.StatusOK))).Inc()
		m.answered.WithLabelValues(route).Observe(time.Since(began).Seconds())
	})
}

// coded remembers with which code it was answered.
type coded struct {
	http.ResponseWriter
	code int
}

func (c *coded) WriteHeader(code int) {
	if c.code == 0 {
		c.code = code
	}
	c.ResponseWriter.WriteHeader(code)
}

// Flush sends what was written so far, as live feeds need it.
func (c *coded) Flush() {
	if f, ok := c.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}

// Unwrap serves http.ResponseController.
func (c *coded) Unwrap() http.ResponseWriter { return c.ResponseWriter }
