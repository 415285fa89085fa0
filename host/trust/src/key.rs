//! Keys: ECDSA over P-256 with SHA-256, the one kind that certificates, messages
//! and Sigstore bundles share. Files are PEM as openssl writes them: PKCS#8
//! (RFC 5208) for private keys, SubjectPublicKeyInfo (RFC 5280, 4.1) for public ones.

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fedwasm_protocol::Digest;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use rustls_pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use serde::{Deserialize, Serialize};

use crate::Error;

/// The largest key file, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 10;
/// The bytes before the point in the SubjectPublicKeyInfo of a P-256 key (RFC
/// 5480, 2.1.1): id-ecPublicKey, secp256r1, a bit string of 65 bytes.
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// An uncompressed point (SEC 1, 2.3.3): 4, x, y.
const POINT_BYTES: usize = 65;

/// The SHA-256 of a public key's SubjectPublicKeyInfo, as
/// `openssl pkey -pubin -outform DER | sha256sum` prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(Digest);

impl Fingerprint {
    /// The 32 bytes.
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The first half, as text: an id that names the key.
    pub fn short(&self) -> String {
        self.0.to_string().chars().take(32).collect()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for Fingerprint {
    type Err = fedwasm_protocol::DigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.strip_prefix("sha256:").unwrap_or(text).parse().map(Self)
    }
}

/// A public key. As text the base64 of its SubjectPublicKeyInfo.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey([u8; POINT_BYTES]);

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// [`Error::NoKey`] unless it is a P-256 key, uncompressed.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        let no_key =
            |reason: &str| Error::NoKey { what: "the public key".into(), reason: reason.into() };
        let point = der.strip_prefix(&SPKI_PREFIX);
        let point = point.ok_or_else(|| no_key("it is another kind of key, or damaged"))?;
        match <[u8; POINT_BYTES]>::try_from(point) {
            Ok(point @ [4, ..]) => Ok(Self(point)),
            _ => Err(no_key("the point is not in the uncompressed form")),
        }
    }

    /// Reads a PEM file of a public key, or of a private one, whose public half it is.
    ///
    /// # Errors
    /// [`Error::NoKey`], [`Error::Io`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        let pem = fedwasm_folder::read_file(path, FILE_BYTES_MAX)?;
        Self::from_pem(&pem).map_err(|error| named(error, path))
    }

    /// Reads a PEM file of a public key, and of no private one: that one should not have come here.
    ///
    /// # Errors
    /// [`Error::NoKey`], [`Error::Io`].
    pub fn read_public(path: &Path) -> Result<Self, Error> {
        let pem = fedwasm_folder::read_file(path, FILE_BYTES_MAX)?;
        if KeyPair::from_pem(&pem).is_ok() {
            let text = "it is a private key, which must stay with its owner; use the public key in \
                        the `.pub` file";
            return Err(Error::NoKey { what: path.display().to_string(), reason: text.into() });
        }
        Self::from_pem(&pem).map_err(|error| named(error, path))
    }

    /// Reads the PEM of a public key, or of a private one.
    ///
    /// # Errors
    /// [`Error::NoKey`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, Error> {
        if let Ok(der) = SubjectPublicKeyInfoDer::from_pem_slice(pem) {
            return Self::from_der(&der);
        }
        KeyPair::from_pem(pem).map(|key| key.public().clone())
    }

    /// The SubjectPublicKeyInfo.
    pub fn to_der(&self) -> Vec<u8> {
        [SPKI_PREFIX.as_slice(), &self.0].concat()
    }

    /// The key as PEM.
    pub fn to_pem(&self) -> String {
        pem("PUBLIC KEY", &self.to_der())
    }

    /// The key's fingerprint.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(Digest::of(&self.to_der()))
    }

    /// The uncompressed point.
    pub(crate) fn point(&self) -> &[u8] {
        &self.0
    }

    /// Checks an ECDSA signature (DER) of `message`.
    ///
    /// # Errors
    /// [`Error::Signature`], naming `what` and this key.
    pub fn verify(
        &self,
        what: &'static str,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Error> {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0);
        key.verify(message, signature)
            .map_err(|_| Error::Signature { what, key: self.fingerprint() })
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

impl TryFrom<String> for PublicKey {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        let der = STANDARD.decode(text).map_err(|error| Error::NoKey {
            what: "the public key".into(),
            reason: error.into(),
        })?;
        Self::from_der(&der)
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        STANDARD.encode(key.to_der())
    }
}

