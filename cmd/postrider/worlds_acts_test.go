package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/postrider/postrider/internal/api"
)

// run lives a world to its end and returns the laws that were broken in it.
func (w *universe) run() *sums {
	if err := w.start(); err != nil {
		w.breaks("it starts", "%v", err)
		close(w.over)
		w.work.Wait()
		return &sums{twice: map[string]int{}}
	}
	for _, a := range w.plan.acts {
		w.sleepUntil(a.at)
		if !w.do(a) {
			break
		}
	}
	// Nothing holds the mail any more; the rest is the program's.
	w.sleepUntil(horizon)
	w.release()
	time.Sleep(w.longest())
	sum := w.judge()
	if err := w.end(); err != nil {
		w.breaks("it stops", "%v", err)
	}
	close(w.over)
	w.work.Wait()
	w.sound()
	if len(w.faults) > 0 {
		w.story(&w.told, w.last)
	}
	return sum
}

// longest is the longest life of mail, that of the letter about it, and a day.
func (w *universe) longest() time.Duration {
	const retries, night = 6 * time.Hour, 3 * time.Hour
	s := w.process.n.settings.conf.Load().Schedules
	return retries + night + max(s["default"].Expire, 24*time.Hour) + s["notice"].Expire + 24*time.Hour
}

// do does one thing to the program; false: it could not be started again.
func (w *universe) do(a act) bool {
	switch a.what {
	case restart:
		from := time.Now()
		if err := w.end(); err != nil {
			w.breaks("it stops", "%v", err)
		}
		return w.again(from, a)
	case powerCut:
		return w.cut(a)
	case badDisk:
		return w.spoil(a)
	case fullDisk:
		from := time.Now()
		w.disk.fill(true, a.usage)
		time.Sleep(a.length)
		w.disk.fill(false, false)
		w.mu.Lock()
		w.full = append(w.full, night{from, time.Now(), fullDisk})
		w.mu.Unlock()
	case order:
		w.order(a)
	case pause:
		w.steer(a)
	case look:
		w.look()
	}
	return true
}

// again starts the program after a night.
func (w *universe) again(from time.Time, a act) bool {
	time.Sleep(a.length)
	err := w.start()
	w.mu.Lock()
	w.nights = append(w.nights, night{from, time.Now(), a.what})
	w.mu.Unlock()
	if err != nil {
		w.breaks("it starts", "%v", err)
	}
	return err == nil
}

// cut cuts the power at a write: the network falls silent, then the disk is as it is.
func (w *universe) cut(a act) bool {
	type after struct {
		at   time.Time
		disk *disk
	}
	l, d, done := w.process, w.disk, make(chan after, 1)
	now := func() {
		l.die()
		done <- after{time.Now(), d.afterCut(a.share, w.plan.seed)}
	}
	d.arm(a.writes, now)
	var then after
	select {
	case then = <-done:
	case <-time.After(10 * time.Minute):
		if d.disarm() {
			now()
		}
		then = <-done
	}
	w.end() // whatever it says, nobody hears it
	w.disk = then.disk
	return w.again(then.at, a)
}

// spoil lets a write or a flush of mail fail, and starts the program again.
func (w *universe) spoil(a act) bool {
	w.disk.fail(a.writes, a.flush)
	for range 60 {
		if time.Sleep(20 * time.Second); w.disk.hasFailed() {
			break
		}
	}
	if !w.disk.hasFailed() {
		w.disk.fail(0, false)
		return true
	}
	from := w.disk.failedAt
	time.Sleep(min(a.length, 10*time.Minute))
	w.end() // it may have ended by itself
	if a.lost {
		w.disk = w.disk.afterCut(a.share, w.plan.seed)
	} else {
		w.disk = newDisk(w.disk.mem)
		w.disk.liar = w.plant.liar
	}
	return w.again(from, a)
}

// call asks the program's API, as its commands do.
func (w *universe) call(method, path string, in, out any) error {
	c := http.Client{Timeout: time.Hour, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return w.net.DialContext(ctx, "unix", w.process.n.conf.Socket())
	}}}
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequest(method, "http://postrider/api/v1/"+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	if method == "POST" {
		r.Header.Set("Content-Type", "application/json")
	}
	a, err := c.Do(r)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	if a.StatusCode != 200 {
		return fmt.Errorf("%s %s: %s", method, path, a.Status)
	}
	return json.NewDecoder(a.Body).Decode(out)
}

// order gives an operator's order about the mail of a domain.
func (w *universe) order(a act) {
	o := api.Order{Order: a.order, Filter: api.Filter{Domain: domainName(a.domain)}}
	if a.rcpt != "" {
		o.Filter.To = a.rcpt + "@" + domainName(a.domain)
	}
	switch a.order {
	case "life":
		o.More = a.life
	case "reroute":
		o.Via = "smtp:" + hostAt(0)
	}
	w.give(o)
}

func (w *universe) give(o api.Order) {
	w.mu.Lock()
	o.By = fmt.Sprintf("operator %d", len(w.orders))
	w.orders = append(w.orders, command{time.Now(), o.Order, o.By})
	w.mu.Unlock()
	var done []api.Done
	if err := w.call("POST", "orders", o, &done); err != nil {
		w.breaks("orders are carried out", "%s: %v", o.Order, err)
	}
}

// steer pauses a destination, or resumes it.
func (w *universe) steer(a act) {
	name := domainName(a.domain)
	var page api.SitePage
	if err := w.call("GET", "destinations?idle=true", nil, &page); err != nil {
		w.breaks("destinations are shown", "%v", err)
		return
	}
	if sites := page.Destinations; a.share%2 == 1 && len(sites) > 0 {
		name = sites[a.share%len(sites)].Name
	}
	w.mu.Lock()
	i := slices.IndexFunc(w.paused, func(s stretch) bool { return s.name == name && s.to.IsZero() })
	w.mu.Unlock()
	if i >= 0 {
		w.resume(i)
		return
	}
	from := time.Now()
	if err := w.call("POST", "destinations/pause", api.Steer{Destination: name, By: "root", Why: "their server moves"}, new([]api.Site)); err != nil {
		if name == domainName(a.domain) {
			w.breaks("orders are carried out", "pause %s: %v", name, err)
		}
		return // a destination without a way cannot be paused by its site
	}
	w.mu.Lock()
	w.paused = append(w.paused, stretch{name: name, from: from})
	w.mu.Unlock()
}

func (w *universe) resume(i int) {
	name := w.paused[i].name
	if err := w.call("POST", "destinations/resume", api.Steer{Destination: name, By: "root"}, new([]api.Site)); err != nil {
		w.breaks("orders are carried out", "resume %s: %v", name, err)
	}
	w.mu.Lock()
	w.paused[i].to = time.Now()
	w.mu.Unlock()
}

// release ends every hold and every pause.
func (w *universe) release() {
	for i, s := range w.paused {
		if s.to.IsZero() {
			w.resume(i)
		}
	}
	w.give(api.Order{Order: "release", Filter: api.Filter{State: "held"}})
}

// look writes down what is shown of the mail that waits.
func (w *universe) look() {
	var page struct{ Deliveries []api.Delivery }
	now := time.Now()
	if err := w.call("GET", "queue", nil, &page); err != nil {
		w.breaks("the queue is shown", "%v", err)
		return
	}
	for _, d := range page.Deliveries {
		w.looks = append(w.looks, seen{now, d})
	}
}
