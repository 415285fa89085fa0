//! The loop that owns the node's connection: every event goes to the handler, which decides.

use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fedwasm_folder::Folder;
use fedwasm_sandbox::Sandbox;
use fedwasm_transport::{BrokerUrl, Incoming, Link, LinkOptions, Repository, join, now_ms};
use fedwasm_trust::{Member, Standing};
use serde_json::json;
use tokio::sync::{Notify, Semaphore};

use crate::approval::Approvals;
use crate::ask::Clerk;
use crate::compiler::{self, Compiler, profile};
use crate::executor::Executor;
use crate::handler::{DEADLINE_MAX, Event, Handler, Rules};
use crate::perform::{Performer, Rival, now};
use crate::reach::reach;
use crate::receipt::Receipts;
use crate::round::Workshop;
use crate::secagg::{Again, Summer, Sums};
use crate::statistics::Statistician;
use crate::{Database, Datasets, Error, NodeConfig};

/// Serves the node in `dir` until `stop` resolves. `ready` is called once,
/// when researchers can find it.
///
/// # Errors
/// [`Error`]; a node that serves stops with one only if its id is taken.
pub async fn serve(
    dir: &Path,
    ready: impl FnOnce(&NodeConfig),
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    serve_in(None, dir, ready, stop).await
}

/// As [`serve`], over a connection and in a sandbox of the caller's own instead of those that the
/// configuration names: another network, such as one in memory.
///
/// # Errors
/// As [`serve`].
pub async fn serve_on(
    (link, sandbox): (LinkOptions, Sandbox),
    dir: &Path,
    ready: impl FnOnce(&NodeConfig),
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    serve_in(Some((link, sandbox)), dir, ready, stop).await
}

async fn serve_in(
    given: Option<(LinkOptions, Sandbox)>,
    dir: &Path,
    ready: impl FnOnce(&NodeConfig),
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    let (config, folder) = NodeConfig::open(dir)?;
    // It holds the openings of commitments, and scales and states that follow from rows.
    folder.check_private()?;
    let running = || Error::Running { id: config.id.clone(), dir: dir.to_owned() };
    let _lock = folder.lock("lock")?.ok_or_else(running)?;
    let folder = Arc::new(folder);
    Datasets::load(&folder)?;
    let mut stop = std::pin::pin!(stop);
    let (options, sandbox) = match given {
        Some((options, sandbox)) => (Some(options), sandbox.with_profile(profile(&config))),
        None => {
            let sandbox = sandbox(&config, dir).await?;
            (take_part(&config, dir, &mut stop).await?, sandbox)
        }
    };
    let Some(options) = options else { return Ok(()) };
    let LinkOptions { member, repository, .. } = options.clone();
    check_member(&config, &member)?;
    let (database, approvals) = registry(&config, dir, &member)?;
    let connected = reach(&mut stop, || {
        let options = options.clone();
        async move { Ok(Link::connect(options).await?) }
    });
    let Some(link) = connected.await? else { return Ok(()) };
    let compiler = Compiler::new(sandbox.clone(), config.limits.clone());
    let sums = Sums::new(
        config.id.clone(),
        Arc::clone(&member),
        database.clone(),
        config.privacy.clone(),
        config.force_secure_aggregation,
    );
    let executor = executor(
        &config,
        &folder,
        workshop(&config, sandbox, &database),
        (&repository, &compiler, &approvals),
        (&database, &sums, &member),
    );
    let statistician = statistician(&config, &folder, &repository, &database);
    let clerk = Clerk {
        approvals,
        database,
        repository: repository.clone(),
        compiler: compiler.clone(),
        expecting: Arc::new(Semaphore::new(1)),
    };
    let summer = Summer { sums, repository: repository.clone(), member: Arc::clone(&member) };
    let pause = Duration::from_secs(config.roster_refresh_s.max(1));
    let refresh = tokio::spawn(refresh_roster(repository, Arc::clone(&member), pause));
    ready(&config);
    let handler = Handler::new(Rules::of(&config), link.sender().me().session, now());
    let answers = (clerk, summer, statistician);
    let mut performer = Performer::new(handler, folder, executor, answers, link.sender());
    let later = tokio::spawn(performer.write_later());
    let (result, link) = run(&mut performer, link, &member, stop).await;
    // Our farewell told the researchers not to wait for running rounds.
    let _ = performer.feed(Event::Leaving).await;
    compiler.stop();
    leave(&mut performer, link).await;
    [refresh, later].iter().for_each(tokio::task::JoinHandle::abort);
    result.map_err(|end| match end {
        Stopped::Rival => Error::Copy { id: config.id.clone(), dir: dir.to_owned() },
        Stopped::Closed(error) => error.into(),
    })
}

