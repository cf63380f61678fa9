package intake

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sourcegraph/conc"

	"github.com/postrider/postrider/internal/auth"
	"github.com/postrider/postrider/internal/dns"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/policy"
)

const maxNames = 5 // PTR records of a client that are looked at, and hosts of a domain

// lookup is the finding of one fact. What it returns writes it down.
type lookup func(ctx context.Context) func(*policy.Facts)

// gather finds what is needed, all side by side, and writes it down; the client's name
// before a filter is asked, which is told it. What does not come in its time is found to
// be a fault.
func (s *session) gather(ctx context.Context, need policy.Need) {
	if name := need & policy.NeedName; name != 0 && need.Filter() {
		s.gather(ctx, name)
		need &^= name
	}
	all := s.lookups(need)
	found := make([]func(*policy.Facts), len(all))
	var wait conc.WaitGroup
	for i, l := range all[:max(0, len(all)-1)] {
		wait.Go(func() { found[i] = l(ctx) })
	}
	if n := len(all); n > 0 {
		found[n-1] = all[n-1](ctx) // one of them here
	}
	wait.Wait()
	for _, write := range found {
		write(&s.facts)
	}
	s.count(need)
	if f := &s.facts; need&policy.NeedProven != 0 {
		f.Proven = s.in.memory.isProven(f.Client, f.At)
	}
	if need&policy.NeedGrey != 0 {
		s.facts.Grey = s.in.memory.came(s.greyKey(), s.rules.delay, s.facts.At)
	}
}

// lookups are those that a need wants and that take time.
func (s *session) lookups(need policy.Need) (all []lookup) {
	for _, l := range []struct {
		need policy.Need
		find lookup
	}{
		{policy.NeedName, s.findName}, {policy.NeedHeloName, s.findHelo}, {policy.NeedLists, s.askLists(false)},
		{policy.NeedFromLists, s.askLists(true)}, {policy.NeedFromDomain, s.findReach}, {policy.NeedSPF, s.findSPF},
	} {
		if need&l.need != 0 {
			all = append(all, s.inTime(l.find))
		}
	}
	if need&(policy.NeedDKIM|policy.NeedDMARC) != 0 {
		all = append(all, s.findAuthor)
	}
	for _, name := range s.rules.Door.Table.Filters(need) {
		all = append(all, s.askFilter(name))
	}
	return all
}

// inTime gives a look-up the time that one has. A filter has time of its own, as it
// may be long at work on a message.
func (s *session) inTime(find lookup) lookup {
	return func(ctx context.Context) func(*policy.Facts) {
		ctx, cancel := context.WithTimeout(ctx, s.rules.Door.Lookups)
		defer cancel()
		return find(ctx)
	}
}

// fault tells whether an error of the DNS is a fault, and not just that there is
// nothing.
func fault(err error) bool {
	k := dns.KindOf(err)
	return err != nil && k != dns.NoName && k != dns.NoData && k != dns.BadName
}

// findName finds what the DNS calls the client, and whether that leads back.
func (s *session) findName(ctx context.Context) func(*policy.Facts) {
	client := s.facts.Client
	n, err := clientName(ctx, s.rules.Door.Resolver, client)
	return func(f *policy.Facts) {
		if f.Name = policy.Known(n); err != nil {
			f.Name = policy.Failed[policy.Name](err.Error())
		}
	}
}

func clientName(ctx context.Context, r dns.Resolver, client netip.Addr) (n policy.Name, err error) {
	ptr, err := r.PTR(ctx, client)
	if err != nil {
		if fault(err) {
			return n, err
		}
		return n, nil
	}
	var unsure error
	for _, name := range ptr.Records[:min(len(ptr.Records), maxNames)] {
		name = strings.TrimSuffix(name, ".")
		if n.Name == "" {
			n.Name = name
		}
		ips, err := dns.IPsLike(ctx, r, name, client)
		if fault(err) {
			unsure = err
		}
		if slices.Contains(ips.Records, client) {
			return policy.Name{Name: name, Confirmed: true}, nil
		}
	}
	return n, unsure
}

// findHelo finds whether the name that the client calls itself is its own.
func (s *session) findHelo(ctx context.Context) func(*policy.Facts) {
	client, name := s.facts.Client, s.facts.Helo
	ips, err := dns.IPsLike(ctx, s.rules.Door.Resolver, strings.TrimSuffix(name, "."), client)
	return func(f *policy.Facts) {
		if f.HeloName = policy.Known(slices.Contains(ips.Records, client)); fault(err) {
			f.HeloName = policy.Failed[bool](err.Error())
		}
	}
}

