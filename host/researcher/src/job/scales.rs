//! Scales of the federation: nodes sum up their training rows, and all get the same scales.

use std::collections::BTreeMap;

use fedwasm_privacy::Numbers;
use fedwasm_protocol::{
    COLUMNS_MAX, Digest, INLINE_BYTES_MAX, Mode, NodeId, Payload, Reason, RoundReply,
    SUMS_BYTES_MAX, Sums,
};
use fedwasm_training::{Pooled, Preprocessing, SiteNumbers};

use crate::{AuxVars, Error, Events};

use super::Job;
use super::ask::blob_reason;

/// The most bytes of scales that ride in each request.
const SCALES_INLINE_BYTES_MAX: usize = INLINE_BYTES_MAX / 4;

impl Job {
    /// The digest of the scales of the federation, once they are made.
    pub fn scales_sha256(&self) -> Option<Digest> {
        self.scales.as_ref().map(|(_, payload)| payload.blob.sha256)
    }

    /// The scales of the federation, the bytes of a `preprocessing.json`, once they are made.
    pub(crate) fn scales_json(&self) -> Option<&[u8]> {
        self.scales.as_ref().map(|(bytes, _)| bytes.as_slice())
    }

    /// The scales as they travel with a round.
    pub(super) fn scales(&self) -> Option<Payload> {
        self.scales.as_ref().map(|(_, payload)| payload.clone())
    }

    /// Whether the scales of the federation are still to be made.
    pub(crate) fn needs_scales(&self) -> bool {
        self.options.data.is_scaled_by_all() && self.scales.is_none()
    }

    /// Has all rounds from here on scale inputs by the bytes of a `preprocessing.json`.
    pub(crate) async fn set_scales(&mut self, scales: Vec<u8>) -> Result<(), Error> {
        let mut room = SCALES_INLINE_BYTES_MAX;
        let put = self.repository.put_payload(scales.clone(), &mut room);
        let payload = self.within_deadline(put).await?;
        self.scales = Some((scales, payload));
        Ok(())
    }

    /// Asks nodes for the sums of their training rows and pools them in ascending order of node
    /// ids; nodes that do not deliver are dropped. Returns the scales as JSON, and the sites that
    /// they are of; the scales hold once [`Job::set_scales`] has them.
    ///
    /// # Errors
    /// [`Error::Transport`], [`Error::Cancelled`].
    pub(crate) async fn make_scales(
        &mut self,
        nodes: &[NodeId],
        events: Events<'_>,
    ) -> Result<(Vec<u8>, usize), Error> {
        let (mut send_ms, aux) = (0.0, AuxVars::default());
        if self.scale_names.is_empty() {
            return Err(too_many());
        }
        let answers = self.ask(0, Mode::Scale, nodes, &aux, &mut send_ms, events).await?;
        let mut all: BTreeMap<NodeId, Sums> = BTreeMap::new();
        for (node, (reply, _)) in answers {
            match self.sums(&node, &reply).await? {
                Ok(sums) => drop(all.insert(node, sums)),
                Err((reason, text)) => {
                    let away = self.nodes.away_because(&node, reason);
                    self.drop_node(node, 0, reason, text, away, events);
                }
            }
        }
        if all.is_empty() {
            return Ok((Vec::new(), 0));
        }
        let scales = self.scales_of(&Pooled::new(all.values(), None), &self.scale_names)?;
        Ok((scales, all.len()))
    }

    /// The scales of these columns as JSON.
    pub(crate) fn scales_of(&self, pooled: &Pooled, names: &[String]) -> Result<Vec<u8>, Error> {
        let scales: Preprocessing = pooled.preprocessing(names, &self.options.data.columns)?;
        Ok(serde_json::to_vec_pretty(&scales).map_err(std::io::Error::from)?)
    }

    /// The numbers of a secure sum that scales are made of.
    pub(crate) fn site_numbers(&self) -> SiteNumbers {
        SiteNumbers::of_scales(self.scale_names.clone())
    }

    /// The statistics that are summed in a round, if it is about some.
    pub(crate) fn numbers(&self, mode: Mode) -> Result<Option<Numbers>, Error> {
        let layout = match mode {
            Mode::Scale => self.site_numbers(),
            Mode::Statistics => self.statistics.clone().unwrap_or_else(|| self.site_numbers()),
            Mode::Train | Mode::Validate => return Ok(None),
        };
        if layout.names().is_empty() {
            return Err(too_many());
        }
        Ok(Some(Numbers { n: layout.n(), meaning: layout.meaning()? }))
    }

    /// Fetches and checks the sums of a node: they are of the columns that were asked for.
    async fn sums(
        &self,
        node: &NodeId,
        reply: &RoundReply,
    ) -> Result<Result<Sums, (Reason, String)>, Error> {
        let wrong = |text: &str| Ok(Err((Reason::Internal, text.to_owned())));
        let Some(payload) = &reply.sums else { return wrong("it sent no sums") };
        if payload.blob.size > SUMS_BYTES_MAX {
            let size = payload.blob.size;
            return wrong(&format!("its sums have {size} bytes, which is too large"));
        }
        let bytes = match self.within_deadline(self.repository.get_payload(payload)).await {
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            Err(error) => return Ok(Err((blob_reason(&error), error.to_string()))),
            Ok(bytes) => bytes,
        };
        let n_rows = self.nodes.member(node).map_or(0, |member| member.n_rows);
        let sums = match Sums::decode(&bytes, n_rows) {
            Ok(sums) => sums,
            Err(text) => return wrong(&text),
        };
        if sums.n_rows != reply.n_samples {
            return wrong("its sums are of other rows than it trains on");
        }
        let is_asked_for = sums.columns.iter().map(|column| &column.name).eq(&self.scale_names);
        match is_asked_for && sums.withheld.is_empty() {
            true => Ok(Ok(sums)),
            false => wrong("its sums are of other columns than those that were asked for"),
        }
    }
}

fn too_many() -> Error {
    let reason = format!("{COLUMNS_MAX} columns are summed at most");
    Error::Unsummable { reason }
}
