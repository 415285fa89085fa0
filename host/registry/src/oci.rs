//! Plans in OCI registries, in the layout of the CNCF for WebAssembly: an image manifest whose one
//! layer is the component, with signatures beside it that name it as their subject (OCI
//! distribution 1.1, found by the tag `sha256-DIGEST` where a registry has no referrers).

use std::collections::BTreeMap;
use std::time::Duration;

use fedwasm_protocol::SIGNATURES_MAX;
use oci_client::Reference;
use oci_client::client::{Client, ClientConfig, ClientProtocol};
use reqwest::header::HeaderValue;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::http::{Http, digest_of};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.wasm.config.v0+json";
const LAYER: &str = "application/wasm";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// The largest manifest, in bytes.
const MANIFEST_BYTES_MAX: u64 = 4 << 20;
/// The largest signature, in bytes.
const BUNDLE_BYTES_MAX: u64 = 1 << 20;
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// The file name of a layer.
const TITLE: &str = "org.opencontainers.image.title";
/// How often signatures are listed again, should another signer do it at the same time.
const LISTINGS_MAX: usize = 3;

/// The most characters of what a registry says that are told.
const REASON_CHARS_MAX: usize = 500;

/// An error of a library below, or words of our own.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A failure of a registry.
#[derive(Debug, thiserror::Error)]
#[error("{reference}: {}", cut(reason))]
#[non_exhaustive]
pub struct Error {
    /// The requested object.
    pub reference: String,
    /// The reason.
    #[source]
    pub reason: Cause,
}

/// The beginning of what a registry says.
fn cut(reason: &Cause) -> String {
    reason.to_string().chars().take(REASON_CHARS_MAX).collect()
}

/// The plan to push.
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

/// A pulled plan. It is whole, and otherwise untrusted.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// The component.
    pub component: Vec<u8>,
    /// Sigstore bundles that name it.
    pub signatures: Vec<Vec<u8>>,
    /// The digest of the manifest.
    pub manifest: String,
}

/// The credentials for a registry.
#[derive(Clone, Debug)]
pub struct Login {
    /// The user.
    pub user: String,
    /// Its password or token.
    pub password: String,
    /// Another host to which the registry may have it sent, such as `auth.docker.io`.
    pub at: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    layers: Vec<Descriptor>,
}

/// The referrers of a manifest. Entries of others are kept as they are.
#[derive(Debug, Default, Deserialize)]
struct Index {
    manifests: Vec<Value>,
}

/// A connection to the registry of one reference.
struct Registry {
    client: Client,
    http: Http,
    reference: Reference,
}

/// Pushes a component and its signatures to `HOST[:PORT]/NAME[:TAG]`. Returns
/// the digest of the manifest. Only a registry on this machine is spoken to in the clear.
///
/// # Errors
/// [`Error`].
pub async fn push(
    reference: &str,
    artifact: Artifact,
    login: Option<Login>,
) -> Result<String, Error> {
    let registry = Registry::open(reference, "pull,push", login).await?;
    let mut layer = registry.push_blob(LAYER, artifact.component).await?;
    let name = artifact.annotations.get(TITLE).map_or("plan", String::as_str);
    layer.annotations.insert(TITLE.into(), format!("{name}.wasm"));
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
    registry.list(&own.digest, signatures).await?;
    Ok(own.digest)
}

/// Pulls a component of at most `bytes_max` bytes, and its signatures.
///
/// # Errors
/// [`Error`].
pub async fn pull(reference: &str, bytes_max: u64, login: Option<Login>) -> Result<Pulled, Error> {
    let registry = Registry::open(reference, "pull", login).await?;
    let named = &registry.reference;
    let named = named.digest().or(named.tag()).unwrap_or("latest");
    let (manifest, digest) = registry.manifest(named).await?;
    // A registry may hold other artifacts with a component in them, under other configurations.
    let layers: Vec<&Descriptor> =
        manifest.layers.iter().filter(|layer| layer.media_type == LAYER).collect();
    let layer = match layers.as_slice() {
        [layer] => layer,
        [] => return Err(registry.failed("it does not hold a WebAssembly component")),
        layers => {
            let text = format!("it holds {} WebAssembly components, expected one", layers.len());
            return Err(registry.failed(text));
        }
    };
    let component = registry.blob(layer, bytes_max).await?;
    let mut signatures = Vec::new();
    let referrers = registry.referrers(&digest).await?;
    for entry in referrers.iter().filter(|entry| is_bundle(entry)).take(SIGNATURES_MAX) {
        let digest = entry["digest"].as_str().unwrap_or_default();
        let (manifest, _) = registry.manifest(digest).await?;
        if let [layer] = manifest.layers.as_slice() {
            signatures.push(registry.blob(layer, BUNDLE_BYTES_MAX).await?);
        }
    }
    Ok(Pulled { component, signatures, manifest: digest })
}

fn is_bundle(entry: &Value) -> bool {
    entry["artifactType"] == BUNDLE
        && entry["digest"].as_str().is_some_and(|digest| digest.starts_with("sha256:"))
}

