//! TLS 1.3 with certificates on both sides: no other version, no other
//! certificate authority than the federation's, and the roster maps the key of a client's
//! certificate to its participant.

use std::sync::Arc;

use fedwasm_trust::Member;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, version};

use crate::{Cause, Error};

/// The certificate that a member shows to a server, and the one that it demands.
///
/// # Errors
/// [`Error::Tls`].
pub fn client_config(member: &Member) -> Result<ClientConfig, Error> {
    let files = member.membership().tls.as_ref();
    let files = files.ok_or_else(|| failed("this participant has no certificate"))?;
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(&[&version::TLS13]);
    let builder = builder.map_err(failed)?;
    let builder = builder.with_root_certificates(roots(&files.ca)?);
    let key = PrivateKeyDer::from(member.key().to_pkcs8());
    let config = builder.with_client_auth_cert(certificates(&files.certificate)?, key);
    config.map_err(failed)
}

/// The settings of a client without TLS: no root certificate, so that no TLS server is accepted.
///
/// # Errors
/// [`Error::Tls`].
pub fn no_tls() -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(&[&version::TLS13]);
    let builder = builder.map_err(failed)?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// The cryptography that both ends use.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The certificate authority that is believed, from its PEM.
///
/// # Errors
/// [`Error::Tls`].
pub fn roots(pem: &str) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(failed)?;
    }
    Ok(roots)
}

/// A chain of certificates from its PEM.
///
/// # Errors
/// [`Error::Tls`].
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    read.map_err(failed)
}

/// TLS that cannot be set up.
pub fn failed(reason: impl Into<Cause>) -> Error {
    Error::Tls { reason: reason.into() }
}
