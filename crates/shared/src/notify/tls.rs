//! How servers are checked: by the public roots that are built in, as an empty container image has none, and by the
//! certificates that the operator names.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore,
    SignatureScheme,
};

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
pub(super) fn client(more: &[CertificateDer<'static>]) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    for root in webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().chain(more) {
        roots.add(root.clone())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|fault| Error::General(fault.to_string()))?;
    let verifier = Verifier {
        inner,
        named: more.to_vec(),
    };
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

/// The usual checks, but for one: a certificate that the operator named may be that of a server although it says that it
/// is an authority, as those that `openssl req -x509` makes do. Its dates, its name and its key are checked all the same.
#[derive(Debug)]
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    named: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.inner.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verified {
            Err(fault) if is_authority(&fault) && self.named.contains(end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Whether all that was wrong is that the certificate says it is an authority. The dates are checked before that.
fn is_authority(fault: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(OtherError(fault))) = fault else {
        return false;
    };
    fault.downcast_ref() == Some(&webpki::Error::CaUsedAsEndEntity)
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
