//! Contexts of `masking`: keys are agreed upon once for a set of nodes, and serve many rounds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use fedwasm_privacy::masking::{Context, TakesKeys};
use fedwasm_privacy::{Parties, SignedKeys};
use fedwasm_protocol::{Digest, NodeId, Participant, SecaggScheme, SecaggStep, encode_content};

use super::exchange::{Exchange, verifier};
use crate::{Error, Event, Events, Job};

/// The most contexts that are kept: those of other sets of nodes are agreed upon anew.
const CONTEXTS_MAX: usize = 64;

/// A context whose keys all of its nodes have.
#[derive(Debug)]
pub(crate) struct Agreed {
    pub(crate) context: Context,
    pub(crate) keys: Vec<SignedKeys>,
}

/// The contexts that hold, by their nodes.
#[derive(Debug, Default)]
pub(crate) struct Contexts(BTreeMap<Digest, Arc<Agreed>>);

impl Contexts {
    /// The context of these nodes, if there is one that was agreed upon under this roster.
    fn of(&self, parties: &Parties, roster: Digest) -> Option<Arc<Agreed>> {
        let agreed = self.0.get(&parties.digest())?;
        (agreed.context.roster == roster).then(|| Arc::clone(agreed))
    }

    fn keep(&mut self, agreed: Agreed) -> Arc<Agreed> {
        let agreed = Arc::new(agreed);
        if self.0.len() >= CONTEXTS_MAX {
            self.0.clear();
        }
        self.0.insert(agreed.context.parties.digest(), Arc::clone(&agreed));
        agreed
    }

    /// Forgets the context of these nodes: a node lost it, or a round with it has no sum.
    pub(crate) fn forget(&mut self, parties: &Parties) {
        self.0.remove(&parties.digest());
    }
}

impl Job {
    /// Agrees upon a context with exactly these nodes, unless there is one. None if nodes were lost
    /// meanwhile; they are dropped.
    ///
    /// # Errors
    /// [`Error::Transport`], [`Error::Cancelled`].
    pub(crate) async fn agree(
        &mut self,
        round: u32,
        parties: &Parties,
        events: Events<'_>,
    ) -> Result<Option<Arc<Agreed>>, Error> {
        let members = self.roster()?;
        let roster = members.keys_sha256(parties.iter().map(Participant::node));
        if let Some(agreed) = self.contexts.of(parties, roster) {
            return Ok(Some(agreed));
        }
        let start = Instant::now();
        let context = Context { id: random()?, roster, parties: parties.clone() };
        let at = Exchange { round, scheme: SecaggScheme::Masking, sum_id: context.id };
        let content = encode_content(&context).map_err(fedwasm_privacy::Error::from)?;
        let all = (parties.iter(), content);
        let answers = self.step_of_all::<SignedKeys>(at, SecaggStep::Keys, all, events).await?;
        let mut takes = TakesKeys::new(context.clone());
        for (node, keys) in answers {
            if let Err(text) = check_sender(&node, &keys.node) {
                self.refuse_for(&node, round, text, events);
            } else if let Err(error) = takes.take(keys, &verifier(&members)) {
                self.refuse(&node, round, &error, events);
            }
        }
        let Ok(keys) = takes.close() else { return Ok(None) };
        let content = encode_content(&keys).map_err(fedwasm_privacy::Error::from)?;
        let contents = parties.iter().map(|node| (node.clone(), content.clone())).collect();
        let answers = self.step(at, SecaggStep::Agree, contents, events).await?;
        if answers.len() < parties.len() {
            return Ok(None);
        }
        let ms = start.elapsed().as_secs_f64() * 1e3;
        events(Event::Agreed { round, scheme: at.scheme, n_nodes: parties.len(), ms });
        Ok(Some(self.contexts.keep(Agreed { context, keys })))
    }
}

/// Whether a node speaks for itself.
pub(crate) fn check_sender(sender: &NodeId, named: &NodeId) -> Result<(), String> {
    match sender == named {
        true => Ok(()),
        false => Err(format!("it sent what should come from `{named}`")),
    }
}

/// A name for a context or a setup, which is never used again.
pub(crate) fn random() -> Result<Digest, Error> {
    let mut bytes = [0; 32];
    let filled = getrandom::fill(&mut bytes);
    filled.map_err(|error| Error::Internal { reason: error.to_string() })?;
    Ok(bytes.into())
}
