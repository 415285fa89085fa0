//! The researcher's identity.

use std::path::{Path, PathBuf};

use fedwasm_protocol::{Participant, ResearcherId, Role};
use fedwasm_transport::{LinkOptions, Repository, RepositoryUrl, Security, join};
use fedwasm_trust::{Identity, KeyPair, Member};

use crate::{Error, NetworkArgs};

/// Opens the researcher's key, or creates one where the federation accepts any participant.
pub(crate) async fn enter(network: &NetworkArgs) -> Result<(LinkOptions, ResearcherId), Error> {
    let mqtt = network.mqtt.parse()?;
    let repository: RepositoryUrl = network.repository.parse()?;
    let dir = match &network.identity {
        Some(dir) => dir.clone(),
        None => default_dir(&repository).await?,
    };
    let identity = match repository.security() {
        // On this machine the first experiment makes the key.
        Security::Loopback => Identity::open_or_create(&dir, new_researcher)?,
        _ => Identity::open(&dir)?,
    };
    let is_new = !identity.is_member();
    let (member, repository) = join(identity, &repository).await?;
    let researcher = researcher_of(&member, &dir)?;
    if is_new {
        let fingerprint = member.key().public().fingerprint();
        tracing::info!("enrolled as {}, key {fingerprint}", member.participant());
    }
    Ok((LinkOptions::mqtt(mqtt, member, repository), researcher))
}

/// The researcher that a member is; its key lies in `dir`.
pub(crate) fn researcher_of(member: &Member, dir: &Path) -> Result<ResearcherId, Error> {
    member.participant().researcher_id().ok_or_else(|| Error::NoResearcher {
        dir: dir.to_owned(),
        participant: member.participant().clone(),
    })
}

/// The directory of this user for the federation that the repository is of.
async fn default_dir(url: &RepositoryUrl) -> Result<PathBuf, Error> {
    let no_identity = || Error::NoIdentity { repository: url.to_string() };
    if url.security() != Security::Loopback {
        return Err(no_identity());
    }
    let federation = Repository::new(url.clone(), None)?.federation().await?;
    let home = identities_of_user().ok_or_else(no_identity)?;
    Ok(home.join(federation.as_str()).join("researcher"))
}

/// Where this user's keys are if nothing else is said: `FEDWASM_HOME`, or
/// `fedwasm` in `XDG_DATA_HOME`, or in `~/.local/share`.
pub fn identities_of_user() -> Option<PathBuf> {
    let dir = |key| std::env::var_os(key).map(PathBuf::from).filter(|dir| dir.is_absolute());
    let data = || {
        let data = dir("XDG_DATA_HOME").or_else(|| Some(dir("HOME")?.join(".local/share")));
        data.map(|data| data.join("fedwasm"))
    };
    dir("FEDWASM_HOME").or_else(data).map(|home| home.join("identities"))
}

/// A researcher that is named after its key.
fn new_researcher(key: &KeyPair) -> Participant {
    let name: String = key.public().fingerprint().short().chars().take(16).collect();
    // Hex digits are a name.
    let name = name.parse().unwrap_or_else(|_| unreachable!("{name}"));
    Participant::new(Role::Researcher, name)
}
