//! TLS 1.3 towards a Postgres server.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
    StreamOwned, version,
};

use crate::bounds::FILE_BYTES_MAX;
use crate::postgres::socket::{Socket, Stream};
use crate::{Error, PostgresAddress, Tls, cut};

/// Asks the server for TLS and makes it.
pub(crate) fn secure(mut socket: Socket, address: &PostgresAddress) -> Result<Stream, Error> {
    let host = address.server();
    let roots = match &address.tls {
        Tls::Disable => return Ok(Stream::Plain(socket)),
        Tls::Require => None,
        Tls::VerifyFull(file) => Some(roots(file.as_deref(), &host)?),
    };
    let failed = |reason: &str| Error::Tls { host: host.clone(), reason: cut(reason, 300) };
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    let mut answer = [0];
    let asked = socket.write_all(&request).and_then(|()| socket.read_exact(&mut answer));
    asked.map_err(|source| Error::Connect { host: host.clone(), source })?;
    match &answer {
        b"S" => {}
        b"N" => {
            return Err(failed(
                "the server has none; `sslmode=disable` goes without, in the clear",
            ));
        }
        _ => return Err(failed("the server does not answer as one of Postgres")),
    }
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&version::TLS13])
        .map_err(|error| failed(&error.to_string()))?;
    let config = match roots {
        Some(roots) => builder.with_root_certificates(roots).with_no_client_auth(),
        None => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth(),
    };
    let name = ServerName::try_from(host.clone()).map_err(|error| failed(&error.to_string()))?;
    let connection = ClientConnection::new(Arc::new(config), name);
    let connection = connection.map_err(|error| failed(&error.to_string()))?;
    let mut stream = StreamOwned::new(connection, socket);
    // A certificate that is refused is told here, not by the first message.
    while stream.conn.is_handshaking() {
        let done = stream.conn.complete_io(&mut stream.sock);
        done.map_err(|error| failed(&error.to_string()))?;
    }
    Ok(Stream::Tls(Box::new(stream)))
}

/// The authorities that may sign a server's certificate: of a file, or of this machine.
fn roots(file: Option<&Path>, host: &str) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    let Some(path) = file else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let reason = "this machine knows no authorities; name a file by `sslrootcert`".to_owned();
        let host = host.to_owned();
        return if roots.is_empty() { Err(Error::Tls { host, reason }) } else { Ok(roots) };
    };
    let failed = |reason: String| Error::File { path: path.to_owned(), reason };
    let mut pem = Vec::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut pem));
    read.map_err(|error| failed(error.to_string()))?;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| failed(error.to_string()))?;
        roots.add(certificate).map_err(|error| failed(error.to_string()))?;
    }
    match roots.is_empty() {
        true => Err(failed("it has no certificate in PEM".into())),
        false => Ok(roots),
    }
}

/// `sslmode=require`: the server that answers has the key of its certificate, and that is all.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
