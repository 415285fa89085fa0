//! The configuration of a node, `node.toml` in its directory.

use std::path::{Path, PathBuf};

use fedwasm_folder::Folder;
use fedwasm_protocol::{FileMistakes, Mistake, NodeId, Participant, Place, THREADS_MAX};
use fedwasm_sandbox::Limits;
use fedwasm_trust::{Identity, KeyPair};
use serde::{Deserialize, Serialize};

use crate::{ApprovalConfig, Error, Privacy};

const FILE: &str = "node.toml";
/// The key of the node's operator for decisions on plans, unless it is stored elsewhere.
pub const OPERATOR_KEY: &str = "operator.pem";
/// The node's key and its membership.
const IDENTITY: &str = "identity";
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
    /// Whether plans run in the strict profile even if the experiment does not ask for it. Default
    /// false.
    #[serde(default)]
    pub strict: bool,
    /// The program of workers; if none, this one, else the `fedwasm` beside it or on `PATH`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<PathBuf>,
    /// Seconds from one look at the federation's roster to the next: so long
    /// a revoked key may still count. Default 30.
    #[serde(default = "thirty")]
    pub roster_refresh_s: u64,
    /// The oldest roster that is accepted, in seconds since its authority signed it; by default the
    /// age that the authority allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roster_age_max_s: Option<u64>,
    /// The most bytes of inputs of earlier runs that are kept to run them again. Default 4 GiB.
    #[serde(default = "four_gib")]
    pub inputs_bytes_max: u64,
    /// The most bytes that are kept of experiments: node states and scales. One researcher may
    /// have a quarter; the oldest experiments go first. Default 8 GiB.
    #[serde(default = "eight_gib")]
    pub experiments_bytes_max: u64,
    /// Bytes of the disk that rounds leave free, so that the log can always be written. Default
    /// 256 MiB.
    #[serde(default = "quarter_gib")]
    pub free_bytes_min: u64,
    /// Seconds that a round is worked for without a sign of life from its researcher. Default 120.
    #[serde(default = "two_minutes")]
    pub lease_s: u64,
    /// Rounds that run at once, each of another researcher. Default 2.
    #[serde(default = "two")]
    pub rounds_max: usize,
    /// Seconds that a round runs at least while another researcher's cannot begin. Default 600.
    #[serde(default = "ten_minutes")]
    pub turn_s: u64,
    /// The most seconds of a whole round, regardless of its deadline. Default three hours.
    #[serde(default = "three_hours")]
    pub round_s_max: u64,
    /// The most MiB of a dataset that are kept in memory: the largest `memory_mib` of an
    /// experiment. Data of two rounds are kept at once. Default 1,024.
    #[serde(default = "one_gib")]
    pub memory_mib_max: u64,
    /// Which plans may run here.
    pub approval: ApprovalConfig,
    /// What leaves this node: the fewest rows behind a number, and differential privacy.
    #[serde(default)]
    pub privacy: Privacy,
    /// The limits of plans here.
    #[serde(default)]
    pub limits: Limits,
}

fn four_gib() -> u64 {
    4 << 30
}

fn eight_gib() -> u64 {
    8 << 30
}

fn quarter_gib() -> u64 {
    256 << 20
}

fn two_minutes() -> u64 {
    120
}

fn two() -> usize {
    2
}

fn ten_minutes() -> u64 {
    600
}

fn three_hours() -> u64 {
    10_800
}

fn one_gib() -> u64 {
    1_024
}