// findReach finds whether mail to the sender's domain could be delivered.
func (s *session) findReach(ctx context.Context) func(*policy.Facts) {
	reach, err := reachOf(ctx, s.rules.Door.Resolver, s.facts.From.Domain)
	return func(f *policy.Facts) {
		if f.FromDomain = policy.Known(reach); err != nil {
			f.FromDomain = policy.Failed[policy.Reach](err.Error())
		}
	}
}

func reachOf(ctx context.Context, r dns.Resolver, domain string) (policy.Reach, error) {
	name, err := mail.CanonicalDomain(domain)
	if err != nil {
		return policy.NoDomain, nil
	}
	mx, err := r.MX(ctx, name)
	switch {
	case fault(err):
		return 0, err
	case err != nil && dns.KindOf(err) == dns.NoName:
		return policy.NoDomain, nil
	case err != nil: // the domain itself is its host (RFC 5321 5.1)
		mx.Records = []dns.MX{{Host: name}}
	case len(mx.Records) == 1 && strings.Trim(mx.Records[0].Host, ".") == "":
		return policy.NullMX, nil
	}
	var unsure error
	for _, h := range mx.Records[:min(len(mx.Records), maxNames)] {
		ips, err := r.IPs(ctx, strings.TrimSuffix(h.Host, "."))
		if err == nil && len(ips.Records) > 0 {
			return policy.Reachable, nil
		}
		if fault(err) {
			unsure = err
		}
	}
	return policy.NoMailHost, unsure
}

// askLists asks the lists of clients, or those of domains, side by side.
func (s *session) askLists(domains bool) lookup {
	return func(ctx context.Context) func(*policy.Facts) {
		about, what := reversed(s.facts.Client), ""
		if s.facts.Client.IsValid() {
			what = s.facts.Client.String()
		}
		if domains {
			about, _ = mail.CanonicalDomain(s.facts.From.Domain)
			what = about
		}
		var lists []List
		for _, l := range s.rules.Door.Lists {
			if l.Domains == domains && about != "" && about[0] != '[' {
				lists = append(lists, l)
			}
		}
		answers := make([][]policy.Listing, len(lists))
		var wait conc.WaitGroup
		for i, l := range lists {
			wait.Go(func() { answers[i] = l.ask(ctx, s.rules.Door.Resolver, about, what) })
		}
		wait.Wait()
		said := slices.Concat(answers...)
		return func(f *policy.Facts) {
			if domains {
				f.FromLists = policy.Known(said)
			} else {
				f.Lists = policy.Known(said)
			}
		}
	}
}

// ask asks one list.
func (l List) ask(ctx context.Context, r dns.Resolver, about, what string) (said []policy.Listing) {
	name := about + "." + l.Zone
	ips, err := dns.IPsLike(ctx, r, name, netip.IPv4Unspecified()) // whatever a list says, it says by A
	if fault(err) {
		for _, weight := range l.extremes() {
			said = append(said, policy.Listing{List: l.Name, Weight: weight, What: what, Fault: err.Error()})
		}
		return said
	}
	weight, named := 0, false
	for _, ip := range ips.Records {
		if w, ok := l.weigh(ip); ok {
			weight, named = weight+w, true
		}
	}
	if !named {
		return nil
	}
	found := policy.Listing{List: l.Name, Weight: weight, What: what}
	if txt, err := r.TXT(ctx, name); err == nil && len(txt.Records) > 0 {
		found.Text = mail.Clean(txt.Records[0], 200)
	}
	return []policy.Listing{found}
}

// weigh returns what an answer adds. An answer outside 127/8 is none: a list that was
// closed, or a resolver that lies (RFC 5782 2.1, 5).
func (l List) weigh(ip netip.Addr) (int, bool) {
	if !ip.Is4() || !ip.IsLoopback() {
		return 0, false
	}
	if len(l.Replies) == 0 {
		// 127.255.255.0/24 says that the question was not allowed.
		return l.Weight, !netip.MustParsePrefix("127.255.255.0/24").Contains(ip)
	}
	for _, a := range l.Replies {
		if a.In.Contains(ip) {
			return a.Weight, true
		}
	}
	return 0, false
}

