package deadman

import (
	"testing"
	"testing/synctest"
	"time"
)

// That packages are held on is told with what others have to say in the same moment; anything else is told at once, and
// takes that with it.
func TestWordsAreGathered(t *testing.T) {
	links(t, "p q", func(p *pit) {
		p.start()
		p.link.Say(held("p", 10, 30))
		synctest.Wait()
		p.link.Say(held("q", 10, 30))
		p.want("0: 1 hears p held", "0: 1 hears q held")
		time.Sleep(time.Second)
		p.link.Say(held("p", 11, 31))
		synctest.Wait()
		p.link.Say(held("q", 11, 31))
		synctest.Wait()
		p.want()
		time.Sleep(gather)
		p.want("1.02: 1 hears p held, q held")
		p.link.Say(held("p", 12, 32))
		synctest.Wait()
		p.link.Say(stopping("q", 31))
		p.want("1.02: 1 hears p held, q stopping")
		time.Sleep(gather)
		p.want()
	})
}

// Who waits until something was heard does not wait for others.
func TestSureIsNotGathered(t *testing.T) {
	links(t, "p q", func(p *pit) {
		p.start()
		p.sure(held("p", 10, 30))
		p.want("0: 1 hears p held", "0: sure: <nil>")
		p.sure(held("p", 11, 31))
		p.want("0: 1 hears p held", "0: sure: <nil>")
	})
}
