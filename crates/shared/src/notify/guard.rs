//! Which addresses a webhook may lead to.
//!
//! Whoever can set or change a webhook, or the name it points to, must not reach what only this machine or its network
//! can: other services, routers, the metadata service of a cloud. The check is made on the addresses that are connected
//! to, not on the name beforehand, so that a name that changes between look-up and connection gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Whether an address is one of the public Internet. Everything the IANA registries of special-purpose addresses list as
/// not globally reachable is not (RFC 6890 and its updates), nor is multicast.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        (0 | 10 | 127 | 224..=255, _, _)   // this network, private, loopback, multicast, reserved, broadcast
            | (100, 64..=127, _)           // carrier-grade NAT
            | (169, 254, _)                // link-local, metadata services among them
            | (172, 16..=31, _)            // private
            | (192, 0, 0 | 2)              // protocol assignments, documentation
            | (192, 88, 99)                // 6to4 relays
            | (192, 168, _)                // private
            | (198, 18 | 19, _)            // benchmarks
            | (198, 51, 100)               // documentation
            | (203, 0, 113) // documentation
    )
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return is_public_v4(mapped);
    }
    match address.segments() {
        // NAT64: what counts is the IPv4 address inside.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            is_public_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        // Protocol assignments (Teredo and ORCHID among them), documentation, 6to4.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x2002 | 0x3fff, ..] => false,
        // Global unicast; all else is loopback, unspecified, unique local, link-local, multicast or unassigned.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// Why a webhook's URL cannot be used without leave to reach private addresses, as far as the URL itself tells: it has
/// an address instead of a name, in any spelling, or a name that always means this machine.
pub(super) fn url_fault(url: &Url) -> Option<&'static str> {
    let host = url.host_str().unwrap_or_default();
    // The URL parser has turned decimal, octal, hexadecimal and short spellings into the usual one.
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return (!is_public(address)).then_some(PRIVATE);
    }
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    (name == "localhost" || name.ends_with(".localhost")).then_some(PRIVATE)
}

pub(super) const PRIVATE: &str =
    "leads to a private address, which ALERT_ALLOW_PRIVATE=true would allow";

/// Looks names up and leaves out every address that is not public.
#[derive(Debug)]
pub(super) struct PublicOnly;

/// A name has no address that may be connected to.
#[derive(Debug, thiserror::Error)]
#[error("the name {PRIVATE}")]
pub(super) struct NotPublic;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<_> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(NotPublic.into());
            }
            let addresses: Addrs = Box::new(public.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, public: bool) {
        let parsed: IpAddr = address.parse().expect("an address");
        assert_eq!(is_public(parsed), public, "{address}");
    }

    #[test]
    fn public_addresses() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "169.253.255.255",
            "192.0.1.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450:4001::1",
            "2001:200::1",
            "2001:4860:4860::8888",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ] {
            check(address, true);
        }
    }

    #[test]
    fn addresses_that_only_this_network_reaches() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:10::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            check(address, false);
        }
    }

    #[track_caller]
    fn check_url(url: &str, refused: bool) {
        let parsed = Url::parse(url).expect("a URL");
        assert_eq!(url_fault(&parsed).is_some(), refused, "{url}");
    }

    #[test]
    fn every_spelling_of_an_address_is_understood() {
        for host in [
            "127.0.0.1",
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "017700000001",
            "0177.0.0.1",
            "%31%32%37.0.0.1",
            "１２７.0.0.1",
            "127。0。0。1",
            "0",
            "10.1",
            "169.254.169.254",
            "2852039166",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[0:0:0:0:0:ffff:a9fe:a9fe]",
            "[fd00:ec2::254]",
            "localhost",
            "LOCALHOST",
            "localhost.",
            "a.localhost",
            "user:pass@127.0.0.1",
        ] {
            check_url(&format!("http://{host}/x"), true);
            check_url(&format!("https://{host}:8443/x?y"), true);
        }
        for host in [
            "1.1.1.1",
            "[2606:4700::1111]",
            "hooks.example",
            "localhost.example",
        ] {
            check_url(&format!("https://{host}/x"), false);
        }
    }

    #[tokio::test]
    async fn a_name_of_this_machine_has_no_public_address() {
        let name: Name = "localhost".parse().expect("a name");
        let Err(fault) = PublicOnly.resolve(name).await else {
            panic!("localhost must not resolve");
        };
        assert!(fault.is::<NotPublic>(), "{fault}");
    }
}
