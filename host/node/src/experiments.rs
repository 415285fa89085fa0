//! The files of experiments on the node's disk, `experiments/ID/`: the owner of each, and the room
//! that they may take, in all and of one researcher. The oldest go first, and those of one
//! researcher never make room for another's.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use fedwasm_folder::Folder;
use fedwasm_protocol::{DatasetId, Digest, ExperimentId, Reason, Refusal, ResearcherId};

use crate::refusal::{refusal, unwritable};

const EXPERIMENTS: &str = "experiments";
const OWNER: &str = "owner";
/// The SHA-256 of the data that an experiment has trained on.
const DATA: &str = "data";
/// Two ids and a digest.
const OWNER_BYTES_MAX: u64 = 256;
/// The bytes that a file takes at least, and a directory beside its files.
const BLOCK_BYTES: u64 = 4 << 10;
/// One researcher may have this part of the room.
const SHARE: u64 = 4;

/// The owner of an experiment: one researcher, with one plan on one dataset. Another plan could
/// declare as shared what this one keeps local.
#[derive(Debug)]
pub(crate) struct Owner<'a> {
    pub(crate) researcher: &'a ResearcherId,
    pub(crate) plan: &'a Digest,
    pub(crate) dataset: &'a DatasetId,
}

impl Owner<'_> {
    fn text(&self) -> String {
        format!("{} {} {}", self.researcher, self.plan, self.dataset)
    }
}

/// Opens the directory of an experiment, and creates it if it is absent. Only its `owner` may
/// continue it, or change or delete its files.
pub(crate) fn claim(
    node: &Folder,
    experiment: &ExperimentId,
    owner: &Owner<'_>,
) -> Result<Folder, Refusal> {
    let text = owner.text();
    let open = || {
        let folder = open(node, experiment)?;
        if !folder.has(OWNER) {
            folder.write(OWNER, text.as_bytes())?;
        }
        let known = folder.read(OWNER, OWNER_BYTES_MAX)?;
        Ok((known == text.as_bytes(), folder))
    };
    match open().map_err(unwritable)? {
        (true, folder) => Ok(folder),
        (false, _) => Err(not_yours(experiment)),
    }
}

/// Refuses anyone but the owner of an experiment, and creates nothing for a new one.
pub(crate) fn check_owner(
    node: &Folder,
    experiment: &ExperimentId,
    owner: &Owner<'_>,
) -> Result<(), Refusal> {
    let read = || {
        let all = node.folder(EXPERIMENTS)?;
        if !all.has(experiment.as_str()) {
            return Ok(None);
        }
        let folder = all.folder(experiment.as_str())?;
        if !folder.has(OWNER) {
            return Ok(None);
        }
        folder.read(OWNER, OWNER_BYTES_MAX).map(Some)
    };
    match read().map_err(unwritable)? {
        Some(known) if known != owner.text().as_bytes() => Err(not_yours(experiment)),
        _ => Ok(()),
    }
}

/// Refuses an experiment whose data changed since it began: other rows are split otherwise, and
/// some that were held out would be trained on.
pub(crate) fn check_data(
    node: &Folder,
    experiment: &ExperimentId,
    data: &Digest,
) -> Result<(), Refusal> {
    let read = || {
        let all = node.folder(EXPERIMENTS)?;
        if !all.has(experiment.as_str()) {
            return Ok(None);
        }
        let folder = all.folder(experiment.as_str())?;
        if folder.has(DATA) { folder.read(DATA, OWNER_BYTES_MAX).map(Some) } else { Ok(None) }
    };
    match read().map_err(unwritable)? {
        Some(known) if known != data.to_string().as_bytes() => {
            let text = format!(
                "its data changed since experiment {experiment} began; start a new experiment to \
                 train on the data that it has now"
            );
            Err(refusal(Reason::Dataset, text))
        }
        _ => Ok(()),
    }
}

/// Writes down which data an experiment has trained on.
pub(crate) fn note_data(folder: &Folder, data: &Digest) -> Result<(), Refusal> {
    if folder.has(DATA) {
        return Ok(());
    }
    folder.write(DATA, data.to_string().as_bytes()).map_err(unwritable)
}

