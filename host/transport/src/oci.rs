//! Plans in OCI registries, in the layout of the CNCF for WebAssembly: an image manifest whose one layer is the
//! component, with signatures beside it that name it as their subject (OCI distribution 1.1,
//! found by the tag `sha256-DIGEST` where a registry has no referrers).

use std::collections::BTreeMap;
use std::time::Duration;

use fedwasm_protocol::{Digest, SIGNATURES_MAX};
use futures_util::StreamExt as _;
use oci_client::client::{Client, ClientConfig, ClientProtocol};
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};
use reqwest::header::HeaderValue;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Error;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.wasm.config.v0+json";
const LAYER: &str = "application/wasm";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// The largest manifest, in bytes.
const MANIFEST_BYTES_MAX: usize = 4 << 20;
/// The largest signature, in bytes.
const BUNDLE_BYTES_MAX: u64 = 1 << 20;
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// What is pushed.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// The component.
    pub component: Vec<u8>,
    /// Interfaces that it imports.
    pub imports: Vec<String>,
    /// Interfaces that it exports.
    pub exports: Vec<String>,
    /// `org.opencontainers.image.*`.
    pub annotations: BTreeMap<String, String>,
    /// Sigstore bundles about it.
    pub signatures: Vec<Vec<u8>>,
}

/// What was pulled. Nothing of it is trusted but that it is whole.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// The component.
    pub component: Vec<u8>,
    /// Sigstore bundles that name it.
    pub signatures: Vec<Vec<u8>>,
    /// The digest of the manifest.
    pub manifest: String,
}

/// Who asks a registry.
#[derive(Clone, Debug)]
pub struct Login {
    /// The user.
    pub user: String,
    /// Its password or token.
    pub password: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Debug, Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

/// A connection to the registry of one reference.
struct Registry {
    client: Client,
    auth: RegistryAuth,
    reference: Reference,
}

/// Pushes a component and its signatures to `HOST[:PORT]/NAME[:TAG]`. Returns
/// the digest of the manifest. Only a registry on this machine is spoken to in the clear.
///
/// # Errors
/// [`Error::Registry`].
pub async fn push(
    reference: &str,
    artifact: Artifact,
    login: Option<Login>,
) -> Result<String, Error> {
    let registry = Registry::open(reference, login)?;
    registry.authenticate(RegistryOperation::Push).await?;
    let layer = registry.push_blob(LAYER, artifact.component).await?;
    let config = json!({
        // Nothing that could differ from one machine to the next.
        "created": "1970-01-01T00:00:00Z",
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [layer.digest],
        "component": { "imports": artifact.imports, "exports": artifact.exports, "target": null },
    });
    let config = registry.push_blob(CONFIG, config.to_string().into_bytes()).await?;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer],
        "annotations": artifact.annotations,
    });
    let own = registry.push_manifest(&registry.reference, MANIFEST, &manifest).await?;
    let mut signatures = Vec::new();
    for bundle in artifact.signatures.into_iter().take(SIGNATURES_MAX) {
        let empty = registry.push_blob(EMPTY, b"{}".to_vec()).await?;
        let layer = registry.push_blob(BUNDLE, bundle).await?;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": BUNDLE, "config": empty,
            "layers": [layer], "subject": own,
        });
        let digest = digest_of(manifest.to_string().as_bytes());
        let at = registry.at_digest(&digest);
        let pushed = registry.push_manifest(&at, MANIFEST, &manifest).await?;
        signatures.push(Descriptor { artifact_type: Some(BUNDLE.into()), ..pushed });
    }
    if !signatures.is_empty() {
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": signatures });
        let at = registry.at_tag(&referrers_tag(&own.digest));
        registry.push_manifest(&at, INDEX, &index).await?;
    }
    Ok(own.digest)
}

/// Pulls a component of at most `bytes_max` bytes, and its signatures.
///
/// # Errors
/// [`Error::Registry`].
pub async fn pull(reference: &str, bytes_max: u64, login: Option<Login>) -> Result<Pulled, Error> {
    let registry = Registry::open(reference, login)?;
    let (manifest, digest) = registry.manifest(&registry.reference, MANIFEST).await?;
    let manifest: Manifest = registry.parse(&manifest)?;
    let layer = match manifest.layers.as_slice() {
        [layer] if layer.media_type == LAYER && manifest.config.media_type == CONFIG => layer,
        _ => return Err(registry.failed("it holds no WebAssembly component")),
    };
    let component = registry.blob(layer, bytes_max).await?;
    let mut signatures = Vec::new();
    let at = registry.at_tag(&referrers_tag(&digest));
    if let Ok((index, _)) = registry.manifest(&at, INDEX).await {
        let index: Index = registry.parse(&index)?;
        let is_bundle = |entry: &&Descriptor| entry.artifact_type.as_deref() == Some(BUNDLE);
        for entry in index.manifests.iter().filter(is_bundle).take(SIGNATURES_MAX) {
            let at = registry.at_digest(&entry.digest);
            let (manifest, _) = registry.manifest(&at, MANIFEST).await?;
            let manifest: Manifest = registry.parse(&manifest)?;
            if let [layer] = manifest.layers.as_slice() {
                signatures.push(registry.blob(layer, BUNDLE_BYTES_MAX).await?);
            }
        }
    }
    Ok(Pulled { component, signatures, manifest: digest })
}

