//! Who is asking: the address behind trusted proxies.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::http::{HeaderMap, Request};

use crate::config::TrustedProxies;

/// The other end of the connection, put into each request's extensions by the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

impl Peer {
    /// The peer of a request; a request that came by no connection (in tests) is from 127.0.0.1.
    pub fn of<B>(request: &Request<B>) -> IpAddr {
        request
            .extensions()
            .get::<Self>()
            .map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| {
                peer.0.ip().to_canonical()
            })
    }
}

/// What is known about a client before it has shown a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address, taken from `X-Forwarded-For` when a trusted proxy says so.
    pub address: IpAddr,
    /// Whether it speaks TLS to a trusted proxy (`X-Forwarded-Proto: https`).
    pub secure: bool,
    /// Whether the connection comes from a trusted proxy.
    pub proxied: bool,
}

impl Client {
    /// Looks at the connection and, behind a trusted proxy, at the forwarding headers.
    pub fn of<B>(request: &Request<B>, trusted: &TrustedProxies) -> Self {
        let peer = Peer::of(request);
        if trusted.is_empty() || !trusted.contains(peer) {
            return Self {
                address: peer,
                secure: false,
                proxied: false,
            };
        }
        Self {
            address: forwarded_for(request.headers(), peer, trusted),
            secure: forwarded_by_tls(request.headers()),
            proxied: true,
        }
    }

    /// What a limit per client counts under; see [`network`].
    pub fn network(&self) -> IpAddr {
        network(self.address)
    }
}

/// The address of the client: the rightmost entry of `X-Forwarded-For` that is no trusted proxy,
/// when the connection comes from a trusted proxy; else the other end of the connection.
pub fn client_addr<B>(request: &Request<B>, trusted: &TrustedProxies) -> IpAddr {
    Client::of(request, trusted).address
}

/// What a limit counts an address under: itself, or the /64 of an IPv6 address, because one host
/// usually has all of a /64 to itself.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Whether an address may be reached from everywhere: not of a private network (RFC 1918, RFC 4193), of a carrier's
/// (RFC 6598), of one link or of the machine itself. Behind a gateway, such as that of a container network, all clients
/// can show one private address.
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            let is_carriers = first == 100 && second & 0b1100_0000 == 64;
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || is_carriers)
        }
        IpAddr::V6(v6) => {
            !(v6.is_unique_local()
                || v6.is_unicast_link_local()
                || v6.is_loopback()
                || v6.is_unspecified())
        }
    }
}

/// Walks from the nearest proxy outwards. It stops at the first address that is not trusted, and at
/// anything that is no address: what lies behind it was written by nobody we trust.
fn forwarded_for(headers: &HeaderMap, peer: IpAddr, trusted: &TrustedProxies) -> IpAddr {
    let mut nearest = peer;
    let values: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
    for value in values.into_iter().rev() {
        let Ok(text) = value.to_str() else {
            return nearest;
        };
        for hop in text.rsplit(',') {
            let Some(address) = parse_hop(hop.trim()) else {
                return nearest;
            };
            nearest = address;
            if !trusted.contains(address) {
                return nearest;
            }
        }
    }
    nearest
}

/// An address, with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let address = text.parse::<IpAddr>().ok().or_else(|| {
        let port_less = text.parse::<SocketAddr>().map(|socket| socket.ip()).ok();
        port_less.or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok())
    })?;
    Some(address.to_canonical())
}

fn forwarded_by_tls(headers: &HeaderMap) -> bool {
    headers
        .get("x-forwarded-proto")
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.split(',').next())
        .is_some_and(|scheme| scheme.trim().eq_ignore_ascii_case("https"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::testing::proxies;

    #[track_caller]
    fn check(peer: &str, trusted: &str, forwarded: &[&str], expected: &str) {
        let mut request = Request::builder();
        for value in forwarded {
            request = request.header("X-Forwarded-For", *value);
        }
        let mut request = request.body(()).unwrap();
        request
            .extensions_mut()
            .insert(Peer(SocketAddr::new(peer.parse().unwrap(), 1)));
        let found = client_addr(&request, &proxies(trusted));
        assert_eq!(found, expected.parse::<IpAddr>().unwrap(), "{forwarded:?}");
    }

    #[test]
    fn forwarding_is_believed_from_trusted_proxies_only() {
        check("203.0.113.9", "", &["198.51.100.1"], "203.0.113.9");
        check(
            "203.0.113.9",
            "10.0.0.0/8",
            &["198.51.100.1"],
            "203.0.113.9",
        );
        check("10.0.0.1", "10.0.0.0/8", &["198.51.100.1"], "198.51.100.1");
        check("10.0.0.1", "10.0.0.0/8", &[], "10.0.0.1");
        check(
            "::ffff:10.0.0.1",
            "10.0.0.0/8",
            &["198.51.100.1"],
            "198.51.100.1",
        );
    }

    #[test]
    fn the_rightmost_untrusted_hop_counts() {
        check(
            "10.0.0.1",
            "10.0.0.0/8",
            &["1.2.3.4, 198.51.100.1, 10.9.9.9"],
            "198.51.100.1",
        );
        check(
            "10.0.0.1",
            "10.0.0.0/8",
            &["1.2.3.4", "198.51.100.1"],
            "198.51.100.1",
        );
        check(
            "10.0.0.1",
            "10.0.0.0/8",
            &["10.3.3.3, 10.2.2.2"],
            "10.3.3.3",
        );
        check(
            "10.0.0.1",
            "10.0.0.0/8",
            &["1.2.3.4, unknown, 10.2.2.2"],
            "10.2.2.2",
        );
        check("10.0.0.1", "10.0.0.0/8", &[""], "10.0.0.1");
        check(
            "10.0.0.1",
            "10.0.0.0/8",
            &["198.51.100.1:4711"],
            "198.51.100.1",
        );
        check("::1", "::1", &["[2001:db8::7]:80"], "2001:db8::7");
        check("::1", "::1", &["[2001:db8::7]"], "2001:db8::7");
        check("::1", "::1", &["2001:db8::7"], "2001:db8::7");
    }

    #[test]
    fn one_ipv6_network_is_one_client() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2:ffff::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    #[test]
    fn addresses_of_everywhere() {
        let of = |text: &str| is_public(text.parse().unwrap());
        for public in [
            "203.0.113.9",
            "172.32.0.1",
            "100.128.0.1",
            "2001:db8::1",
            "::ffff:8.8.8.8",
        ] {
            assert!(of(public), "{public}");
        }
        for private in [
            "10.0.0.1",
            "172.17.0.1",
            "192.168.65.1",
            "100.64.0.1",
            "169.254.1.1",
            "127.0.0.1",
            "0.0.0.0",
            "::1",
            "fd00::1",
            "fe80::1",
            "::ffff:172.17.0.1",
        ] {
            assert!(!of(private), "{private}");
        }
    }

    #[test]
    fn tls_is_believed_from_a_trusted_proxy_only() {
        let check = |peer: &str, proto: &str, expected: bool| {
            let mut request = Request::builder()
                .header("X-Forwarded-Proto", proto)
                .body(())
                .unwrap();
            request
                .extensions_mut()
                .insert(Peer(SocketAddr::new(peer.parse().unwrap(), 1)));
            assert_eq!(
                Client::of(&request, &proxies("10.0.0.0/8")).secure,
                expected,
                "{proto}"
            );
        };
        check("10.0.0.1", "https", true);
        check("10.0.0.1", "HTTPS, http", true);
        check("10.0.0.1", "http", false);
        check("203.0.113.9", "https", false);
    }
}
