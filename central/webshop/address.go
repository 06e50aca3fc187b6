package webshop

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"dcpos/pos"
)

// maxURL bounds the address of a webhook.
const maxURL = 400

// The patience with a shop's server.
const (
	hookTimeout = 10 * time.Second
	dialTimeout = 5 * time.Second
)

// CheckURL refuses an address that no webhook goes to: another scheme than https (http
// only in the lab), credentials, a fragment, a privileged port that is not the scheme's
// own, or a literal address that is not public. A name is judged when it is called.
func CheckURL(text string, env pos.Environment) error {
	u, err := url.Parse(text)
	if err != nil || len(text) > maxURL {
		return fmt.Errorf("want an address of at most %d bytes", maxURL)
	}
	switch {
	case u.Scheme != "https" && (u.Scheme != "http" || env != pos.Lab):
		return errors.New("want https://…")
	case u.Host == "" || u.Hostname() == "":
		return errors.New("want a host")
	case u.User != nil:
		return errors.New("want no user name or password in it")
	case u.Fragment != "":
		return errors.New("want no fragment")
	}
	if p := u.Port(); p != "" {
		n, err := strconv.Atoi(p)
		if err != nil || n > 65535 || (n < 1024 && n != 443) {
			return errors.New("want port 443 or one above 1023")
		}
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
		return reachable(ip, env)
	}
	return nil
}

// reserved are networks that belong to nobody's public server (IANA special-purpose
// registries, RFC 6890 and later), beside those that netip knows by name.
func reserved() []netip.Prefix {
	var all []netip.Prefix
	for _, s := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
		"240.0.0.0/4", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "fec0::/10",
	} {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

// reachable refuses an address that is not a public server's. In the lab it is the other
// way round: nothing but this machine is called.
func reachable(ip netip.Addr, env pos.Environment) error {
	ip = ip.Unmap()
	if env == pos.Lab {
		if ip.IsLoopback() {
			return nil
		}
		return fmt.Errorf("%s: in the lab only this machine is called", ip)
	}
	inside := ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() || ip.Zone() != ""
	for _, n := range reserved() {
		inside = inside || n.Contains(ip)
	}
	if inside || !ip.IsGlobalUnicast() {
		return fmt.Errorf("%s is not a public address", ip)
	}
	return nil
}

// outbound is a client that judges each address as it connects, so that a name which
// points elsewhere the second time helps nobody. It uses no proxy and follows no redirect.
func outbound(env pos.Environment) *http.Client {
	dialer := net.Dialer{Timeout: dialTimeout, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		return reachable(to.Addr(), env)
	}}
	return &http.Client{
		Timeout: hookTimeout,
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: dialTimeout, MaxResponseHeaderBytes: 16 << 10,
			MaxIdleConnsPerHost: maxPerShop, IdleConnTimeout: time.Minute,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
