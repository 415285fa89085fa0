//! A round of which only the sum is known: which nodes are asked, when their sum counts, and what
//! becomes of it.

use std::collections::BTreeMap;
use std::time::Instant;

use fedwasm_aggregate::{AggregatorArgs, AuxVars, Weights};
use fedwasm_params::Params;
use fedwasm_privacy::double_masking::threshold_min;
use fedwasm_privacy::{PARTIES_MAX, Parties};
use fedwasm_protocol::{Digest, DpKind, Mode, NodeId, SecaggScheme};
use fedwasm_record::{SecaggRecord, keep_transcript, uploads};

use super::{Files, Question, Summed};
use crate::experiment::ms;
use crate::job::replies::check_shared_aux_vars;
use crate::phases::{Aggregated, Sampled};
use crate::{AggregateError, Error, Event, Events, Experiment, Job, RoundTiming, SecaggSettings};

/// Checks what can be checked before the first round: an aggregator that works on sums, a number of
/// nodes that makes one, a plan whose parameters have a mean.
///
/// * `aggregator` — that of the file, unless another one takes its place.
/// * `got` — the nodes of the first round.
///
/// # Errors
/// [`Error::Aggregation`], [`Error::Secagg`], [`Error::Unsummable`].
pub(crate) fn check_start(
    settings: &SecaggSettings,
    aggregator: Option<&AggregatorArgs>,
    job: &Job,
    got: usize,
) -> Result<(), Error> {
    if let Some(aggregator) = aggregator {
        aggregator.of_sums()?;
    }
    check_n(settings, got)?;
    super::check_plan(job.declaration())
}

/// Whether so many nodes make a sum.
pub(super) fn check_n(settings: &SecaggSettings, got: usize) -> Result<(), Error> {
    let min = settings.min_parties as usize;
    match (min..=PARTIES_MAX).contains(&got) {
        true => Ok(()),
        false => Err(fedwasm_privacy::Error::Parties { got, min, max: PARTIES_MAX }.into()),
    }
}

impl Experiment {
    /// Has the sampled nodes train, and makes one model of the sum of their updates.
    pub(crate) async fn train_and_sum(
        &mut self,
        round: u32,
        Sampled { nodes, aux }: &Sampled,
        dropped: &mut BTreeMap<NodeId, String>,
        timing: &mut RoundTiming,
        events: Events<'_>,
    ) -> Result<Aggregated, Error> {
        check_shared_aux_vars(self.job.declaration(), aux)?;
        let summed = self.sum((round, Mode::Train), nodes.clone(), aux, events).await;
        self.note_dropped(nodes, dropped);
        let summed = summed?;
        tracing::debug!("round {round}: {} nodes trained", summed.replies.len());
        let receipts = self.job.take_receipts();
        self.keep_receipts(round, Mode::Train, &receipts)?;
        for (reply, _) in summed.replies.values() {
            timing.train_ms = timing.train_ms.max(reply.timing.train_ms);
            timing.prepare_ms = timing.prepare_ms.max(reply.timing.prepare_ms);
            timing.upload_ms = timing.upload_ms.max(reply.timing.upload_ms);
        }
        (timing.agree_ms, timing.unmask_ms) = (summed.times.agree_ms, summed.times.unmask_ms);
        (timing.send_ms, timing.download_ms) = (summed.times.send_ms, summed.times.download_ms);
        self.check_sum(round, &summed)?;
        self.warn_of_odd_sums(&summed, events);
        let at = Instant::now();
        let params = self.aggregate_sum(&summed)?;
        timing.aggregate_ms = ms(at);
        let transcript = self.keep_transcript((round, Mode::Train), &summed)?;
        let secagg = Some(summed.record(transcript));
        let replies = summed.into_replies();
        Ok(Aggregated { replies, receipts, params, secagg })
    }

    /// Has the current parameters scored, and returns the sum of the scores.
    pub(crate) async fn score_sum(
        &mut self,
        round: u32,
        nodes: &[NodeId],
        events: Events<'_>,
    ) -> Result<SecaggRecord, Error> {
        let at = (round, Mode::Validate);
        let summed = self.sum(at, nodes.to_vec(), &AuxVars::default(), events).await?;
        let transcript = self.keep_transcript(at, &summed)?;
        Ok(summed.record(transcript))
    }

    /// The scales of the federation from the masked sums of nodes, and how many sites they are of.
    pub(crate) async fn scale_sum(
        &mut self,
        nodes: &[NodeId],
        events: Events<'_>,
    ) -> Result<(Vec<u8>, usize), Error> {
        let at = (0, Mode::Scale);
        let summed = self.sum(at, nodes.to_vec(), &AuxVars::default(), events).await?;
        let transcript = self.keep_transcript(at, &summed)?;
        let (n_sites, n_rows) = (summed.replies.len(), summed.decoded.n_samples);
        let layout = self.job.site_numbers();
        let pooled = layout.pooled(n_sites, n_rows, &summed.decoded.numbers)?;
        let scales = self.job.scales_of(&pooled, layout.names())?;
        self.history.scales_secagg = Some(summed.record(transcript));
        Ok((scales, n_sites))
    }

    /// Keeps all that a sum was made of, and returns its digest.
    fn keep_transcript(&self, at: (u32, Mode), summed: &Summed) -> Result<Option<Digest>, Error> {
        let Some(dir) = &self.out else { return Ok(None) };
        let transcript = summed.transcript(self.job.declaration());
        let json = serde_json::to_vec(&transcript).map_err(std::io::Error::from)?;
        keep_transcript(dir, at, &json)?;
        Ok(Some(Digest::of(&json)))
    }

