//! Requests to other servers: what every HTTP client of ours has in common.

use std::error::Error as _;

use anyhow::Context as _;
use reqwest::{Certificate, Client, ClientBuilder, redirect};

/// A client that goes where it is told and nowhere else: no proxy, no redirects, no second try.
pub fn client() -> ClientBuilder {
    Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
}

/// The same. TLS trusts the public roots that are built in, as an empty container image has none; they take memory, so
/// they are loaded only when an address `needs_tls`.
///
/// # Errors
/// When a root cannot be read, which no setting can cause.
pub fn trusting_client(needs_tls: bool) -> anyhow::Result<ClientBuilder> {
    // Somebody may have installed it already, which is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    let roots: &[_] = if needs_tls {
        webpki_root_certs::TLS_SERVER_ROOT_CERTS
    } else {
        &[]
    };
    let roots: Vec<Certificate> = roots
        .iter()
        .map(|root| Certificate::from_der(root))
        .collect::<Result<_, _>>()
        .context("cannot load the root certificates")?;
    Ok(client().tls_certs_only(roots))
}

/// `what` with the deepest cause of a fault behind it. Addresses may hold secrets, so none is ever shown.
#[must_use]
pub fn with_cause(what: &str, fault: reqwest::Error) -> String {
    let fault = fault.without_url();
    let mut cause = fault.source();
    while let Some(deeper) = cause.and_then(std::error::Error::source) {
        cause = Some(deeper);
    }
    match cause {
        Some(cause) => format!("{what}: {cause}"),
        None => what.to_owned(),
    }
}