// extremes are the most that a list might have added, and the most it might have
// taken away.
func (l List) extremes() (all []int) {
	if len(l.Replies) == 0 {
		return []int{l.Weight}
	}
	least, most := 0, 0
	for _, a := range l.Replies {
		least, most = min(least, a.Weight), max(most, a.Weight)
	}
	for _, w := range []int{least, most} {
		if w != 0 {
			all = append(all, w)
		}
	}
	return all
}

// reversed writes an address as lists want it (RFC 5782 2.1, 2.4).
func reversed(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	const hex = "0123456789abcdef"
	b := a.AsSlice()
	slices.Reverse(b)
	var parts []string
	for _, c := range b {
		if a.Is4() {
			parts = append(parts, netip.AddrFrom4([4]byte{3: c}).String()[len("0.0.0."):])
		} else {
			parts = append(parts, hex[c&15:c&15+1], hex[c>>4:c>>4+1])
		}
	}
	return strings.Join(parts, ".")
}

// checker asks for proofs, each in the time of a look-up of its own.
func (s *session) checker() auth.Checker {
	return auth.Checker{Resolver: s.rules.Door.Resolver, Time: s.rules.Door.Lookups}
}

// findSPF finds what the sender's domain says of the client.
func (s *session) findSPF(ctx context.Context) func(*policy.Facts) {
	spf := s.checker().SPF(ctx, s.facts.Client, s.facts.Helo, s.facts.From)
	return func(f *policy.Facts) {
		s.spf = spf
		f.SPF = policy.Known(policy.SPF{Word: string(spf.Result), Domain: spf.Domain, Explanation: spf.Explanation, Reason: spf.Reason})
	}
}

// count finds what rates ask for: what else was let in, and this message. Of several
// recipients it is the one with most.
func (s *session) count(need policy.Need) {
	f := &s.facts
	for _, r := range s.rules.Door.Table.Rates(need) {
		if slices.ContainsFunc(f.Rates, func(c policy.Count) bool { return c.Rate == r }) {
			continue
		}
		most := policy.Count{Rate: r}
		for _, key := range s.counted(r.By, f.To) {
			what := rated{r, key}
			c := s.in.memory.count(what, time.Now())
			if s.rated[what] {
				c.N--
			}
			if c.Fault != "" || c.N > most.N {
				most = c
			}
		}
		if s.counts {
			most.N++
		}
		f.Rates = append(f.Rates, most)
	}
}

// rate has a message to a recipient who is let in counted by the rates.
func (s *session) rate(to mail.Address) {
	if s.rules.Door.Table == nil {
		return
	}
	if s.rated == nil {
		s.rated = map[rated]bool{}
	}
	for _, r := range s.rules.Door.Table.Rates(^policy.Need(0)) {
		for _, key := range s.counted(r.By, []mail.Address{to}) {
			if what := (rated{r, key}); !s.rated[what] {
				s.rated[what] = true
				s.in.memory.comes(what)
			}
		}
	}
}

// unrate ends that, unless the message is stored: who keeps what is deferred and comes
// again is served at the pace of the rate.
func (s *session) unrate(stored bool) {
	for what := range s.rated {
		s.in.memory.gone(what, stored, s.facts.Client, time.Now())
	}
	clear(s.rated)
}

// counted is what a rate counts a message by: one thing, or each of its recipients.
func (s *session) counted(by policy.By, to []mail.Address) []string {
	f := &s.facts
	switch by {
	case policy.BySender:
		return []string{f.From.Key().String()}
	case policy.ByRecipient:
		keys := make([]string, len(to))
		for i, a := range to {
			keys[i] = a.Key().String()
		}
		slices.Sort(keys)
		return slices.Compact(keys)
	case policy.ByUser:
		return []string{f.User}
	case policy.ByNetwork:
		return []string{network(f.Client)}
	}
	return []string{f.Client.String()}
}

// network is what a client is known by together with its neighbours: its /24 or /64.
func network(client netip.Addr) string {
	bits := 64
	if client.Is4() {
		bits = 24
	}
	p, err := client.WithZone("").Prefix(bits)
	if err != nil {
		return ""
	}
	return p.String()
}

// greyKey is by whom greylisting knows who comes again: large senders try from
// another host of the same network (RFC 6647 5).
func (s *session) greyKey() string {
	f := &s.facts
	to := ""
	if len(f.To) > 0 {
		to = f.To[0].Key().String()
	}
	return network(f.Client) + " " + f.From.Key().String() + " " + to
}
