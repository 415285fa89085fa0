//! The configuration of a node, `node.toml` in its directory.

use std::path::{Path, PathBuf};

use fedwasm_folder::Folder;
use fedwasm_protocol::NodeId;
use fedwasm_sandbox::Limits;
use serde::{Deserialize, Serialize};

use crate::Error;

const FILE: &str = "node.toml";
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The configuration of a node.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// The node's id, unique in the federation.
    pub id: NodeId,
    /// The broker, such as `mqtt://127.0.0.1:1883`.
    pub mqtt: String,
    /// The repository, such as `http://127.0.0.1:8844`.
    pub repository: String,
    /// Whether rounds without secure aggregation are refused. Default false.
    #[serde(default)]
    pub force_secure_aggregation: bool,
    /// Whether plans run in the strict profile even if nobody asks for it. Default false.
    #[serde(default)]
    pub strict: bool,
    /// The program of workers; if none, this one, else the `fedwasm` beside it or on `PATH`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<PathBuf>,
    /// What plans may use here.
    #[serde(default)]
    pub limits: Limits,
}

impl NodeConfig {
    /// A node with the standard settings.
    pub fn new(id: NodeId, mqtt: String, repository: String) -> Self {
        Self {
            id,
            mqtt,
            repository,
            force_secure_aggregation: false,
            strict: false,
            worker: None,
            limits: Limits::default(),
        }
    }

    /// Makes the directory of a new node.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::Transport`] if an address is none,
    /// [`Error::Io`].
    pub fn create(&self, dir: &Path) -> Result<(), Error> {
        self.mqtt.parse::<fedwasm_transport::BrokerUrl>()?;
        self.repository.parse::<fedwasm_transport::RepositoryUrl>()?;
        // Scales and states follow from data: they are nobody else's.
        let folder = Folder::create_private(dir)?;
        if folder.has(FILE) {
            return Err(Error::Exists { dir: dir.to_owned() });
        }
        let text = toml::to_string_pretty(self)
            .map_err(|error| Error::Damaged { file: FILE.into(), reason: error.to_string() })?;
        Ok(folder.write(FILE, text.as_bytes())?)
    }

    /// Opens the directory of a node.
    ///
    /// # Errors
    /// [`Error::NoNode`], [`Error::Damaged`], [`Error::Io`].
    pub fn open(dir: &Path) -> Result<(Self, Folder), Error> {
        let no_node = || Error::NoNode { dir: dir.to_owned() };
        let folder = Folder::open(dir).map_err(|_| no_node())?;
        if !folder.has(FILE) {
            return Err(no_node());
        }
        let text = folder.read(FILE, FILE_BYTES_MAX)?;
        let file = || dir.join(FILE).display().to_string();
        let config: Self = toml::from_slice(&text)
            .map_err(|error| Error::Damaged { file: file(), reason: error.to_string() })?;
        let Limits { memory_bytes_max, time_ms_max, compile_ms_max, .. } = config.limits;
        for (key, value) in [
            ("memory_bytes_max", memory_bytes_max as u64),
            ("time_ms_max", time_ms_max),
            ("compile_ms_max", compile_ms_max),
        ] {
            if value == 0 {
                let reason = format!("limits.{key} is 0, with which no plan runs");
                return Err(Error::Damaged { file: file(), reason });
            }
        }
        Ok((config, folder))
    }
}