fn statistician(
    config: &NodeConfig,
    folder: &Arc<Folder>,
    repository: &Repository,
    database: &Database,
) -> Statistician {
    Statistician {
        folder: Arc::clone(folder),
        database: database.clone(),
        repository: repository.clone(),
        privacy: config.privacy.clone(),
        force_secagg: config.force_secure_aggregation,
        reading: Arc::new(Semaphore::new(1)),
    }
}

/// The executor of a node.
fn executor(
    config: &NodeConfig,
    folder: &Arc<Folder>,
    workshop: Workshop,
    (repository, compiler, approvals): (&Repository, &Compiler, &Approvals),
    (database, sums, member): (&Database, &Sums, &Member),
) -> Executor {
    Executor {
        node: config.id.clone(),
        folder: Arc::clone(folder),
        // While a round has time: its end drops them.
        repository: repository.clone().patient(DEADLINE_MAX),
        workshop: Arc::new(Mutex::new(workshop)),
        compiler: compiler.clone(),
        params: Mutex::default(),
        params_bytes_max: config.limits.declared_bytes_max as u64 + (1 << 20),
        approvals: approvals.clone(),
        receipts: Receipts::new(database.clone(), config.inputs_bytes_max),
        federation: member.membership().federation.clone(),
        free_bytes_min: config.free_bytes_min,
        privacy: config.privacy.clone(),
        database: database.clone(),
        sums: sums.clone(),
        force_secagg: config.force_secure_aggregation,
        masked: Again::default(),
    }
}

/// Closes the connection. Rounds end and are written down meanwhile.
async fn leave(performer: &mut Performer, link: Link) {
    let mut close = std::pin::pin!(link.close());
    loop {
        let event = tokio::select! {
            () = &mut close => break,
            Some(event) = performer.done() => event,
        };
        let _ = performer.feed(event).await;
    }
    performer.flush().await;
}

/// The reason why a node stops serving.
enum Stopped {
    /// Another program serves as this node.
    Rival,
    Closed(fedwasm_transport::Error),
}

impl From<Rival> for Stopped {
    fn from(_: Rival) -> Self {
        Self::Rival
    }
}

/// Passes events on until `stop` resolves or the connection is over for good.
async fn run(
    performer: &mut Performer,
    mut link: Link,
    member: &Arc<Member>,
    mut stop: impl Future<Output = ()> + Unpin,
) -> (Result<(), Stopped>, Link) {
    let changed = Arc::new(Notify::new());
    let change = Arc::clone(&changed);
    member.on_roster_change(move |_| change.notify_one());
    let sender = link.sender();
    let result = loop {
        let next = tokio::time::sleep_until(performer.next());
        let event = tokio::select! {
            () = &mut stop => break Ok(()),
            () = changed.notified() => Event::Roster(member.roster()),
            Some(event) = performer.done() => event,
            () = next => Event::Time,
            incoming = link.next() => match incoming {
                Some(Incoming::Message(message)) => {
                    Event::Message { message, connection: sender.connection() }
                }
                Some(Incoming::Refused { topic, refused }) => Event::Refused { topic, refused },
                Some(Incoming::Lost { reason }) => {
                    tracing::warn!("the connection to the broker is lost: {reason}");
                    Event::Disconnected
                }
                Some(Incoming::Restored) => {
                    tracing::info!("connected to the broker");
                    Event::Connected
                }
                Some(Incoming::Closed(error)) => break Err(Stopped::Closed(error)),
                None => break Err(Stopped::Closed(fedwasm_transport::Error::Closed)),
            },
        };
        if let Err(rival) = performer.feed(event).await {
            break Err(rival.into());
        }
    };
    (result, link)
}

