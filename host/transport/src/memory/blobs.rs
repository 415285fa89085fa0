//! Blobs in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use fedwasm_protocol::{BlobRef, Digest, ExperimentId, FederationId, Participant, Role};
use fedwasm_trust::{Identity, Membership};

use super::{MemoryHub, NAME, lock};
use crate::Error;
use crate::port::{BLOB_BYTES_MAX, Blobs, Label, Later};

/// Keeps blobs in this process, and knows its clients.
#[derive(Clone, Debug)]
pub struct MemoryBlobs {
    hub: MemoryHub,
    me: Participant,
}

/// All blobs.
#[derive(Debug)]
pub(super) struct Shelf {
    bytes_max: u64,
    bytes: u64,
    blobs: HashMap<Digest, Stored>,
    experiments: BTreeMap<ExperimentId, Experiment>,
}

#[derive(Debug, Default)]
struct Stored {
    bytes: Bytes,
    readers: BTreeSet<Participant>,
    /// The experiments in whose names it was stored.
    experiments: BTreeSet<ExperimentId>,
    /// Whether it was stored in no experiment's name.
    is_kept: bool,
}

#[derive(Debug)]
struct Experiment {
    researcher: Participant,
    is_finished: bool,
}

fn refused(status: u16, text: impl Into<String>) -> Error {
    Error::Repository { url: NAME.into(), status, text: text.into() }
}

fn not_one_of(experiment: &ExperimentId, who: &Participant) -> Error {
    refused(403, format!("experiment {experiment} does not belong to {who}"))
}

impl Shelf {
    pub(super) fn new(bytes_max: u64) -> Self {
        Self { bytes_max, bytes: 0, blobs: HashMap::new(), experiments: BTreeMap::new() }
    }

    fn put(
        &mut self,
        me: &Participant,
        (blob, got): (&BlobRef, &BlobRef),
        bytes: Bytes,
        Label { experiment, recipients }: Label<'_>,
    ) -> Result<(), Error> {
        if blob.size > BLOB_BYTES_MAX {
            let text =
                format!("the blob has {} bytes, at most {BLOB_BYTES_MAX} are stored", blob.size);
            return Err(refused(413, text));
        }
        if got != blob {
            return Err(refused(422, "the bytes do not match the digest"));
        }
        if let Some(experiment) = experiment {
            self.check_open(experiment, me, recipients)?;
        }
        let left = self.bytes_max.saturating_sub(self.bytes);
        let is_new = !self.blobs.contains_key(&blob.sha256);
        if is_new && blob.size > left {
            return Err(refused(
                507,
                format!("the blob has {} bytes, but only {left} are left", blob.size),
            ));
        }
        if let Some(experiment) = experiment {
            self.experiments
                .entry(experiment.clone())
                .or_insert_with(|| Experiment { researcher: me.clone(), is_finished: false });
        }
        let stored = self.blobs.entry(blob.sha256).or_default();
        if is_new {
            stored.bytes = bytes;
            self.bytes += blob.size;
        }
        stored.readers.extend(recipients.iter().chain([me]).cloned());
        stored.experiments.extend(experiment.cloned());
        stored.is_kept |= experiment.is_none();
        Ok(())
    }

    /// Whether this participant may store in the name of an experiment now.
    fn check_open(
        &self,
        experiment: &ExperimentId,
        me: &Participant,
        recipients: &[Participant],
    ) -> Result<(), Error> {
        match self.experiments.get(experiment) {
            Some(Experiment { researcher, is_finished })
                if researcher == me || recipients.contains(researcher) =>
            {
                if *is_finished {
                    return Err(refused(409, format!("experiment {experiment} is over")));
                }
                Ok(())
            }
            None if me.role == Role::Researcher => Ok(()),
            _ => Err(not_one_of(experiment, me)),
        }
    }

    fn get(&self, me: &Participant, digest: &Digest) -> Result<Bytes, Error> {
        let stored = self.blobs.get(digest).filter(|stored| stored.readers.contains(me));
        let stored = stored.ok_or_else(|| {
            refused(404, "the blob does not exist, or is not for this participant")
        })?;
        Ok(stored.bytes.clone())
    }

    fn set_finished(
        &mut self,
        me: &Participant,
        experiment: &ExperimentId,
        is_finished: bool,
    ) -> Result<(), Error> {
        match self.experiments.get_mut(experiment) {
            Some(found) if found.researcher == *me => {
                found.is_finished = is_finished;
                Ok(())
            }
            // A new experiment is open anyway.
            None if !is_finished => Ok(()),
            _ => Err(not_one_of(experiment, me)),
        }
    }

