package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/postrider/postrider/custody"
)

// story tells a world, and what became of the messages of which a broken law speaks.
func (w *universe) story(out io.Writer, j *judge) {
	fmt.Fprintf(out, "%d connections\n%s", w.plan.connections, w.plan.schedule)
	for i, h := range w.plan.hosts {
		fmt.Fprintf(out, "%s %+v\n", hostName(i), h.offers)
		for _, p := range h.phases {
			fmt.Fprintf(out, "  from %v %+v\n", p.from, p.manner)
		}
	}
	for i, d := range w.plan.domains {
		fmt.Fprintf(out, "%s %+v\n", domainName(i), d)
	}
	for _, a := range w.plan.acts {
		fmt.Fprintf(out, "act %+v\n", a)
	}
	for _, n := range append(append([]night(nil), w.nights...), w.full...) {
		fmt.Fprintf(out, "night %v to %v, %d\n", j.age(n.from), j.age(n.to), n.what)
	}
	for _, p := range w.paused {
		fmt.Fprintf(out, "pause of %s %v to %v\n", p.name, j.age(p.from), j.age(p.to))
	}
	all := strings.Join(w.faults, "\n")
	for id, k := range j.kept {
		if !strings.Contains(all, id) {
			continue
		}
		fmt.Fprintf(out, "%s accepted %v %+v\n", id, j.age(k.Accepted), k.Came)
		for _, row := range k.rows {
			d := row.Delivery
			fmt.Fprintf(out, "  %s to %s left %v, warned %v, by %v, tries %d, deadline %v\n", d.ID, d.Domain, j.age(row.Left), d.Warned, j.age(d.By), d.Tries, j.age(d.Deadline))
			for _, r := range d.Own() {
				fmt.Fprintf(out, "    %s %s notify %q: %s\n", r.Address, r.State, r.Notify, r.Last.Reply.Line())
			}
			for _, e := range k.history.Timeline(d.ID) {
				fmt.Fprintf(out, "    %v next %v %T", j.age(e.At), j.age(e.Next), e.Event)
				switch v := e.Event.(type) {
				case custody.Tried:
					fmt.Fprintf(out, " began %v, shared %v:", j.age(v.Attempt.Began), v.Attempt.Shared)
					for _, o := range v.Attempt.Outcomes {
						fmt.Fprintf(out, " [%v %s %s %s %q]", o.Rcpts, o.Host, o.Stage, o.Trouble, o.Reply.Line())
					}
				case custody.Ordered:
					fmt.Fprintf(out, " %s by %s", v.Order, v.By)
				case custody.Due:
					fmt.Fprintf(out, " %q", v.Blocked)
				}
				for _, d := range e.Duties {
					fmt.Fprintf(out, " %T%+v", d, d)
				}
				fmt.Fprintf(out, " %v\n", e.Letters)
			}
		}
	}
}
