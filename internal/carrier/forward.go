package carrier

import (
	"net/netip"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/route"
	"github.com/postrider/postrider/internal/smtpc"
)

// forwards reports whether the hosts of a way are told where a message came from:
// those that an order names, as content filters are. Who takes mail by the routes, and
// the MX hosts of a domain in any case, has no business with our clients.
func (f found) forwards() bool { return f.via != "" && f.hop.Kind != route.MX }

// forward is what a content filter is told of a message. We do not keep the client's
// name and port.
func forward(m custody.Message) *smtpc.Forward {
	addr, _ := netip.ParseAddr(m.Came.Client) // else it is not known
	return &smtpc.Forward{
		Addr: addr, Proto: m.Came.Protocol, Helo: m.Came.Helo, Ident: m.ID.String(), Local: m.Came.Client == "",
	}
}
