package link

import (
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// mtu of the link: what many tunnels have.
const mtu = 1400

// addresses of the two ends.
var near, far = netip.MustParseAddr("10.77.0.1"), netip.MustParseAddr("10.77.0.2")

// openTun makes a TUN device in the namespace of this process, gives it an address in 10.77.0.0/24 and brings it and the loopback up.
func openTun(addr netip.Addr) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	f := os.NewFile(uintptr(fd), "tun")
	const name = "im0"
	req, err := unix.NewIfreq(name)
	if err != nil {
		return nil, err
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return nil, fmt.Errorf("make a TUN device: %w", err)
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(s)
	set := func(dev string, request uint, fill func(*unix.Ifreq) error) error {
		r, err := unix.NewIfreq(dev)
		if err != nil {
			return err
		}
		if err := fill(r); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(s, request, r); err != nil {
			return fmt.Errorf("set up %s: %w", dev, err)
		}
		return nil
	}
	inet := func(a netip.Addr) func(*unix.Ifreq) error {
		return func(r *unix.Ifreq) error { b := a.As4(); return r.SetInet4Addr(b[:]) }
	}
	up := func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING); return nil }
	for _, step := range []struct {
		dev     string
		request uint
		fill    func(*unix.Ifreq) error
	}{
		{"lo", unix.SIOCSIFFLAGS, up},
		{name, unix.SIOCSIFADDR, inet(addr)},
		{name, unix.SIOCSIFNETMASK, inet(netip.MustParseAddr("255.255.255.0"))},
		{name, unix.SIOCSIFMTU, func(r *unix.Ifreq) error { r.SetUint32(mtu); return nil }},
		{name, unix.SIOCSIFFLAGS, up},
	} {
		if err := set(step.dev, step.request, step.fill); err != nil {
			return nil, err
		}
	}
	// Reads through the runtime's poller, so that Close ends them.
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, err
	}
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	_ = f.Close()
	return os.NewFile(uintptr(dup), "tun"), nil
}