impl Registry {
    fn open(reference: &str, login: Option<Login>) -> Result<Self, Error> {
        let failed = |reason: String| Error::Registry { reference: reference.to_owned(), reason };
        let parsed: Reference =
            reference.parse().map_err(|error| failed(format!("no reference: {error}")))?;
        let host = parsed.resolve_registry();
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let name = name.trim_matches(['[', ']']);
        let ip: Result<std::net::IpAddr, _> = name.parse();
        let is_here = name == "localhost" || ip.is_ok_and(|ip| ip.is_loopback());
        // Only the first call does anything.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = ClientConfig {
            protocol: if is_here { ClientProtocol::Http } else { ClientProtocol::Https },
            connect_timeout: Some(CONNECT_TIME_MAX),
            read_timeout: Some(SILENCE_MAX),
            user_agent: concat!("fedwasm/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let client = Client::try_from(config).map_err(|error| failed(error.to_string()))?;
        let auth = match login {
            Some(Login { user, password }) => RegistryAuth::Basic(user, password),
            None => RegistryAuth::Anonymous,
        };
        Ok(Self { client, auth, reference: parsed })
    }

    async fn authenticate(&self, operation: RegistryOperation) -> Result<(), Error> {
        let done = self.client.auth(&self.reference, &self.auth, operation).await;
        done.map(drop).map_err(|error| self.failed(error))
    }

    fn at_tag(&self, tag: &str) -> Reference {
        let (registry, repository) = (self.reference.registry(), self.reference.repository());
        Reference::with_tag(registry.to_owned(), repository.to_owned(), tag.to_owned())
    }

    fn at_digest(&self, digest: &str) -> Reference {
        let (registry, repository) = (self.reference.registry(), self.reference.repository());
        Reference::with_digest(registry.to_owned(), repository.to_owned(), digest.to_owned())
    }

    async fn push_blob(&self, media_type: &str, bytes: Vec<u8>) -> Result<Descriptor, Error> {
        let (digest, size) = (digest_of(&bytes), bytes.len() as u64);
        let pushed = self.client.push_blob(&self.reference, bytes, &digest).await;
        pushed.map_err(|error| self.failed(error))?;
        Ok(Descriptor { media_type: media_type.into(), digest, size, artifact_type: None })
    }

    async fn push_manifest(
        &self,
        at: &Reference,
        media_type: &'static str,
        manifest: &Value,
    ) -> Result<Descriptor, Error> {
        let bytes = manifest.to_string().into_bytes();
        let (digest, size) = (digest_of(&bytes), bytes.len() as u64);
        let kind = HeaderValue::from_static(media_type);
        let pushed = self.client.push_manifest_raw(at, bytes, kind).await;
        pushed.map_err(|error| self.failed(error))?;
        Ok(Descriptor { media_type: media_type.into(), digest, size, artifact_type: None })
    }

    async fn manifest(&self, at: &Reference, media_type: &str) -> Result<(Vec<u8>, String), Error> {
        let pulled = self.client.pull_manifest_raw(at, &self.auth, &[media_type]).await;
        let (bytes, _) = pulled.map_err(|error| self.failed(error))?;
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(self.failed("its manifest is too large"));
        }
        // The registry's word for a digest is no digest.
        let digest = digest_of(&bytes);
        match at.digest() {
            Some(asked) if asked != digest => {
                Err(self.failed(format!("manifest {asked} has other bytes")))
            }
            _ => Ok((bytes.to_vec(), digest)),
        }
    }

    async fn blob(&self, layer: &Descriptor, bytes_max: u64) -> Result<Vec<u8>, Error> {
        if layer.size > bytes_max {
            let text = format!("a layer of {} bytes, at most {bytes_max} are read", layer.size);
            return Err(self.failed(text));
        }
        let pulled = self.client.pull_blob_stream(&self.reference, layer.digest.as_str()).await;
        let mut stream = pulled.map_err(|error| self.failed(error))?.stream;
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.next().await {
            bytes.extend_from_slice(&chunk.map_err(|error| self.failed(error))?);
            if bytes.len() as u64 > layer.size {
                return Err(self.failed("a layer is longer than announced"));
            }
        }
        match digest_of(&bytes) == layer.digest {
            true => Ok(bytes),
            false => Err(self.failed(format!("layer {} has other bytes", layer.digest))),
        }
    }

    fn parse<'de, T: Deserialize<'de>>(&self, json: &'de [u8]) -> Result<T, Error> {
        serde_json::from_slice(json).map_err(|error| self.failed(error))
    }

    fn failed(&self, reason: impl std::fmt::Display) -> Error {
        let reason = reason.to_string().chars().take(500).collect();
        Error::Registry { reference: self.reference.whole(), reason }
    }
}

fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", Digest::of(bytes))
}

/// Where what refers to a manifest is found without the referrers API.
fn referrers_tag(digest: &str) -> String {
    digest.replace(':', "-")
}
