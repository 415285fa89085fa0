//! One pad, one use: pads are values that are used up, and exist only after their use was written down.

use std::collections::BTreeMap;

use fedwasm_protocol::Digest;
use serde::{Deserialize, Serialize};

use crate::context::{Binding, Layout, Stream, Vectors};
use crate::mask::Mask;
use crate::{Cause, Error, Lane, secret};

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
pub(crate) const STREAMS: [Stream; 5] =
    [Stream::Params, Stream::AuxVars, Stream::Counts, Stream::Metrics, Stream::Check];

/// The pads of one round. Using them uses them up.
pub struct Pads {
    layout: Digest,
    masks: BTreeMap<Stream, Vec<Mask>>,
}

impl Pads {
    /// The pads of these masks, for vectors of the layout with this digest.
    pub(crate) fn new(layout: Digest, masks: BTreeMap<Stream, Vec<Mask>>) -> Self {
        Self { layout, masks }
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
            let masks = self.masks.remove(stream);
            Mask::apply(
                masks.ok_or(Error::Stream { stream: *stream, fault: "has no pad" })?,
                lanes,
            )?;
        }
        Ok(vectors)
    }
}

secret!(Pads);