/// A private key with its public one. It never leaves this value but into a
/// file that is made with it.
pub struct KeyPair {
    pair: EcdsaKeyPair,
    public: PublicKey,
    random: SystemRandom,
    pkcs8: PrivatePkcs8KeyDer<'static>,
}

impl KeyPair {
    /// Draws a key.
    ///
    /// # Errors
    /// [`Error::Randomness`].
    pub fn generate() -> Result<Self, Error> {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random);
        Self::from_pkcs8(pkcs8.map_err(|_| Error::Randomness)?.as_ref())
    }

    /// Draws a key and writes it to a new file that only its owner may read, with
    /// the public key beside it under the same name and `.pub`.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::Io`], [`Error::Randomness`].
    pub fn create(path: &Path) -> Result<Self, Error> {
        let key = Self::generate()?;
        key.write(path)?;
        let mut public = path.as_os_str().to_owned();
        public.push(".pub");
        fedwasm_folder::write_file(Path::new(&public), key.public.to_pem().as_bytes())?;
        Ok(key)
    }

    /// Writes the private key to a new file that only its owner may read.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::Io`].
    pub(crate) fn write(&self, path: &Path) -> Result<(), Error> {
        match fedwasm_folder::write_private_file(path, self.to_pem().as_bytes()) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(Error::Exists { path: path.display().to_string() })
            }
            written => Ok(written?),
        }
    }

    /// Reads a private key that only its owner may read.
    ///
    /// # Errors
    /// [`Error::OpenKey`] if others may, [`Error::NoKey`], [`Error::Io`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        let (pem, mode) = fedwasm_folder::read_file_and_mode(path, FILE_BYTES_MAX)?;
        if SubjectPublicKeyInfoDer::from_pem_slice(&pem).is_ok() {
            let what = path.display().to_string();
            return Err(Error::NoKey { what, reason: "it is a public key".into() });
        }
        if mode & 0o077 != 0 {
            let mode = mode & 0o777;
            return Err(Error::OpenKey { path: path.display().to_string(), mode });
        }
        Self::from_pem(&pem).map_err(|error| named(error, path))
    }

    fn from_pem(pem: &[u8]) -> Result<Self, Error> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|error| {
            let reason = match <(SectionKind, Vec<u8>)>::from_pem_slice(pem) {
                Ok((SectionKind::EcPrivateKey, _)) => {
                    "it is not PKCS#8; convert it with `openssl pkcs8 -topk8 -nocrypt`".to_owned()
                }
                _ => format!("{error:?}"),
            };
            Error::NoKey { what: "the private key".into(), reason: reason.into() }
        })?;
        Self::from_pkcs8(der.secret_pkcs8_der())
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, Error> {
        let no_key = |reason| Error::NoKey { what: "the private key".into(), reason };
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der, &random);
        let pair = pair.map_err(|error| no_key(error.to_string().into()))?;
        let point: [u8; POINT_BYTES] = pair
            .public_key()
            .as_ref()
            .try_into()
            .map_err(|_| no_key("its public half has another form".into()))?;
        let pkcs8 = PrivatePkcs8KeyDer::from(der.to_vec());
        Ok(Self { pair, public: PublicKey(point), random, pkcs8 })
    }

    /// The public key.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// A name that is always the same and cannot be guessed without the key.
    pub fn secret_name(&self) -> String {
        let secret = [b"fedwasm secret name\0", self.pkcs8.secret_pkcs8_der()].concat();
        Digest::of(&secret).to_string().chars().take(32).collect()
    }

    /// The private key for TLS.
    pub fn to_pkcs8(&self) -> PrivatePkcs8KeyDer<'static> {
        self.pkcs8.clone_key()
    }

    pub(crate) fn to_pem(&self) -> String {
        pem("PRIVATE KEY", self.pkcs8.secret_pkcs8_der())
    }

    /// Signs a message: ECDSA, as DER. The signed bytes must begin with their
    /// domain.
    ///
    /// # Errors
    /// [`Error::Randomness`].
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = self.pair.sign(&self.random, message);
        Ok(signature.map_err(|_| Error::Randomness)?.as_ref().to_vec())
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({})", self.public.fingerprint())
    }
}

