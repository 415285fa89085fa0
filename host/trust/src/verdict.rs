//! The signers that are trusted, and their verdict on a plan.

use std::collections::BTreeSet;
use std::path::Path;

use fedwasm_protocol::{Digest, FileMistakes, Mistake, Place};
use serde::{Deserialize, Serialize};

use crate::{Bundle, Error, Fingerprint, PublicKey};

/// The largest trust file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The most bundles of a plan that are looked at.
pub const BUNDLES_MAX: usize = fedwasm_protocol::SIGNATURES_MAX;

/// The signers of plans that are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// The signer's name for people.
    pub signers: Vec<(String, PublicKey)>,
    /// How many of them must have signed, at least 1.
    pub threshold: usize,
    /// Plans that are not trusted despite any signature.
    pub revoked: Vec<Digest>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default = "one")]
    threshold: usize,
    #[serde(default)]
    revoked: Vec<Digest>,
    #[serde(default)]
    signer: Vec<Signer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signer {
    name: String,
    key: String,
}

fn one() -> usize {
    1
}

/// The outcome of one signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "state", content = "detail")]
pub enum State {
    /// It is one of this signer.
    Verified(String),
    /// It is of a key that is not in the trust file.
    Unknown,
    /// It is a trusted signer's, over a statement of another kind than those about plans, which
    /// it names. It counts neither for nor against.
    Aside(String),
    /// It is wrong.
    Failed(String),
}

/// A signature that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Signature {
    /// The key that it names as its own.
    pub key: Option<Fingerprint>,
    /// Whether it is over a statement and not over the bytes.
    pub is_statement: bool,
    /// Its outcome.
    #[serde(flatten)]
    pub state: State,
}

/// The verdict on a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Enough trusted signers signed it.
    Trusted,
    /// It has no signature.
    NotSigned,
    /// Its signers are not trusted, or too few of them are.
    Untrusted,
    /// A signature is wrong.
    Failed,
    /// It was revoked by name.
    Revoked,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Trusted => "trusted",
            Self::NotSigned => "not signed",
            Self::Untrusted => "not trusted",
            Self::Failed => "failed",
            Self::Revoked => "revoked",
        })
    }
}

