//! `fedwasm network`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use fedwasm_folder::Folder;
use fedwasm_hub::{
    Broker, Bucket, PruneOptions, Pruned, QUOTA_BYTES, RepositoryOptions, RepositoryServer, Store,
    raise_open_files,
};
use fedwasm_protocol::{ExperimentId, Participant, ParticipantName, Role};
use fedwasm_transport::announce;
use fedwasm_trust::{Authority, Entry, PublicKey, Standing};
use serde_json::{Value, json};

use crate::columns::Columns;
use crate::command_error::{CommandError, USAGE};
use crate::commands::mosquitto;
use crate::printer::Printer;
use crate::stop::{stop_signal, stopped};

/// The repository's own directory.
const BLOBS: &str = "blobs";
/// The directory of the federation's authority.
const FEDERATION: &str = "federation";
/// The default directory of a network.
const DIR: &str = "fedwasm-network";
/// How often a server signs the roster again, so that members know that it is of now.
const RENEWAL_PAUSE: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The days without a new blob after which an experiment is over.
const IDLE_DAYS: u32 = 30;

/// Found a federation, enrol its participants, and run its broker and repository.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Found a federation with certificates, for more than one machine.
    Init {
        /// The network's directory.
        #[arg(long, default_value = DIR)]
        dir: PathBuf,
        /// The federation's name for people.
        #[arg(long, default_value = "federation")]
        name: String,
        /// Names and addresses under which broker and repository are reached,
        /// separated by commas.
        #[arg(long, value_delimiter = ',', required = true)]
        host: Vec<String>,
        /// The port of mosquitto in the configuration that is written.
        #[arg(long, default_value_t = 8883)]
        mosquitto_port: u16,
    },
    /// Enrol a participant: put its public key on the roster.
    Enrol {
        /// The network's directory.
        #[arg(long, default_value = DIR)]
        dir: PathBuf,
        /// Its role.
        #[arg(long, value_enum)]
        role: RoleArg,
        /// Its name, unique in its role.
        #[arg(long)]
        id: ParticipantName,
        /// Its public key, a PEM file.
        #[arg(long)]
        key: PathBuf,
        /// The file for its membership, which it needs to join; it is not secret.
        #[arg(short)]
        output: Option<PathBuf>,
    },
    /// Revoke a participant's key.
    Revoke {
        /// The network's directory.
        #[arg(long, default_value = DIR)]
        dir: PathBuf,
        /// Its role.
        #[arg(long, value_enum)]
        role: RoleArg,
        /// Its name.
        #[arg(long)]
        id: ParticipantName,
    },
    /// Sign the roster again where `network start` cannot, because the authority's key is kept
    /// elsewhere. Members refuse a roster that is too old, since it lacks later revocations.
    Renew {
        /// The network's directory.
        #[arg(long, default_value = DIR)]
        dir: PathBuf,
        /// Days that the roster is valid [default: as many as before, at first 7].
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: Option<u32>,
    },
    /// Show the participants and their keys.
    Members {
        /// The network's directory.
        #[arg(long, default_value = DIR)]
        dir: PathBuf,
    },
    /// Serve until Ctrl-C; prints one line with the addresses when ready.
    Start {
        /// The directory of the repository's blobs and the federation's keys.
        #[arg(long, default_value = DIR)]
        dir: PathBuf,
        /// The broker's address; port 0 takes a free port, `off` starts no broker.
        #[arg(long, default_value = "127.0.0.1:1883")]
        mqtt: MqttAddress,
        /// The repository's address; port 0 takes a free port.
        #[arg(long, default_value = "127.0.0.1:8844")]
        http: SocketAddr,
        /// Keep blobs in S3, `s3://BUCKET/PREFIX`, and not in the directory. Several networks may
        /// share a bucket. Endpoint, region and credentials are those of the environment: AWS_*.
        #[arg(long)]
        store: Option<Bucket>,
        /// The most bytes that each participant may store.
        #[arg(long, default_value_t = QUOTA_BYTES)]
        quota_bytes: u64,
        /// Every hour the blobs of finished experiments are deleted, and of those without a new
        /// blob for this many days; 0: of finished ones alone.
        #[arg(long, default_value_t = IDLE_DAYS)]
        idle_days: u32,
        /// If all blobs have more bytes than this together, also of the experiments without a new
        /// one for longest, and for a day.
        #[arg(long)]
        keep_bytes: Option<u64>,
        /// Stop when standard input ends.
        #[arg(long, hide = true)]
        exit_with_stdin: bool,
    },
    /// Delete the blobs of finished experiments and the remains of interrupted uploads; the
    /// repository may be running.
    Prune {
        /// The directory of the repository's blobs.
        #[arg(long, default_value = DIR)]
        dir: PathBuf,
        /// The bucket in which the repository keeps blobs instead, `s3://BUCKET/PREFIX`.
        #[arg(long, conflicts_with = "dir")]
        store: Option<Bucket>,
        /// Also treat experiments without a new blob for this many days as finished, because their
        /// researcher was killed.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        idle_days: Option<u32>,
        /// Also treat the experiment with this id as finished. May be repeated.
        #[arg(long)]
        experiment: Vec<ExperimentId>,
    },
}

