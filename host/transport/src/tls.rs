//! TLS 1.3 with certificates on both sides: no other version, no other
//! certificate authority than the federation's, and whoever connects is whom
//! the roster says its certificate's key belongs to.

use std::sync::Arc;

use fedwasm_trust::{Member, ServerFiles};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, version};

use crate::Error;

/// What a member shows to a server, and what it demands of it.
pub(crate) fn client_config(member: &Member) -> Result<ClientConfig, Error> {
    let failed = |reason: String| Error::Tls { reason };
    let files = member.membership().tls.as_ref();
    let files = files.ok_or_else(|| failed("this member has no certificate".into()))?;
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(&[&version::TLS13]);
    let builder = builder.map_err(|error| failed(error.to_string()))?;
    let builder = builder.with_root_certificates(roots(&files.ca)?);
    let key = PrivateKeyDer::from(member.key().to_pkcs8());
    let config = builder.with_client_auth_cert(certificates(&files.certificate)?, key);
    config.map_err(|error| failed(error.to_string()))
}

/// What a client without TLS carries: no root at all, so that nothing answers to it.
pub(crate) fn no_tls() -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(&[&version::TLS13]);
    let builder = builder.map_err(|error| Error::Tls { reason: error.to_string() })?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// What a server shows, and what it demands of whoever connects.
pub(crate) fn server_config(files: &ServerFiles) -> Result<ServerConfig, Error> {
    let failed = |reason: String| Error::Tls { reason };
    let roots = Arc::new(roots(&files.ca)?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
    let verifier = verifier.map_err(|error| failed(error.to_string()))?;
    let builder = ServerConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(&[&version::TLS13]);
    let builder = builder.map_err(|error| failed(error.to_string()))?;
    let builder = builder.with_client_cert_verifier(verifier);
    let key = PrivateKeyDer::from(files.key.to_pkcs8());
    let config = builder.with_single_cert(certificates(&files.certificate)?, key);
    config.map_err(|error| failed(error.to_string()))
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn roots(pem: &str) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|error| Error::Tls { reason: error.to_string() })?;
    }
    Ok(roots)
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    read.map_err(|error| Error::Tls { reason: error.to_string() })
}
