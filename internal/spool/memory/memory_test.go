package memory

import (
	"testing"

	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/spooltest"
)

func TestStore(t *testing.T) {
	spooltest.Run(t, func(testing.TB) spooltest.Open {
		return func(testing.TB) spool.Store { return New(1024) }
	}, true)
}