/// The rules of the repository about its room.
struct Rules {
    quota_bytes: u64,
    prune: PruneOptions,
}

/// The role of a participant.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RoleArg {
    /// Asks nodes to train.
    Researcher,
    /// Has data, and trains.
    Node,
    /// Decides at a node which plans may run.
    Operator,
    /// Signs plans.
    Signer,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Researcher => Self::Researcher,
            RoleArg::Node => Self::Node,
            RoleArg::Operator => Self::Operator,
            RoleArg::Signer => Self::Signer,
        }
    }
}

/// The address of the embedded broker, if it serves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MqttAddress(Option<SocketAddr>);

impl std::str::FromStr for MqttAddress {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self(None)),
            text => Ok(Self(Some(text.parse()?))),
        }
    }
}

pub(crate) async fn run(command: Command, printer: &Printer) -> Result<(), CommandError> {
    match command {
        Command::Init { dir, name, host, mosquitto_port } => {
            init(&dir, &name, &host, mosquitto_port, printer)
        }
        Command::Enrol { dir, role, id, key, output } => {
            enrol(&dir, &Participant::new(role.into(), id), &key, output, printer)
        }
        Command::Revoke { dir, role, id } => {
            revoke(&dir, &Participant::new(role.into(), id), printer)
        }
        Command::Renew { dir, days } => renew(&dir, days, printer),
        Command::Members { dir } => members(&dir, printer),
        Command::Start {
            dir,
            mqtt,
            http,
            store,
            quota_bytes,
            idle_days,
            keep_bytes,
            exit_with_stdin,
        } => {
            let stop = stopped(stop_signal(exit_with_stdin)?);
            let idle = (idle_days > 0).then(|| DAY * idle_days);
            let prune = PruneOptions { idle, bytes_max: keep_bytes, ..PruneOptions::default() };
            let rules = Rules { quota_bytes, prune };
            start(&dir, store.as_ref(), (mqtt, http, rules), printer, stop).await
        }
        Command::Prune { dir, store, idle_days, experiment } => {
            let idle = idle_days.map(|days| DAY * days);
            let store = match store {
                Some(bucket) => Store::s3(&bucket).await?,
                None => existing(&dir)?,
            };
            let options = PruneOptions { idle, experiments: experiment, ..PruneOptions::default() };
            prune(&store, &options, printer).await
        }
    }
}

fn init(
    dir: &Path,
    name: &str,
    hosts: &[String],
    port: u16,
    printer: &Printer,
) -> Result<(), CommandError> {
    // Other users may reach the broker's directory; the federation's is private.
    std::fs::create_dir_all(dir)?;
    let home = dir.join(FEDERATION);
    let authority = Authority::create_with_tls(&home, name, hosts)?;
    let conf = mosquitto::write(dir, &authority, port)?;
    let (federation, fingerprint) = (authority.federation(), authority.public().fingerprint());
    printer.line(format!("federation {name} ({federation})"));
    printer.line(format!("authority  {fingerprint}"));
    printer.line(format!("keys       {}", home.display()));
    printer.line("           the whole federation trusts its key: keep it secret");
    printer.line(format!("mosquitto  {}", conf.display()));
    printer.line("next       fedwasm network enrol, once for each participant's public key");
    printer.event(
        "result",
        &json!({ "federation": federation, "fingerprint": fingerprint, "dir": dir }),
    );
    Ok(())
}