/// Joins the federation; none if `stop` resolves before.
async fn take_part(
    config: &NodeConfig,
    dir: &Path,
    stop: &mut Pin<&mut impl Future<Output = ()>>,
) -> Result<Option<LinkOptions>, Error> {
    let mqtt: BrokerUrl = config.mqtt.parse()?;
    let url = config.repository.parse()?;
    let joined = reach(stop, || {
        let (identity, url) = (config.identity(dir), &url);
        async move { Ok(join(identity?, url).await?) }
    });
    let Some((member, repository)) = joined.await? else { return Ok(None) };
    Ok(Some(LinkOptions::mqtt(mqtt, member, repository)))
}

/// A node that was revoked does not serve; the age of its roster is the operator's to bound.
fn check_member(config: &NodeConfig, member: &Member) -> Result<(), Error> {
    if member.roster().key(member.participant()) != Some(member.key().public()) {
        return Err(Error::Revoked { id: config.id.clone() });
    }
    if let Some(age) = config.roster_age_max_s {
        member.set_roster_age_max(Duration::from_secs(age));
    }
    Ok(())
}

/// The registry of a node, whose rules are written down if they are others than before.
fn registry(
    config: &NodeConfig,
    dir: &Path,
    member: &Member,
) -> Result<(Database, Approvals), Error> {
    let database = Database::of_member(dir, member)?;
    database.check_decisions()?;
    let approvals = Approvals::new(dir, config.approval.clone(), database.clone())?;
    let rules = json!({
        "approval": approvals.rules(), "limits": config.limits, "strict": config.strict,
        "force_secure_aggregation": config.force_secure_aggregation,
        "privacy": config.privacy,
    });
    database.record_policy(&rules, now_ms())?;
    Ok((database, approvals))
}

fn workshop(config: &NodeConfig, sandbox: Sandbox, database: &Database) -> Workshop {
    let (limits, room) = (config.limits.clone(), config.experiments_bytes_max);
    Workshop::new(sandbox, config.strict, limits, room, Some(database.clone()))
}

/// The sandbox of workers, whose protections are checked once, so that a node that cannot run plans
/// does not report that it serves.
async fn sandbox(config: &NodeConfig, dir: &Path) -> Result<Sandbox, Error> {
    let sandbox = compiler::sandbox(config, dir)?;
    let checked = tokio::task::spawn_blocking(move || {
        sandbox.protections()?;
        Ok(sandbox)
    });
    checked.await.map_err(|error| Error::Io(std::io::Error::other(error)))?
}

/// Learns which keys were revoked.
async fn refresh_roster(repository: Repository, member: Arc<Member>, pause: Duration) {
    loop {
        tokio::time::sleep(pause).await;
        match repository.refresh_roster(&member).await {
            Ok(true) => {
                let roster = member.roster();
                tracing::info!("the roster was replaced by number {}", roster.serial);
                if roster.key(member.participant()) != Some(member.key().public()) {
                    tracing::error!(
                        "the key of this node was revoked and no participant accepts it any more; \
                         the operator's guide explains how to create and enrol a new key"
                    );
                }
            }
            Ok(false) => {}
            Err(error) => tracing::warn!("the roster could not be refreshed: {error}"),
        }
        // The server of the roster may withhold a newer one, and its revocations.
        match member.standing(now_ms()) {
            Standing::Fresh => {}
            Standing::Ageing { age } => tracing::warn!(
                "the roster was signed {} hours ago, and neither its authority nor the repository \
                 offers a newer one",
                age.as_secs() / 3_600
            ),
            Standing::Expired { age } => {
                let error = fedwasm_trust::Error::ExpiredRoster { age };
                tracing::error!("{error}; until then every message is refused");
            }
        }
    }
}