    /// Has nodes work on a round, and adds their parts. Nodes that were asked for the same run before
    /// are asked again, and no others.
    async fn sum(
        &mut self,
        (round, mode): (u32, Mode),
        mut nodes: Vec<NodeId>,
        aux: &AuxVars,
        events: Events<'_>,
    ) -> Result<Summed, Error> {
        let settings = self
            .file
            .secagg
            .clone()
            .ok_or_else(|| Error::Internal { reason: "a sum without settings".into() })?;
        loop {
            check_n(&settings, nodes.len())?;
            let question = self.question((round, mode), &mut nodes, aux).await?;
            let (uploads, run) = (self.uploads(), question.run()?);
            let (job, asked) = (&mut self.job, &mut self.asked);
            let mut files = Files {
                asked: &mut |parties| asked.keep((round, mode), run, parties),
                upload: &mut |digest, bytes| match &uploads {
                    Some(dir) => Ok(uploads::keep(dir, [(digest, bytes)])?),
                    None => Ok(()),
                },
            };
            let summed = match settings.scheme {
                SecaggScheme::Masking => job.sum_masked(&question, &mut files, events).await?,
                SecaggScheme::DoubleMasking => {
                    let n = question.parties.len();
                    let least = threshold_min(n).max(settings.min_parties as usize);
                    let needed = self.file.strategy.needed(self.history.expected.len());
                    let threshold = least.max(if mode == Mode::Train { needed } else { 0 }).min(n);
                    let summed = job.sum_double(&question, threshold, &mut files, events).await;
                    Some(summed.map_err(|error| self.too_few(error))?)
                }
            };
            match summed {
                Some(summed) => return Ok(summed),
                // Each time at least one is lost.
                None => nodes.retain(|node| self.job.member_of(node).is_some()),
            }
            if mode == Mode::Train {
                self.check_enough("agreed upon keys", nodes.len())?;
            }
        }
    }

    /// The request to nodes; `nodes` become those that were asked for the same run before.
    async fn question(
        &mut self,
        (round, mode): (u32, Mode),
        nodes: &mut Vec<NodeId>,
        aux: &AuxVars,
    ) -> Result<Question, Error> {
        let weights = self.aggregator.of_sums();
        let dp_args = self.file.training_in(round.max(1)).dp_args;
        // Noise is measured by updates of weight 1.
        let is_noisy = dp_args.is_some_and(|dp_args| dp_args.kind == DpKind::Local);
        let mut question = Question {
            round,
            mode,
            parties: Parties::new(nodes.iter().cloned(), 0)?,
            requests: self.job.requests_of(round, mode, nodes, aux).await?,
            equal_weights: weights == Some(Weights::Equal) || is_noisy,
            is_fixed: false,
        };
        if question.requests.is_empty() {
            // All were lost since they were chosen.
            self.check_enough("are there", 0)?;
        }
        let Some(before) = self.asked.of((round, mode), question.run()?)? else {
            return Ok(question);
        };
        question.is_fixed = true;
        if before != *nodes {
            nodes.clone_from(&before);
            question.parties = Parties::new(before.iter().cloned(), 0)?;
            if nodes.iter().any(|node| self.job.member_of(node).is_none()) {
                return Err(self.job.part_missing(&question));
            }
            question.requests = self.job.requests_of(round, mode, nodes, aux).await?;
        }
        Ok(question)
    }

    /// Too few nodes for a sum, with the reasons why the others are lost.
    fn too_few(&self, error: Error) -> Error {
        let Error::Secagg(fedwasm_privacy::Error::TooFewLeft { step, got, needed, .. }) = error
        else {
            return error;
        };
        let when = match step {
            "keys" => "sent keys for the secure sum",
            "shares" => "sent shares for the secure sum",
            "masked vectors" => "sent masked vectors",
            "consents" => "signed who survived",
            "revealed shares" => "revealed the shares that unmask the sum",
            _ => "are left for the secure sum",
        };
        let (refused, strangers) = (self.missing(), Vec::new());
        Error::NotEnoughNodes { got, min: needed, when, refused, strangers }
    }

    /// Whether enough nodes and rows are in a sum.
    fn check_sum(&mut self, round: u32, summed: &Summed) -> Result<(), Error> {
        let n = summed.replies.len();
        self.check_enough("are in the secure sum", n)?;
        self.check_nodes(n)?;
        let got = summed.decoded.n_samples;
        match self.file.strategy.min_samples {
            min if got < min => Err(Error::NotEnoughSamples { round, got, min }),
            _ => Ok(()),
        }
    }

    /// Warns about settings that are allowed but probably a mistake.
    fn warn_of_odd_sums(&mut self, summed: &Summed, events: Events<'_>) {
        let idle = (summed.decoded.n_steps == 0).then(|| {
            "no node made a step; check epochs, num_updates, batch_size and drop_last".to_owned()
        });
        let aggregator = (!self.is_own).then_some(&self.file.aggregator);
        let of_aggregator = aggregator.and_then(|a| a.warning(summed.replies.len()));
        for warning in [idle, of_aggregator].into_iter().flatten() {
            if self.warned.insert(warning.clone()) {
                events(Event::Warning(warning));
            }
        }
    }

    /// The parameters after a round. Those that training may not write stay as they were.
    fn aggregate_sum(&mut self, summed: &Summed) -> Result<Params, Error> {
        let sum = summed.for_aggregator(self.job.declaration(), self.job.params())?;
        let params = self.aggregator.take_sum(self.job.params(), &sum)?;
        Ok(self.keep_frozen(&params).map_err(AggregateError::Params)?)
    }

    /// Where masked vectors are kept, if they are.
    fn uploads(&self) -> Option<std::path::PathBuf> {
        self.out.clone().filter(|_| self.file.keep_uploads)
    }
}