fn thirty() -> u64 {
    30
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
            roster_refresh_s: thirty(),
            roster_age_max_s: None,
            inputs_bytes_max: four_gib(),
            experiments_bytes_max: eight_gib(),
            free_bytes_min: quarter_gib(),
            lease_s: two_minutes(),
            rounds_max: two(),
            turn_s: ten_minutes(),
            round_s_max: three_hours(),
            memory_mib_max: one_gib(),
            approval: ApprovalConfig::default(),
            privacy: Privacy::default(),
            limits: Limits::default(),
        }
    }

    /// Makes the directory of a new node, with a key of its own, and one of its operator unless
    /// that is given.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::Transport`] if an address is malformed,
    /// [`Error::Trust`], [`Error::Io`].
    pub fn create(&mut self, dir: &Path) -> Result<Identity, Error> {
        self.mqtt.parse::<fedwasm_transport::BrokerUrl>()?;
        self.repository.parse::<fedwasm_transport::RepositoryUrl>()?;
        // Scales and states follow from data: they are this user's alone.
        let folder = Folder::create_private(dir)?;
        if folder.has(FILE) {
            return Err(Error::Exists { dir: dir.to_owned() });
        }
        if self.approval.operator.is_none() {
            let operator = KeyPair::create(&dir.join(OPERATOR_KEY))?;
            self.approval.operator = Some(operator.public().clone());
        }
        let text = toml::to_string_pretty(self)
            .map_err(|source| Error::Malformed { file: FILE.into(), source: source.into() })?;
        let who = Participant::node(&self.id);
        let identity = Identity::open_or_create(&dir.join(IDENTITY), |_| who)?;
        folder.write(FILE, text.as_bytes())?;
        Ok(identity)
    }

    /// Opens the key of the node in `dir`.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it is another node's, [`Error::Trust`].
    pub fn identity(&self, dir: &Path) -> Result<Identity, Error> {
        let dir = dir.join(IDENTITY);
        let who = Participant::node(&self.id);
        // Never created here: a key that is not enrolled would only hide that the old one is gone.
        let identity = Identity::open(&dir)?;
        if identity.participant != who {
            let reason = format!("the key of {}", identity.participant);
            return Err(Error::damaged(dir.display().to_string(), reason));
        }
        Ok(identity)
    }

    /// Opens the directory of a node.
    ///
    /// # Errors
    /// [`Error::NoNode`], [`Error::File`] with what is wrong in it, [`Error::Io`].
    pub fn open(dir: &Path) -> Result<(Self, Folder), Error> {
        let no_node = || Error::NoNode { dir: dir.to_owned() };
        let folder = Folder::open(dir).map_err(|_| no_node())?;
        if !folder.has(FILE) {
            return Err(no_node());
        }
        let path = dir.join(FILE);
        let text = String::from_utf8(folder.read(FILE, FILE_BYTES_MAX)?);
        let text = text.map_err(|_| FileMistakes::not_utf8(&path))?;
        let config: Self = match toml::from_str(&text) {
            Ok(config) => config,
            Err(error) => return Err(FileMistakes::of_toml(&path, text, &error).into()),
        };
        let Limits { memory_bytes_max, time_ms_max, compile_ms_max, .. } = config.limits;
        let limits = [
            ("limits.memory_bytes_max", memory_bytes_max as u64),
            ("limits.time_ms_max", time_ms_max),
            ("limits.compile_ms_max", compile_ms_max),
        ];
        let zeros = limits.into_iter().filter(|(_, value)| *value == 0);
        let mistakes = zeros.map(|(field, _)| Mistake {
            place: Place::Value(field.into()),
            message: format!("{field} is 0, with which no plan runs"),
        });
        let threads = config.limits.threads;
        let is_wrong = !(1..=THREADS_MAX).contains(&threads);
        let mistakes = mistakes.chain(is_wrong.then(|| Mistake {
            place: Place::Value("limits.threads".into()),
            message: format!("limits.threads is {threads}, expected 1 to {THREADS_MAX}"),
        }));
        let floors = config.privacy.mistakes().into_iter().map(|(field, rule)| {
            let message = format!("{field} {rule}");
            Mistake { place: Place::Value(field), message }
        });
        match mistakes.chain(floors).collect::<Vec<_>>() {
            mistakes if mistakes.is_empty() => Ok((config, folder)),
            mistakes => Err(FileMistakes::new(&path, text, mistakes).into()),
        }
    }
}
