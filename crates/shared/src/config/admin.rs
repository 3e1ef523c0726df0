//! A port of its own for operators, for services that strangers reach.

use std::net::{IpAddr, SocketAddr};

use super::{Reader, Var};

static ADMIN_HOST: Var = Var::optional(
    "ADMIN_HOST",
    "an IP address",
    "The address to listen on for `ADMIN_PORT`. Default: 127.0.0.1, so that only the machine itself reaches it.",
);
static ADMIN_PORT: Var = Var::optional(
    "ADMIN_PORT",
    "whole number, 0 to 65535, other than PORT",
    "A second port, on which everything is answered. `PORT` then answers only the routes for strangers and `/health`; whatever else is 404 there.",
);

/// The variables of [`AdminAddress`].
pub static ADMIN_VARS: [&Var; 2] = [&ADMIN_HOST, &ADMIN_PORT];

/// Where operators are listened to apart from strangers, if they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AdminAddress(pub Option<SocketAddr>);

impl AdminAddress {
    /// Reads `ADMIN_HOST` and `ADMIN_PORT`; a host without a port is a fault, as it would change nothing.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let text = reader.text(&ADMIN_HOST);
        let port = reader.optional_integer(&ADMIN_PORT, 0..=65_535);
        let host = match text.as_deref().map(str::parse::<IpAddr>) {
            None => IpAddr::from([127, 0, 0, 1]),
            Some(Ok(host)) => host,
            Some(Err(_)) => {
                reader.problem(&ADMIN_HOST, &text.unwrap_or_default(), "is no IP address");
                return Self(None);
            }
        };
        if let (Some(text), None) = (text, port) {
            reader.problem(&ADMIN_HOST, &text, "does nothing without ADMIN_PORT");
        }
        Self(port.map(|port| SocketAddr::new(host, port as u16)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Env;

    #[track_caller]
    fn check(host: &str, port: &str, expected: Result<Option<&str>, &str>) {
        let env = Env::of([("ADMIN_HOST", host), ("ADMIN_PORT", port)]);
        let mut reader = Reader::new(&env);
        let AdminAddress(address) = AdminAddress::read(&mut reader);
        let address = address.map(|address| address.to_string());
        match (reader.finish(), expected) {
            (Ok(()), Ok(expected)) => assert_eq!(address.as_deref(), expected),
            (Err(fault), Err(why)) => {
                let fault = fault.to_string();
                assert!(fault.contains(why), "{fault}");
            }
            (finished, _) => panic!("{host} {port}: {finished:?}"),
        }
    }

    #[test]
    fn addresses() {
        check("", "", Ok(None));
        check("", "5023", Ok(Some("127.0.0.1:5023")));
        check("0.0.0.0", "5023", Ok(Some("0.0.0.0:5023")));
        check("::1", "0", Ok(Some("[::1]:0")));
        check("10.0.0.1", "", Err("ADMIN_HOST"));
        check("box", "5023", Err("ADMIN_HOST"));
        check("", "70000", Err("ADMIN_PORT"));
        check("", "http", Err("ADMIN_PORT"));
    }
}