fn enrol(
    dir: &Path,
    who: &Participant,
    key: &Path,
    output: Option<PathBuf>,
    printer: &Printer,
) -> Result<(), CommandError> {
    let home = dir.join(FEDERATION);
    let authority = Authority::open(&home)?;
    let key = PublicKey::read_public(key)?;
    let membership = authority.enrol(who, &key)?;
    mosquitto::update(dir, &authority)?;
    let path = output.unwrap_or_else(|| format!("{who}.membership.json").into());
    let json = serde_json::to_vec_pretty(&membership).unwrap_or_default();
    fedwasm_folder::write_file(&path, &json)?;
    let fingerprint = key.fingerprint();
    printer.line(format!("enrolled   {who}"));
    printer.line(format!("key        {fingerprint}"));
    printer.line(
        "           have the owner read it to you over another channel than that of the file",
    );
    printer.line(format!("membership {} (not secret: send it to the participant)", path.display()));
    let fields = json!({ "participant": who, "fingerprint": fingerprint, "path": path });
    printer.event("result", &fields);
    Ok(())
}

fn revoke(dir: &Path, who: &Participant, printer: &Printer) -> Result<(), CommandError> {
    let authority = Authority::open(&dir.join(FEDERATION))?;
    let fingerprint = authority.revoke(who)?.fingerprint();
    mosquitto::update(dir, &authority)?;
    printer.line(format!("revoked    {who}, key {fingerprint}"));
    printer.line("           nodes learn of it within their `roster_refresh_s`");
    printer.event("result", &json!({ "participant": who, "fingerprint": fingerprint }));
    Ok(())
}

fn renew(dir: &Path, days: Option<u32>, printer: &Printer) -> Result<(), CommandError> {
    let authority = Authority::open(&dir.join(FEDERATION))?;
    let roster = authority.renew(days.map(|days| DAY * days))?;
    let validity = Duration::from_millis(roster.expires_ms.saturating_sub(roster.issued_ms));
    let days = validity.as_secs() / DAY.as_secs();
    printer.line(format!("roster     number {}, counts for {days} days from now", roster.serial));
    printer.line(format!("           {}", dir.join(FEDERATION).join("roster.json").display()));
    printer.event(
        "result",
        &json!({
            "serial": roster.serial, "issued_ms": roster.issued_ms,
            "expires_ms": roster.expires_ms,
        }),
    );
    Ok(())
}

fn members(dir: &Path, printer: &Printer) -> Result<(), CommandError> {
    let authority = Authority::open(&dir.join(FEDERATION))?;
    let (roster, key) = (authority.roster()?, authority.public().fingerprint());
    printer.line(format!("federation {} ({})", roster.name, roster.federation));
    printer.line(format!("authority  {key}"));
    let standing = match roster.standing(fedwasm_transport::now_ms(), Duration::MAX) {
        Standing::Fresh => "",
        Standing::Ageing { .. } => ", which is getting old: run `fedwasm network renew`",
        Standing::Expired { .. } => ", too old for members: run `fedwasm network renew`",
    };
    printer.line(format!("roster     number {}{standing}", roster.serial));
    let (mut rows, mut all) = (Vec::new(), Vec::new());
    for Entry { participant, key, revoked_ms } in &roster.entries {
        let fingerprint = key.fingerprint();
        let standing = if revoked_ms.is_some() { " revoked" } else { "" };
        rows.push(vec![participant.to_string(), fingerprint.to_string(), standing.to_owned()]);
        all.push(json!({
            "participant": participant, "fingerprint": fingerprint, "revoked_ms": revoked_ms,
        }));
    }
    Columns::new(1).left(24).left(0).left(0).print(&rows, printer);
    printer.event(
        "result",
        &json!({
            "federation": roster.federation, "name": roster.name, "serial": roster.serial,
            "issued_ms": roster.issued_ms, "expires_ms": roster.expires_ms,
            "authority": key, "members": all,
        }),
    );
    Ok(())
}

