//! The servers' side of TLS 1.3: certificates on both sides, and no other certificate authority
//! than the federation's. The roster maps the key of a client's certificate to its participant.

use std::sync::Arc;

use fedwasm_transport::Error;
use fedwasm_transport::tls::{certificates, failed, provider, roots};
use fedwasm_trust::ServerFiles;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{ServerConfig, version};

/// The certificate that a server shows, and the one that it demands of clients.
pub(crate) fn server_config(files: &ServerFiles) -> Result<ServerConfig, Error> {
    let roots = Arc::new(roots(&files.ca)?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
    let verifier = verifier.map_err(failed)?;
    let builder = ServerConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(&[&version::TLS13]);
    let builder = builder.map_err(failed)?;
    let builder = builder.with_client_cert_verifier(verifier);
    let key = PrivateKeyDer::from(files.key.to_pkcs8());
    let config = builder.with_single_cert(certificates(&files.certificate)?, key);
    config.map_err(failed)
}