/// Opens the directory of an experiment, whosever it is.
pub(crate) fn open(node: &Folder, experiment: &ExperimentId) -> io::Result<Folder> {
    node.folder(EXPERIMENTS)?.folder(experiment.as_str())
}

fn not_yours(experiment: &ExperimentId) -> Refusal {
    let message = format!("experiment {experiment} belongs to another researcher, plan or dataset");
    refusal(Reason::BadRequest, message)
}

/// How much room experiments may take.
#[derive(Debug)]
pub(crate) struct Room {
    bytes_max: u64,
    /// Bytes of each researcher's; none until they were counted. Counting takes longer with
    /// every experiment, so it is done when there may be too much.
    counted: Mutex<Option<BTreeMap<String, u64>>>,
}

/// An experiment that lies there.
struct OnDisk {
    name: String,
    researcher: String,
    bytes: u64,
    modified: SystemTime,
}

impl Room {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self { bytes_max, counted: Mutex::default() }
    }

    /// Counts the bytes written for an experiment. If they are too many, removes the researcher's
    /// oldest other experiments, then the oldest ones of the researcher who has most.
    pub(crate) fn wrote(
        &self,
        node: &Folder,
        researcher: &ResearcherId,
        experiment: &ExperimentId,
        bytes: u64,
    ) -> io::Result<()> {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        // Files written since are counted at most once too often.
        let by_researcher = match counted.as_mut() {
            Some(known) => {
                // A new experiment also has directories and an owner file.
                let most = bytes.next_multiple_of(BLOCK_BYTES) + 4 * BLOCK_BYTES;
                *known.entry(researcher.to_string()).or_default() += most;
                known.clone()
            }
            None => sums(&kept(node)?),
        };
        let own = by_researcher.get(researcher.as_str()).copied().unwrap_or_default();
        let all: u64 = by_researcher.values().sum();
        let is_full = own > self.bytes_max / SHARE || all > self.bytes_max;
        *counted =
            Some(if is_full { self.prune(node, researcher, experiment)? } else { by_researcher });
        Ok(())
    }

    /// Removes the oldest experiments but `stays`, and some more, so that the next round need not
    /// remove any. Returns the bytes that are left, by researcher.
    fn prune(
        &self,
        node: &Folder,
        researcher: &ResearcherId,
        stays: &ExperimentId,
    ) -> io::Result<BTreeMap<String, u64>> {
        let folder = node.folder(EXPERIMENTS)?;
        let mut kept = kept(node)?;
        kept.sort_by(|a, b| (a.modified, &a.name).cmp(&(b.modified, &b.name)));
        let enough = |bytes: u64| bytes / 8 * 7;
        loop {
            let sums = sums(&kept);
            let own = sums.get(researcher.as_str()).copied().unwrap_or_default();
            let all: u64 = sums.values().sum();
            let oldest_of = |who: &str| {
                kept.iter().position(|kept| kept.researcher == who && kept.name != stays.as_str())
            };
            let mut at = None;
            if own > enough(self.bytes_max / SHARE) {
                at = oldest_of(researcher.as_str());
            }
            if at.is_none() && all > enough(self.bytes_max) {
                let mut most: Vec<_> = sums.iter().collect();
                most.sort_by_key(|(_, bytes)| std::cmp::Reverse(**bytes));
                at = most.into_iter().find_map(|(who, _)| oldest_of(who));
            }
            let Some(at) = at else { return Ok(sums) };
            let OnDisk { name, researcher: whose, bytes, .. } = kept.remove(at);
            folder.remove_folder(&name)?;
            tracing::info!("experiment {name} of {whose} is deleted to free {bytes} bytes");
        }
    }
}

fn sums(kept: &[OnDisk]) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for OnDisk { researcher, bytes, .. } in kept {
        *sums.entry(researcher.clone()).or_default() += bytes;
    }
    sums
}