impl Registry {
    async fn open(reference: &str, actions: &str, login: Option<Login>) -> Result<Self, Error> {
        let failed =
            |reason: String| Error { reference: reference.to_owned(), reason: reason.into() };
        let parsed: Reference =
            reference.parse().map_err(|error| failed(format!("it is not a reference: {error}")))?;
        let host = parsed.resolve_registry();
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let name = name.trim_matches(['[', ']']);
        let ip: Result<std::net::IpAddr, _> = name.parse();
        let is_here = name == "localhost" || ip.is_ok_and(|ip| ip.is_loopback());
        let config = ClientConfig {
            protocol: if is_here { ClientProtocol::Http } else { ClientProtocol::Https },
            connect_timeout: Some(CONNECT_TIME_MAX),
            read_timeout: Some(SILENCE_MAX),
            user_agent: concat!("fedwasm/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let http = Http::open((host, is_here), parsed.repository(), actions, login.as_ref());
        let http = http.await.map_err(failed)?;
        let client = Client::try_from(config).map_err(|error| failed(error.to_string()))?;
        client.store_auth_if_needed(host, http.auth()).await;
        Ok(Self { client, http, reference: parsed })
    }

    /// Adds signatures to those that are listed at a manifest: others' stay.
    async fn list(&self, digest: &str, signatures: Vec<Descriptor>) -> Result<(), Error> {
        let at = self.at_tag(&referrers_tag(digest));
        for _ in 0..LISTINGS_MAX {
            let mut listed = self.listed(digest).await?;
            let is_listed = |listed: &[Value], own: &Descriptor| {
                listed.iter().any(|entry| entry["digest"] == own.digest)
            };
            let new: Vec<&Descriptor> =
                signatures.iter().filter(|own| !is_listed(&listed, own)).collect();
            if new.is_empty() {
                return Ok(());
            }
            listed.extend(new.iter().map(|own| json!(own)));
            let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": listed });
            if index.to_string().len() as u64 > MANIFEST_BYTES_MAX {
                return Err(self.failed("it already lists the maximum number of signatures"));
            }
            // Whether it is still there is seen in the next turn.
            self.push_manifest(&at, INDEX, &index).await?;
        }
        Err(self.failed("another client is listing signatures of it at the same time; push again"))
    }

    /// The referrers of a manifest.
    async fn referrers(&self, digest: &str) -> Result<Vec<Value>, Error> {
        let path = format!("referrers/{digest}");
        let found = self.http.get(&path, INDEX, MANIFEST_BYTES_MAX).await;
        match found.map_err(|error| self.failed(error))? {
            Some(index) => Ok(self.parse::<Index>(&index)?.manifests),
            None => self.listed(digest).await,
        }
    }

    /// The entries at the tag of a manifest.
    async fn listed(&self, digest: &str) -> Result<Vec<Value>, Error> {
        let tag = referrers_tag(digest);
        let found = self.http.manifest(&tag, INDEX, MANIFEST_BYTES_MAX).await;
        // The list is empty only if the registry reports that: a failure is an error.
        match found.map_err(|error| self.failed(error))? {
            Some(index) => Ok(self.parse::<Index>(&index)?.manifests),
            None => Ok(Vec::new()),
        }
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
        Ok(Descriptor { media_type: media_type.into(), digest, size, ..Descriptor::default() })
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
        Ok(Descriptor { media_type: media_type.into(), digest, size, ..Descriptor::default() })
    }

    /// A manifest and its digest, by tag or digest.
    async fn manifest(&self, named: &str) -> Result<(Manifest, String), Error> {
        let found = self.http.manifest(named, MANIFEST, MANIFEST_BYTES_MAX).await;
        let found = found.map_err(|error| self.failed(error))?;
        let bytes = found.ok_or_else(|| self.failed(format!("manifest {named} is missing")))?;
        // A digest that the registry states is not verified.
        let digest = digest_of(&bytes);
        if named.starts_with("sha256:") && named != digest {
            return Err(self.failed(format!("manifest {named} has other bytes")));
        }
        Ok((self.parse(&bytes)?, digest))
    }

    async fn blob(&self, layer: &Descriptor, bytes_max: u64) -> Result<Vec<u8>, Error> {
        if layer.size > bytes_max {
            let text = format!("a layer has {} bytes, at most {bytes_max} are read", layer.size);
            return Err(self.failed(text));
        }
        let bytes = self.http.blob(&layer.digest, layer.size).await;
        let bytes = bytes.map_err(|error| self.failed(error))?;
        match digest_of(&bytes) == layer.digest {
            true => Ok(bytes),
            false => Err(self.failed(format!("layer {} has other bytes", layer.digest))),
        }
    }

    fn parse<'de, T: Deserialize<'de>>(&self, json: &'de [u8]) -> Result<T, Error> {
        serde_json::from_slice(json).map_err(|error| self.failed(error))
    }

    fn failed(&self, reason: impl Into<Cause>) -> Error {
        Error { reference: self.reference.whole(), reason: reason.into() }
    }
}

/// The tag of a manifest's referrers, without the referrers API.
fn referrers_tag(digest: &str) -> String {
    digest.replace(':', "-")
}
