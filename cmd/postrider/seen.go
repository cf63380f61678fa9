package main

import (
	"strings"

	"github.com/postrider/postrider/cause"
	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/watch"
	"github.com/postrider/postrider/policy"
)

// accepted tells all who watch of a message that came in.
func (n *node) accepted(m custody.Message, ds []custody.Delivery) {
	n.events.Accepted(m, ds)
	n.counts.Accepted(m, ds)
	n.desk.feed.Accepted(m, ds)
	n.desk.hooks.Accepted(m, ds)
}

// stepped tells them of a step of a delivery.
func (n *node) stepped(it spool.Item, e custody.Entry) {
	n.events.Stepped(it.Message, it.Delivery, e)
	n.counts.Stepped(it.Message, it.Delivery, e)
	n.desk.feed.Stepped(it.Message, it.Delivery, e)
	n.desk.hooks.Stepped(it.Message, it.Delivery, e)
}

// refused tells them who was not let in.
func (n *node) refused(r policy.Record) {
	w := turnedAway(r)
	n.events.Refused(w)
	n.counts.Refused(w)
}

// noted tells them what rules have to say of who was let in.
func (n *node) noted(r policy.Record) {
	w := turnedAway(r)
	n.events.Noted(w)
	n.counts.Noted(w)
}

// newCounts makes what counts all that is told here.
func newCounts() *watch.Metrics {
	var causes []string
	for k := cause.Unknown; !strings.HasPrefix(k.String(), "?"); k++ {
		causes = append(causes, k.String())
	}
	return watch.NewMetrics(watch.MetricsOptions{Version: version, Cause: causeOf, Causes: causes})
}

// causeOf is what an outcome means, in the words of explain.
func causeOf(o custody.Outcome) string {
	return cause.Of(cause.Sign{Stage: o.Stage, Reply: o.Reply, Theirs: o.Theirs, Trouble: o.Trouble.String()}).Kind.String()
}