/// All experiments on the disk, with the bytes that they take.
fn kept(node: &Folder) -> io::Result<Vec<OnDisk>> {
    let all = node.folder(EXPERIMENTS)?;
    let mut kept = Vec::new();
    for name in all.names()? {
        let folder = all.folder(&name)?;
        let owner = folder.read(OWNER, OWNER_BYTES_MAX).unwrap_or_default();
        let owner = String::from_utf8_lossy(&owner).into_owned();
        let researcher = owner.split(' ').next().unwrap_or_default().to_owned();
        let (bytes, modified) = size(&folder)?;
        kept.push(OnDisk { name, researcher, bytes, modified });
    }
    Ok(kept)
}

/// The bytes that a directory takes, and when the newest of its files was written.
fn size(folder: &Folder) -> io::Result<(u64, SystemTime)> {
    let (mut bytes, mut newest) = (BLOCK_BYTES, SystemTime::UNIX_EPOCH);
    for name in folder.names()? {
        let (inner, modified) = if folder.is_folder(&name)? {
            size(&folder.folder(&name)?)?
        } else {
            let len = folder.len(&name)?;
            (len.next_multiple_of(BLOCK_BYTES).max(BLOCK_BYTES), folder.modified(&name)?)
        };
        bytes = bytes.saturating_add(inner);
        newest = newest.max(modified);
    }
    Ok((bytes, newest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(node: &Folder, room: &Room, researcher: &str, experiment: &str, bytes: usize) {
        let (researcher, experiment) = (researcher.parse().unwrap(), experiment.parse().unwrap());
        let (plan, dataset) = (Digest::of(b"plan"), "d".parse().unwrap());
        let owner = Owner { researcher: &researcher, plan: &plan, dataset: &dataset };
        let folder = claim(node, &experiment, &owner).unwrap();
        folder.folder("state").unwrap().write("s", &vec![0; bytes]).unwrap();
        room.wrote(node, &researcher, &experiment, bytes as u64).unwrap();
    }

    #[test]
    fn one_researcher_fills_its_share_and_takes_nothing_of_others() {
        let dir = tempfile::tempdir().unwrap();
        let node = Folder::open(dir.path()).unwrap();
        let room = Room::new(4 << 20);
        write(&node, &room, "good", "g", 200_000);
        for n in 0..40 {
            write(&node, &room, "flood", &format!("f{n:02}"), 100_000);
            // Files of one moment have no order.
            std::thread::sleep(std::time::Duration::from_millis(5));
            let sums = sums(&kept(&node).unwrap());
            assert!(sums["flood"] <= 1 << 20, "{sums:?}");
        }
        let names = node.folder(EXPERIMENTS).unwrap().names().unwrap();
        assert!(names.contains(&"g".to_owned()) && names.contains(&"f39".to_owned()));
        assert!(!names.contains(&"f00".to_owned()) && names.len() >= 7, "{names:?}");
        // Many together: the researcher who has most loses the oldest.
        for n in 0..12 {
            write(&node, &room, &format!("r{n}"), &format!("e{n}"), 500_000);
            std::thread::sleep(std::time::Duration::from_millis(5));
            let sums = sums(&kept(&node).unwrap());
            assert!(sums.values().sum::<u64>() <= 4 << 20, "{sums:?}");
        }
        assert!(node.folder(EXPERIMENTS).unwrap().has("g"));
        // A node that starts again counts the files that exist.
        let room = Room::new(1 << 20);
        write(&node, &room, "r11", "e11", 500_000);
        assert!(sums(&kept(&node).unwrap()).values().sum::<u64>() <= 1 << 20);
    }

    #[test]
    fn a_look_at_the_owner_makes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let node = Folder::open(dir.path()).unwrap();
        let (plan, dataset) = (Digest::of(b"plan"), "d".parse().unwrap());
        let (a, b, e) = ("a".parse().unwrap(), "b".parse().unwrap(), "e".parse().unwrap());
        let owner = |researcher| Owner { researcher, plan: &plan, dataset: &dataset };
        check_owner(&node, &e, &owner(&a)).unwrap();
        assert!(node.folder(EXPERIMENTS).unwrap().names().unwrap().is_empty());
        claim(&node, &e, &owner(&a)).unwrap();
        check_owner(&node, &e, &owner(&a)).unwrap();
        let refused = check_owner(&node, &e, &owner(&b)).unwrap_err();
        assert!(refused.message.contains("belongs to another researcher"), "{}", refused.message);
    }
}