fn named(error: Error, path: &Path) -> Error {
    match error {
        Error::NoKey { reason, .. } => Error::NoKey { what: path.display().to_string(), reason },
        error => error,
    }
}

/// RFC 7468: base64 in lines of 64.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy);
    let lines: String = lines.map(|line| format!("{line}\n")).collect();
    format!("-----BEGIN {label}-----\n{lines}-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_a_key_signs_its_public_half_verifies_and_nothing_else() {
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let signature = key.sign(b"message").unwrap();
        key.public().verify("it", b"message", &signature).unwrap();
        assert!(key.public().verify("it", b"massage", &signature).is_err());
        let error = other.public().verify("it", b"message", &signature).unwrap_err();
        assert!(error.to_string().contains(&other.public().fingerprint().to_string()));
        assert!(key.public().verify("it", b"message", &signature[1..]).is_err());
        assert!(key.public().verify("it", b"message", b"").is_err());
    }

    #[test]
    fn keys_survive_files_and_open_ones_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.pem");
        let key = KeyPair::create(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let read = KeyPair::read(&path).unwrap();
        assert_eq!(read.public(), key.public());
        let public = dir.path().join("a.pem.pub");
        assert_eq!(&PublicKey::read(&public).unwrap(), key.public());
        assert_eq!(&PublicKey::read(&path).unwrap(), key.public());
        assert!(matches!(KeyPair::create(&path), Err(Error::Exists { .. })));
        assert_eq!(KeyPair::read(&path).unwrap().public(), key.public());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(KeyPair::read(&path), Err(Error::OpenKey { mode: 0o640, .. })));
        let error = KeyPair::read(&public).unwrap_err().to_string();
        assert!(error.contains("it is a public key"), "{error}");
        let error = PublicKey::read_public(&path).unwrap_err().to_string();
        assert!(error.contains("it is a private key"), "{error}");
    }

    #[test]
    fn only_p256_keys_are_keys() {
        let key = KeyPair::generate().unwrap();
        let text = String::from(key.public().clone());
        assert_eq!(&PublicKey::try_from(text.clone()).unwrap(), key.public());
        for text in [text[4..].to_owned(), text + "AA", "!".into(), String::new()] {
            assert!(PublicKey::try_from(text).is_err());
        }
        let mut der = key.public().to_der();
        der[26] = 2;
        assert!(PublicKey::from_der(&der).is_err());
        assert!(PublicKey::from_pem(b"-----BEGIN X-----").is_err());
    }

    /// Made with `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`;
    /// the fingerprint with `openssl pkey -pubout -outform DER | sha256sum`.
    #[test]
    fn openssl_s_keys_are_ours() {
        let pem = include_bytes!("../testdata/openssl.pem");
        let key = KeyPair::from_pem(pem).unwrap();
        let expected = include_str!("../testdata/openssl.fingerprint").trim();
        assert_eq!(key.public().fingerprint().to_string(), expected);
        let public = include_bytes!("../testdata/openssl.pub");
        assert_eq!(&PublicKey::from_pem(public).unwrap(), key.public());
        assert_eq!(key.public().to_pem().as_bytes(), public);
        // `openssl dgst -sha256 -sign` of the bytes `fedwasm`.
        key.public().verify("it", b"fedwasm", include_bytes!("../testdata/openssl.sig")).unwrap();
        let sec1 = include_bytes!("../testdata/openssl-sec1.pem");
        let error = KeyPair::from_pem(sec1).unwrap_err().to_string();
        assert!(error.contains("openssl pkcs8 -topk8"), "{error}");
    }
}
