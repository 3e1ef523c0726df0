//! How servers are checked: by the public roots that are built in, as an empty container image has none, and by the
//! certificates that the operator names.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// The certificates in a PEM file, or why there are none.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|fault| format!("is no PEM file ({fault})"))?;
    if found.is_empty() {
        return Err("holds no certificate".to_owned());
    }
    // Each is tried, so that a bad one is a fault at start and not of the first alert.
    let mut store = RootCertStore::empty();
    for certificate in &found {
        store
            .add(certificate.clone())
            .map_err(|fault| format!("holds a certificate that cannot be used ({fault})"))?;
    }
    Ok(found)
}

/// TLS 1.2 and 1.3 with the public roots and `more`. Takes a few hundred kilobytes, so it is made on first use.
pub(super) fn client(more: &[CertificateDer<'static>]) -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for root in webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().chain(more) {
        roots.add(root.clone())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_roots_load() {
        client(&[]).expect("usable roots");
    }

    #[test]
    fn what_is_no_certificate_is_said_to_be_none() {
        for (text, why) in [
            ("", "holds no certificate"),
            ("hello", "holds no certificate"),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                "cannot be used",
            ),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n", "is no PEM file"),
        ] {
            let fault = certificates(text.as_bytes()).unwrap_err();
            assert!(fault.contains(why), "{text:?}: {fault}");
        }
    }
}
