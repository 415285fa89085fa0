//! X.509 certificates (RFC 5280) of a federation: its authority's, the server's,
//! and those of participants, whose common name is the participant and the user name at a broker.

use std::time::{Duration, SystemTime};

use fedwasm_protocol::{FederationId, Participant};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyUsagePurpose, PublicKeyData,
    RevokedCertParams, SanType, SerialNumber, SigningKey,
};

use crate::{Error, KeyPair, PublicKey};

/// How long certificates are valid. Participation is decided by the roster, which can
/// be changed at any time.
const VALIDITY: Duration = Duration::from_secs(5 * 365 * 24 * 3_600);
/// How much earlier than now they begin: clocks differ.
const BACKDATED: Duration = Duration::from_secs(24 * 3_600);

impl PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        self.point()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl PublicKeyData for KeyPair {
    fn der_bytes(&self) -> &[u8] {
        self.public().point()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for KeyPair {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Self::sign(self, message).map_err(|_| rcgen::Error::RingUnspecified)
    }
}

/// The certificate of the authority itself, as PEM.
pub(crate) fn authority(key: &KeyPair, federation: &FederationId) -> Result<String, Error> {
    let params = authority_params(federation);
    params.self_signed(key).map(|certificate| certificate.pem()).map_err(failed)
}

/// A server's certificate for these names and addresses, as PEM.
pub(crate) fn server(
    authority: &KeyPair,
    federation: &FederationId,
    key: &PublicKey,
    hosts: &[String],
) -> Result<String, Error> {
    let mut params = CertificateParams::new(hosts).map_err(|error| Error::Certificate {
        reason: format!("{}: {error}", hosts.join(", ")).into(),
    })?;
    named(&mut params, "fedwasm network");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    issue(params, authority, federation, key)
}

/// A participant's certificate, as PEM.
pub(crate) fn participant(
    authority: &KeyPair,
    federation: &FederationId,
    participant: &Participant,
    key: &PublicKey,
) -> Result<String, Error> {
    let mut params = CertificateParams::default();
    let (role, name) = (participant.role, &participant.name);
    let uri = Ia5String::try_from(format!("fedwasm://{federation}/{role}/{name}"));
    params.subject_alt_names = vec![SanType::URI(uri.map_err(failed)?)];
    named(&mut params, &participant.to_string());
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    issue(params, authority, federation, key)
}

fn issue(
    mut params: CertificateParams,
    authority: &KeyPair,
    federation: &FederationId,
    key: &PublicKey,
) -> Result<String, Error> {
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.serial_number = Some(serial(key));
    params.use_authority_key_identifier_extension = true;
    let issuer = Issuer::new(authority_params(federation), authority);
    params.signed_by(key, &issuer).map(|certificate| certificate.pem()).map_err(failed)
}

/// A certificate is named after its key, so that it can be revoked without having been kept.
fn serial(key: &PublicKey) -> SerialNumber {
    let mut bytes = key.fingerprint().bytes()[..16].to_vec();
    // A positive number (RFC 5280, 4.1.2.2).
    bytes[0] &= 0x7f;
    SerialNumber::from_slice(&bytes)
}

/// The list of revoked certificates (RFC 5280, 5), as PEM.
pub(crate) fn revoked(
    authority: &KeyPair,
    federation: &FederationId,
    number: u64,
    revoked: &[(PublicKey, u64)],
) -> Result<String, Error> {
    let now = SystemTime::now();
    let entry = |(key, time_ms): &(PublicKey, u64)| RevokedCertParams {
        serial_number: serial(key),
        revocation_time: (SystemTime::UNIX_EPOCH + Duration::from_millis(*time_ms)).into(),
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: (now - BACKDATED).into(),
        next_update: (now + VALIDITY).into(),
        crl_number: SerialNumber::from(number),
        issuing_distribution_point: None,
        revoked_certs: revoked.iter().map(entry).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let issuer = Issuer::new(authority_params(federation), authority);
    params.signed_by(&issuer).and_then(|list| list.pem()).map_err(failed)
}

fn authority_params(federation: &FederationId) -> CertificateParams {
    let mut params = CertificateParams::default();
    named(&mut params, &format!("fedwasm federation {federation}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn named(params: &mut CertificateParams, name: &str) {
    let now = SystemTime::now();
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + VALIDITY).into();
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    params.distinguished_name = distinguished;
}

fn failed(error: rcgen::Error) -> Error {
    Error::Certificate { reason: error.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roster::federation_of;

    #[test]
    fn names_that_are_none_are_refused() {
        let key = KeyPair::generate().unwrap();
        let federation = federation_of(key.public());
        let hosts = |host: &str| vec![host.to_owned()];
        for host in ["hospital.example", "10.0.0.1", "::1"] {
            let pem = server(&key, &federation, key.public(), &hosts(host)).unwrap();
            assert!(pem.starts_with("-----BEGIN CERTIFICATE-----"), "{pem}");
        }
        let error = server(&key, &federation, key.public(), &hosts("ä")).unwrap_err();
        assert!(matches!(error, Error::Certificate { .. }), "{error}");
    }
}
