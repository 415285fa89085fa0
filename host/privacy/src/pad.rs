//! One pad, one use: pads are values that are used up, and exist only after their use was written down.

use std::collections::BTreeMap;

use fedwasm_protocol::Digest;
use serde::{Deserialize, Serialize};

use zeroize::{Zeroize as _, Zeroizing};

use crate::context::{Binding, Layout, Stream, Vectors};
use crate::mask::{Key, Mask};
use crate::{Cause, Error, Lane, Sign, secret};

/// A pad that is about to be used: what must be on disk before anything leaves. A second one of the
/// same context and round must be refused there, also after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PadUse {
    /// The context's or the setup's id.
    pub context: Digest,
    /// The round.
    pub round: u64,
    /// The nodes.
    pub parties: Digest,
    /// Lengths and codings.
    pub layout: Digest,
    /// Of plan, parameters and arguments: the run whose update is masked. The same run must not be
    /// masked for a second set of nodes, in no other context either.
    pub run: Digest,
}

impl PadUse {
    pub(crate) fn new(context: Digest, parties: Digest, binding: &Binding) -> Self {
        let (round, layout, run) = (binding.round, binding.layout, binding.run());
        Self { context, round, parties, layout, run }
    }

    /// Writes it down.
    pub(crate) fn write(&self, journal: Journal<'_>) -> Result<(), Error> {
        journal(self).map_err(|cause| Error::Journal { cause })
    }
}

/// Writes a use down durably, or refuses it.
pub type Journal<'a> = &'a mut dyn FnMut(&PadUse) -> Result<(), Cause>;

/// All streams: a pad that is not needed costs a key and no key stream.
pub(crate) const STREAMS: [Stream; 6] = [
    Stream::Params,
    Stream::AuxVars,
    Stream::Counts,
    Stream::Metrics,
    Stream::Check,
    Stream::Numbers,
];

/// The keys of the masks of each stream.
type Keys = BTreeMap<Stream, Vec<(Key, Sign)>>;

/// The pads of one round. Using them uses them up.
pub struct Pads {
    layout: Digest,
    keys: Keys,
}

impl Pads {
    /// The pads of these keys, for vectors of the layout with this digest.
    pub(crate) fn new(layout: Digest, keys: Keys) -> Self {
        Self { layout, keys }
    }

    /// The keys of the vectors of a layout, for an auditor who makes the round again.
    pub fn keys(&self, layout: &Layout) -> PadKeys {
        let of_stream = |(stream, _)| {
            let keys = self.keys.get(&stream)?.iter();
            let keys = keys.map(|(key, sign)| (*sign == Sign::Plus, **key));
            Some((stream, keys.collect()))
        };
        PadKeys(layout.lengths().filter_map(of_stream).collect())
    }

    /// Masks the vectors of the round: what comes back may leave.
    ///
    /// # Errors
    /// [`Error::Layout`] unless `layout` is the one that the pads are bound to; [`Error::Stream`] and
    /// [`Error::Length`] unless the vectors have it.
    pub fn mask<L: Lane>(
        mut self,
        layout: &Layout,
        mut vectors: Vectors<L>,
    ) -> Result<Vectors<L>, Error> {
        if layout.digest::<L>() != self.layout {
            return Err(Error::Layout);
        }
        layout.check(&vectors)?;
        for (stream, lanes) in &mut vectors {
            let keys = self.keys.remove(stream);
            let keys = keys.ok_or(Error::Stream { stream: *stream, fault: "has no pad" })?;
            let masks = keys.into_iter().map(|(key, sign)| Mask::new(key, sign));
            Mask::apply(masks.collect(), lanes)?;
        }
        Ok(vectors)
    }
}

/// The keys of pads that were used: with them vectors that left are opened, so they stay at the node
/// for its auditor, and are wiped from memory when they go.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct PadKeys(BTreeMap<Stream, Vec<(bool, [u8; 32])>>);

impl Drop for PadKeys {
    fn drop(&mut self) {
        self.0.values_mut().flatten().for_each(|(_, key)| key.zeroize());
    }
}

impl PadKeys {
    /// The same pads, to make the vectors again that left. Never for other vectors.
    pub fn again(&self, layout: &Layout) -> Pads {
        let of_stream = |(stream, keys): (&Stream, &Vec<(bool, [u8; 32])>)| {
            let sign = |plus| if plus { Sign::Plus } else { Sign::Minus };
            let keys = keys.iter().map(|(plus, key)| (Zeroizing::new(*key), sign(*plus)));
            (*stream, keys.collect())
        };
        Pads::new(layout.digest::<u64>(), self.0.iter().map(of_stream).collect())
    }
}

secret!(Pads PadKeys);