    fn release(
        &mut self,
        me: &Participant,
        experiment: &ExperimentId,
        digests: &[Digest],
    ) -> Result<(), Error> {
        if self.experiments.get(experiment).is_none_or(|found| found.researcher != *me) {
            return Err(not_one_of(experiment, me));
        }
        for digest in digests {
            let Some(stored) = self.blobs.get_mut(digest) else { continue };
            stored.experiments.remove(experiment);
            if stored.experiments.is_empty() && !stored.is_kept {
                self.bytes -= stored.bytes.len() as u64;
                self.blobs.remove(digest);
            }
        }
        Ok(())
    }

    pub(super) fn prune(&mut self) {
        let experiments = &self.experiments;
        let goes_on = |id: &ExperimentId| experiments.get(id).is_some_and(|e| !e.is_finished);
        self.blobs.retain(|_, stored| stored.is_kept || stored.experiments.iter().any(goes_on));
        self.bytes = self.blobs.values().map(|stored| stored.bytes.len() as u64).sum();
        self.experiments.retain(|_, experiment| !experiment.is_finished);
    }
}

impl MemoryBlobs {
    pub(super) fn new(hub: MemoryHub, me: Participant) -> Self {
        Self { hub, me }
    }

    fn check_line(&self) -> Result<(), Error> {
        if self.hub.lines.is_cut(&self.me.to_string()) {
            let (url, reason) = (NAME.to_owned(), "its line is cut".into());
            return Err(Error::RepositoryUnreachable { url, reason });
        }
        Ok(())
    }

    /// Answers a participant on the roster.
    fn ask<T>(
        &self,
        answer: impl FnOnce(&mut Shelf, &Participant) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.check_line()?;
        let me = &self.me;
        if self.hub.authority.current_roster()?.key(me).is_none() {
            return Err(refused(403, format!("{me} is not on the roster")));
        }
        answer(&mut lock(&self.hub.shelf), me)
    }
}

impl Blobs for MemoryBlobs {
    fn put<'a>(
        &'a self,
        blob: &'a BlobRef,
        bytes: Bytes,
        label: Label<'a>,
    ) -> Later<'a, Result<(), Error>> {
        Box::pin(async move {
            // Before the lock: it takes as long as the blob is large.
            let got = BlobRef::of(&bytes);
            self.ask(|shelf, me| shelf.put(me, (blob, &got), bytes, label))
        })
    }

    fn get<'a>(&'a self, blob: &'a BlobRef) -> Later<'a, Result<Bytes, Error>> {
        Box::pin(async move {
            let bytes = self.ask(|shelf, me| shelf.get(me, &blob.sha256))?;
            let (expected, got) = (blob.size, bytes.len() as u64);
            if got > expected {
                return Err(Error::WrongSize { digest: blob.sha256, expected, got });
            }
            Ok(bytes)
        })
    }

    fn finish<'a>(&'a self, experiment: &'a ExperimentId) -> Later<'a, Result<(), Error>> {
        let finish = |shelf: &mut Shelf, me: &_| shelf.set_finished(me, experiment, true);
        Box::pin(async move { self.ask(finish) })
    }

    fn reopen<'a>(&'a self, experiment: &'a ExperimentId) -> Later<'a, Result<(), Error>> {
        let reopen = |shelf: &mut Shelf, me: &_| shelf.set_finished(me, experiment, false);
        Box::pin(async move { self.ask(reopen) })
    }

    fn release<'a>(
        &'a self,
        experiment: &'a ExperimentId,
        digests: &'a [Digest],
    ) -> Later<'a, Result<(), Error>> {
        let release = |shelf: &mut Shelf, me: &_| shelf.release(me, experiment, digests);
        Box::pin(async move { self.ask(release) })
    }

    fn federation(&self) -> Later<'_, Result<FederationId, Error>> {
        Box::pin(async { self.check_line().map(|()| self.hub.authority.federation()) })
    }

    fn roster(&self) -> Later<'_, Result<Vec<u8>, Error>> {
        Box::pin(async {
            self.check_line()?;
            Ok(self.hub.authority.signed_roster()?)
        })
    }

    fn enrol<'a>(&'a self, identity: &'a Identity) -> Later<'a, Result<Membership, Error>> {
        let Identity { participant, key, .. } = identity;
        Box::pin(async move {
            self.check_line()?;
            match self.hub.authority.enrol(participant, key.public()) {
                Err(error @ fedwasm_trust::Error::Taken { .. }) => {
                    Err(refused(409, error.to_string()))
                }
                enrolled => Ok(enrolled?),
            }
        })
    }
}
