package netif

import (
	"encoding/hex"
	"net"
	"strings"
	"testing"
)

var (
	macA = net.HardwareAddr{2, 0, 0, 0, 0, 0xa}
	macB = net.HardwareAddr{2, 0, 0, 0, 0, 0xb}
)

func TestARPAnswer(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		about, data   string
		probe, asking bool // whether it is an answer to a probe, and to a question from 10.9.0.1
	}{
		{"reply", "0001 0800 06 04 0002 02000000000b 0a090002 02000000000a 0a090001", true, true},
		{"reply to a probe", "0001 0800 06 04 0002 02000000000b 0a090002 02000000000a 00000000", true, false},
		{"announcement", "0001 0800 06 04 0001 02000000000b 0a090002 000000000000 0a090002", true, false},
		{"its own question", "0001 0800 06 04 0001 02000000000b 0a090002 000000000000 0a090001", true, false},
		{"our own packet", "0001 0800 06 04 0002 02000000000a 0a090002 02000000000a 0a090001", false, false},
		{"another address", "0001 0800 06 04 0002 02000000000b 0a090003 02000000000a 0a090001", false, false},
		{"another's probe", "0001 0800 06 04 0001 02000000000b 00000000 000000000000 0a090002", false, false},
		{"another operation", "0001 0800 06 04 0003 02000000000b 0a090002 02000000000a 0a090001", false, false},
		{"another protocol", "0001 86dd 06 04 0002 02000000000b 0a090002 02000000000a 0a090001", false, false},
		{"cut short", "0001 0800 06 04 0002 02000000000b 0a090002 02000000000a 0a0900", false, false},
	} {
		a := &arp{ip: net.ParseIP("10.9.0.2").To4(), mac: macA}
		for src, want := range map[string]bool{"0.0.0.0": row.probe, "10.9.0.1": row.asking} {
			a.question(net.ParseIP(src), nil)
			check(t, a, row.about+", asked from "+src, row.data, want)
		}
	}
}

func TestNDPAnswer(t *testing.T) {
	t.Parallel()
	const (
		to1    = "60000000 0020 3a ff fd000000000000000000000000000002 fd000000000000000000000000000001"
		toAll  = "60000000 0020 3a ff fd000000000000000000000000000002 ff020000000000000000000000000001"
		target = "fd000000000000000000000000000002"
		macOpt = "02 01 02000000000b"
	)
	for _, row := range []struct {
		about, data   string
		probe, asking bool
	}{
		{"to us", to1 + "88 00 0000 60000000" + target + macOpt, true, true},
		{"to all", toAll + "88 00 0000 20000000" + target + macOpt, true, false},
		{"without an option", strings.Replace(to1, "0020", "0018", 1) + "88 00 0000 60000000" + target, true, true},
		{"another option first", strings.Replace(to1, "0020", "0028", 1) + "88 00 0000 60000000" + target + "0e 01 000000000000" + macOpt, true, true},
		{"an option of no length", to1 + "88 00 0000 60000000" + target + "0e 00 000000000000", true, true},
		{"an option too long", to1 + "88 00 0000 60000000" + target + "02 02 02000000000c", true, true},
		{"our own", to1 + "88 00 0000 60000000" + target + "02 01 02000000000a", false, false},
		{"passed on by a router", strings.Replace(to1, "3a ff", "3a fe", 1) + "88 00 0000 60000000" + target + macOpt, false, false},
		{"another address", to1 + "88 00 0000 60000000" + "fd000000000000000000000000000003" + macOpt, false, false},
		{"a solicitation", to1 + "87 00 0000 60000000" + target + macOpt, false, false},
		{"another protocol", strings.Replace(to1, "3a ff", "11 ff", 1) + "88 00 0000 60000000" + target + macOpt, false, false},
		{"cut short", to1 + "88 00 0000 60000000" + target[:30], false, false},
		{"a length too small", strings.Replace(to1, "0020", "0008", 1) + "88 00 0000 60000000" + target + macOpt, false, false},
	} {
		n := &ndp{ip: net.ParseIP("fd00::2"), mac: macA}
		for src, want := range map[string]bool{"::": row.probe, "fd00::1": row.asking} {
			n.question(net.ParseIP(src), nil)
			check(t, n, row.about+", asked from "+src, row.data, want)
		}
	}
}

// check wants data, which macB sent, to be an answer or not.
func check(t *testing.T, proto protocol, about, data string, want bool) {
	t.Helper()
	bytes, err := hex.DecodeString(strings.ReplaceAll(data, " ", ""))
	if err != nil {
		t.Fatal(about, err)
	}
	a, got := proto.answer(packet{macB, bytes})
	if got != want || got && a.MAC.String() != macB.String() {
		t.Errorf("%s: answer = %v, %v, want %v", about, a, got, want)
	}
}