async fn start(
    dir: &Path,
    bucket: Option<&Bucket>,
    (mqtt, http, Rules { quota_bytes, prune }): (MqttAddress, SocketAddr, Rules),
    printer: &Printer,
    stop: impl Future<Output = ()>,
) -> Result<(), CommandError> {
    let here = Folder::create(dir)?;
    let Some(_lock) = here.lock_itself()? else {
        let text = format!(
            "{}: another `fedwasm network start` serves this directory; stop that process, or give \
             this one another --dir",
            dir.display()
        );
        return Err(CommandError::new(USAGE, text));
    };
    let open_files = raise_open_files();
    tracing::info!("{open_files} files may be open");
    let home = dir.join(FEDERATION);
    let authority = Arc::new(match Authority::exists(&home) {
        true => Authority::open(&home)?,
        false => Authority::create(&home, "federation")?,
    });
    let store = match bucket {
        Some(bucket) => Store::s3(bucket).await?,
        None => {
            let blobs = dir.join(BLOBS);
            // Better now than after an hour of training.
            Folder::create(&blobs)?.check_writable()?;
            Store::files(&blobs)?
        }
    };
    let renewal = tokio::spawn(renew_again(Arc::clone(&authority)));
    let repository = RepositoryServer::start(RepositoryOptions {
        address: http,
        store,
        authority: Arc::clone(&authority),
        quota_bytes,
        prune,
    });
    let repository = repository.await?;
    let broker = match mqtt.0 {
        Some(address) => match Broker::start(address, &authority).await {
            Ok(broker) => Some(broker),
            Err(error) => {
                repository.stop().await;
                return Err(error.into());
            }
        },
        None => None,
    };
    let s = if authority.has_tls() { "s" } else { "" };
    let url = format!("http{s}://{}", repository.address());
    let mqtt = broker.as_ref().map(|broker| format!("mqtt{s}://{}", broker.address()));
    if let Some(mqtt) = mqtt.as_ref().filter(|_| !authority.has_tls()) {
        announce(&mqtt.parse()?, &url.parse()?).await?;
    }
    let fields: Value = json!({
        "mqtt": mqtt, "repository": url, "federation": authority.federation(),
    });
    printer.always("ready", &fields);
    stop.await;
    renewal.abort();
    if let Some(broker) = broker {
        broker.stop().await;
    }
    repository.stop().await;
    Ok(())
}

/// Signs the roster regularly, unless the key is elsewhere.
async fn renew_again(authority: Arc<Authority>) {
    loop {
        if authority.can_sign() {
            let authority = Arc::clone(&authority);
            let renewed = tokio::task::spawn_blocking(move || authority.renew(None)).await;
            match renewed {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::error!("the roster could not be signed again: {error}"),
                Err(error) => tracing::error!("the roster could not be signed again: {error}"),
            }
        } else if let Ok(roster) = authority.current_roster()
            && !matches!(
                roster.standing(fedwasm_transport::now_ms(), Duration::MAX),
                Standing::Fresh
            )
        {
            tracing::warn!(
                "the roster is getting old: run `fedwasm network renew` on the machine with the \
                 authority's key, and copy roster.json"
            );
        }
        tokio::time::sleep(RENEWAL_PAUSE).await;
    }
}

/// The blobs of a network's directory.
fn existing(dir: &Path) -> Result<Store, CommandError> {
    let blobs = dir.join(BLOBS);
    if !blobs.is_dir() {
        let message = format!("{} does not hold a repository", dir.display());
        return Err(CommandError::new(USAGE, message));
    }
    Ok(Store::files(&blobs)?)
}

async fn prune(
    store: &Store,
    options: &PruneOptions,
    printer: &Printer,
) -> Result<(), CommandError> {
    let Pruned { experiments, blobs, bytes, unfinished } =
        fedwasm_hub::prune(store, options).await?;
    printer.line(format!(
        "deleted {blobs} blobs of {experiments} finished experiments, {bytes} bytes; those of \
         {unfinished} unfinished experiments stay"
    ));
    if unfinished > 0 {
        printer.line("for experiments that were killed: --idle-days N, or --experiment ID");
    }
    printer.event("result", &json!({ "experiments": experiments, "blobs": blobs, "bytes": bytes }));
    Ok(())
}
