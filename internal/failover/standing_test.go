package failover

import "testing"

// What is mounted is taken for another's only where each mount point's device is said, in all that is on the list.
func TestSourcesOfStanding(t *testing.T) {
	t.Parallel()
	all := Params{ForceUmount: true, Mounts: []string{"/a", "/b"}, Sources: []string{"/dev/a", "/dev/b"}}.Standing()
	some := Params{ForceUmount: true, Mounts: []string{"/a", "/b"}, Sources: []string{"/dev/a"}}.Standing()
	none := Params{VIPs: []string{"10.0.0.1"}, Mounts: []string{"/c"}}.Standing()
	for _, row := range []struct {
		s, o Standing
		want int
	}{{all, none, 2}, {none, all, 2}, {all, all, 2}, {some, none, 0}, {all, some, 0}, {some, all, 0}} {
		if got := row.s.And(row.o); len(got.Sources) != row.want || len(got.Mounts) != 2 {
			t.Errorf("%+v and %+v: %+v", row.s, row.o, got)
		}
	}
}