impl Trust {
    /// Reads a trust file, or a public key, which is then the only one trusted.
    ///
    /// # Errors
    /// [`Error::File`] with what is wrong in it, [`Error::NoKey`], [`Error::Io`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = fedwasm_folder::read_file(path, FILE_BYTES_MAX)?;
        if let Ok(key) = PublicKey::from_pem(&bytes) {
            let name = path.display().to_string();
            return Ok(Self { signers: vec![(name, key)], threshold: 1, revoked: Vec::new() });
        }
        if bytes.starts_with(b"-----BEGIN") {
            // It could not be read as a P-256 key: reading it again gives the reason.
            return PublicKey::read(path).map(|_| Self::default());
        }
        let text = String::from_utf8(bytes).map_err(|_| FileMistakes::not_utf8(path))?;
        let file: File = match toml::from_str(&text) {
            Ok(file) => file,
            Err(error) => return Err(FileMistakes::of_toml(path, text, &error).into()),
        };
        let wrong = |place, message| {
            FileMistakes::new(path, text.clone(), vec![Mistake { place, message }])
        };
        let here = path.parent().unwrap_or(Path::new(""));
        let mut signers: Vec<(String, PublicKey)> = Vec::new();
        for Signer { name, key } in file.signer {
            let key = match PublicKey::try_from(key.clone()) {
                Ok(key) => key,
                Err(_) => PublicKey::read(&here.join(&key))?,
            };
            // The threshold counts people: one key under two names is one.
            if signers.iter().any(|(known, k)| *known == name || *k == key) {
                let message = format!("signer `{name}` or its key appears twice");
                let place = Place::Text { below: "signer".into(), text: name };
                return Err(wrong(place, message).into());
            }
            signers.push((name, key));
        }
        let threshold = file.threshold;
        if threshold == 0 || threshold > signers.len() {
            let n = signers.len();
            let message = format!("threshold is {threshold}, but there are {n} signers");
            return Err(wrong(Place::Value("threshold".into()), message).into());
        }
        Ok(Self { signers, threshold, revoked: file.revoked })
    }

    /// Writes it as a trust file that needs no other file.
    pub fn to_toml(&self) -> String {
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let revoked: Vec<String> =
            self.revoked.iter().map(|digest| quoted(&digest.to_string())).collect();
        let mut text =
            format!("threshold = {}\nrevoked = [{}]\n", self.threshold, revoked.join(", "));
        for (name, key) in &self.signers {
            let (name, key) = (quoted(name), quoted(&String::from(key.clone())));
            text += &format!("\n[[signer]]\nname = {name}\nkey = {key}\n");
        }
        text
    }

    /// Looks at the signatures of a plan.
    pub fn judge(&self, plan: &[u8], bundles: &[Vec<u8>]) -> (Vec<Signature>, Verdict) {
        let signatures: Vec<Signature> =
            bundles.iter().take(BUNDLES_MAX).map(|json| self.look(plan, json)).collect();
        let failed = signatures.iter().any(|s| matches!(s.state, State::Failed(_)));
        let signers: BTreeSet<&String> = signatures
            .iter()
            .filter(|signature| !signature.is_statement)
            .filter_map(|signature| match &signature.state {
                State::Verified(name) => Some(name),
                _ => None,
            })
            .collect();
        let verdict = if self.revoked.contains(&Digest::of(plan)) {
            Verdict::Revoked
        } else if failed {
            Verdict::Failed
        } else if signatures.is_empty() {
            Verdict::NotSigned
        } else if signers.len() >= self.threshold.max(1) {
            Verdict::Trusted
        } else {
            Verdict::Untrusted
        };
        (signatures, verdict)
    }

    fn look(&self, plan: &[u8], json: &[u8]) -> Signature {
        let bundle = match Bundle::from_json(json) {
            Ok(bundle) => bundle,
            Err(error) => {
                let state = State::Failed(error.to_string());
                return Signature { key: None, is_statement: false, state };
            }
        };
        let (key, is_statement) = (bundle.hint(), bundle.is_statement());
        let is_asked = |public: &PublicKey| key.is_none_or(|key| key == public.fingerprint());
        let mut state = State::Unknown;
        for (name, public) in self.signers.iter().filter(|(_, public)| is_asked(public)) {
            let checked = if is_statement {
                bundle.verify_statement(public).map(drop)
            } else {
                bundle.verify_bytes("the plan", plan, public)
            };
            state = match checked {
                Ok(()) => State::Verified(name.clone()),
                // Without a hint it may be another one's.
                Err(_) if key.is_none() => continue,
                Err(error) => State::Failed(error.to_string()),
            };
            break;
        }
        Signature { key, is_statement, state }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyPair;

    #[test]
    fn three_states_and_a_threshold_of_people() {
        let [a, b, c] = [(); 3].map(|()| KeyPair::generate().unwrap());
        let signers = vec![("a".to_owned(), a.public().clone()), ("b".into(), b.public().clone())];
        let mut trust = Trust { signers, threshold: 1, revoked: Vec::new() };
        let by = |key: &KeyPair| Bundle::sign_bytes(b"plan", key).unwrap().to_json();
        let verdict = |trust: &Trust, bundles: &[Vec<u8>]| trust.judge(b"plan", bundles).1;
        assert_eq!(verdict(&trust, &[]), Verdict::NotSigned);
        assert_eq!(verdict(&trust, &[by(&a)]), Verdict::Trusted);
        assert_eq!(verdict(&trust, &[by(&c)]), Verdict::Untrusted);
        assert_eq!(verdict(&trust, &[by(&c), by(&b)]), Verdict::Trusted);
        let other = Bundle::sign_bytes(b"plam", &a).unwrap().to_json();
        assert_eq!(verdict(&trust, &[other]), Verdict::Failed);
        assert_eq!(verdict(&trust, &[by(&a), b"{}".to_vec()]), Verdict::Failed);
        // A statement alone signs no bytes.
        let statement = Bundle::sign_statement(b"{}", &a).unwrap().to_json();
        assert_eq!(verdict(&trust, &[statement]), Verdict::Untrusted);
        trust.threshold = 2;
        assert_eq!(verdict(&trust, &[by(&a), by(&a)]), Verdict::Untrusted);
        assert_eq!(verdict(&trust, &[by(&a), by(&b)]), Verdict::Trusted);
        trust.revoked.push(Digest::of(b"plan"));
        assert_eq!(verdict(&trust, &[by(&a), by(&b)]), Verdict::Revoked);
    }

    #[test]
    fn files_are_read_and_mistakes_named() {
        let dir = tempfile::tempdir().unwrap();
        let key = KeyPair::create(&dir.path().join("a.pem")).unwrap();
        let write = |text: &str| {
            let path = dir.path().join("trust.toml");
            std::fs::write(&path, text).unwrap();
            Trust::read(&path)
        };
        let read = write("[[signer]]\nname = \"a\"\nkey = \"a.pem.pub\"").unwrap();
        assert_eq!(read.signers, [("a".to_owned(), key.public().clone())]);
        assert_eq!(Trust::read(&dir.path().join("a.pem.pub")).unwrap().threshold, 1);
        // A file with a key of another kind is not a trust file.
        let error = write("-----BEGIN PUBLIC KEY-----\nMHYw\n-----END PUBLIC KEY-----\n");
        assert!(matches!(error.unwrap_err(), Error::NoKey { .. }));
        for (text, expected) in [
            ("", "threshold is 1, but there are 0 signers"),
            ("threshold = 2\n[[signer]]\nname = \"a\"\nkey = \"a.pem.pub\"", "threshold is 2"),
            ("treshold = 2", "unknown field"),
            (
                "[[signer]]\nname = \"a\"\nkey = \"a.pem.pub\"\n[[signer]]\nname = \"b\"\nkey = \
                 \"a.pem.pub\"",
                "appears twice",
            ),
        ] {
            let error = write(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
