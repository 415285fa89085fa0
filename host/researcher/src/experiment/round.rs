//! One round, step by step: nodes are sampled and train, their updates are folded, the model is
//! stored and counts, it is scored and recorded.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fedwasm_aggregate::transpose;
use fedwasm_params::Params;
use fedwasm_protocol::{Digest, Mode, NodeId};
use fedwasm_record::uploads;

use crate::experiment::retry::Trial;
use crate::phases::{Aggregated, Counted, Sampled, Scored, Scores, TrainedRound};
use crate::{
    AggregateError, AggregatorArgs, Error, Event, Events, Fetched, NodeRecord, Reply, RoundRecord,
    RoundTiming,
};

use super::{Experiment, ms};

impl Experiment {
    /// Tries a round. Until enough updates are there, nothing has changed and
    /// it can be tried again. An error beside the record is one of the steps after that: the round
    /// counts, without scores.
    pub(super) async fn attempt(
        &mut self,
        round: u32,
        dropped: &mut BTreeMap<NodeId, String>,
        trial: &mut Trial,
        events: Events<'_>,
    ) -> Result<(RoundRecord, Option<Error>), Error> {
        let start = Instant::now();
        let mut timing = RoundTiming::default();
        let sampled = self.sample(round, events)?;
        let aggregated = match self.file.secagg.is_some() {
            true => self.train_and_sum(round, &sampled, dropped, &mut timing, events).await?,
            false => {
                let trained = self.train(round, &sampled, events).await?;
                tracing::debug!("round {round}: {} nodes trained", trained.n_nodes());
                self.fold(trained, &sampled, dropped, &mut timing, events).await?
            }
        };
        tracing::debug!("round {round}: aggregated");
        trial.went_well();
        let (counted, failed) = self.store(round, aggregated, trial, &mut timing, events).await?;
        tracing::debug!("round {round}: parameters stored");
        let at = Instant::now();
        let scored = match failed {
            None => self.score(round, counted, dropped, trial, events).await?,
            failed => Scored { counted, scores: Scores::default(), failed },
        };
        timing.validate_ms = ms(at);
        timing.wall_ms = ms(start);
        Ok(self.record(round, scored, timing, std::mem::take(dropped)))
    }

    /// Chooses the nodes of a round.
    pub(super) fn sample(&mut self, round: u32, events: Events<'_>) -> Result<Sampled, Error> {
        self.job.take_back(round, events);
        let nodes = self.file.strategy.sample(&self.job.nodes(), self.random_seed, round)?;
        self.check_enough("are there", nodes.len())?;
        self.check_nodes(nodes.len())?;
        let aux = self.aggregator.aux_vars(self.job.params(), &nodes)?;
        Ok(Sampled { nodes, aux })
    }

    pub(super) async fn train(
        &mut self,
        round: u32,
        Sampled { nodes, aux }: &Sampled,
        events: Events<'_>,
    ) -> Result<TrainedRound, Error> {
        let mut see = |event: Event| {
            if let Some(warning) = self.monitor.see(&event) {
                events(Event::Warning(warning));
            }
            events(event);
        };
        self.job.train(round, nodes, aux, &mut see).await
    }

    /// Makes one model of the updates, one after the other. A node whose update is not usable is
    /// left out, and the sum begins again.
    pub(super) async fn fold(
        &mut self,
        mut trained: TrainedRound,
        sampled: &Sampled,
        dropped: &mut BTreeMap<NodeId, String>,
        timing: &mut RoundTiming,
        events: Events<'_>,
    ) -> Result<Aggregated, Error> {
        let receipts = self.job.take_receipts();
        for (_, reply) in trained.answers() {
            timing.train_ms = timing.train_ms.max(reply.timing.train_ms);
            timing.prepare_ms = timing.prepare_ms.max(reply.timing.prepare_ms);
            timing.upload_ms = timing.upload_ms.max(reply.timing.upload_ms);
        }
        let uploads = self.out.clone().filter(|_| self.file.keep_uploads);
        loop {
            self.note_dropped(&sampled.nodes, dropped);
            self.check_round(&trained)?;
            let at = Instant::now();
            self.aggregator.begin(self.job.params(), &trained.samples())?;
            timing.aggregate_ms = ms(at);
            let (aggregator, mut adding) = (&mut self.aggregator, Duration::ZERO);
            let mut take = |node: &NodeId, fetched: &Fetched| {
                if let Some(dir) = &uploads {
                    let Reply { upload, upload_aux, .. } = &fetched.reply;
                    let aux = upload_aux.as_ref().zip(fetched.upload_aux.as_ref());
                    let all = [Some((upload, &fetched.upload)), aux].into_iter().flatten();
                    uploads::keep(dir, all.map(|(digest, bytes)| (digest, bytes.as_slice())))?;
                }
                let at = Instant::now();
                if let Some(params) = &fetched.reply.params {
                    aggregator.add(node, params)?;
                }
                adding += at.elapsed();
                Ok(())
            };
            let is_whole = self.job.fetch(&mut trained, &mut take, events).await?;
            timing.aggregate_ms += adding.as_secs_f64() * 1e3;
            if is_whole {
                break;
            }
        }
        self.note_dropped(&sampled.nodes, dropped);
        self.warn_of_odd_rounds(&trained, events);
        self.keep_receipts(trained.round, Mode::Train, &receipts)?;
        let at = Instant::now();
        let params = self.finish_aggregation(&trained)?;
        timing.aggregate_ms += ms(at);
        let replies = trained.into_replies();
        (timing.send_ms, timing.download_ms) = (replies.send_ms, replies.download_ms);
        Ok(Aggregated { replies, receipts, params, secagg: None })
    }

    /// Whether enough nodes and rows are in a round.
    pub(super) fn check_round(&self, trained: &TrainedRound) -> Result<(), Error> {
        self.check_enough("sent usable parameters", trained.n_nodes())?;
        self.check_nodes(trained.n_nodes())?;
        let got = trained.samples().values().fold(0u64, |sum, n| sum.saturating_add(*n));
        match self.file.strategy.min_samples {
            min if got < min => Err(Error::NotEnoughSamples { round: trained.round, got, min }),
            _ => Ok(()),
        }
    }

    /// Stores the model of a round, which counts from then on. The aggregator has moved on: if the
    /// model cannot be stored, the round counts all the same, and the error says why there was no
    /// further step.
    pub(super) async fn store(
        &mut self,
        round: u32,
        Aggregated { replies, receipts, params, secagg }: Aggregated,
        trial: &mut Trial,
        timing: &mut RoundTiming,
        events: Events<'_>,
    ) -> Result<(Counted, Option<Error>), Error> {
        let at = Instant::now();
        let (params_sha256, failed) = self.store_params(round, params, trial, events).await?;
        self.job.count(replies);
        self.job.give_up().await;
        timing.send_ms += ms(at);
        Ok((Counted { params_sha256, receipts, secagg }, failed))
    }

    /// Has the model scored, if asked to, by all nodes that may take part, so that rounds can be
    /// compared.
    pub(super) async fn score(
        &mut self,
        round: u32,
        counted: Counted,
        dropped: &mut BTreeMap<NodeId, String>,
        trial: &mut Trial,
        events: Events<'_>,
    ) -> Result<Scored, Error> {
        let (mut scores, mut failed) = (Scores::default(), None);
        if self.file.training.test_on_global_updates {
            let nodes = self.file.strategy.eligible(&self.job.nodes());
            match self.validate_again(round, &nodes, trial, events).await {
                Ok(scored) => scores = scored,
                Err(error) => failed = Some(error),
            }
            let receipts = self.job.take_receipts();
            self.keep_receipts(round, Mode::Validate, &receipts)?;
            self.note_dropped(&nodes, dropped);
            tracing::debug!("round {round}: validated");
        }
        Ok(Scored { counted, scores, failed })
    }

    /// Has nodes score the parameters, again and again while failures are worth it.
    pub(super) async fn validate_again(
        &mut self,
        round: u32,
        nodes: &[NodeId],
        trial: &mut Trial,
        events: Events<'_>,
    ) -> Result<Scores, Error> {
        loop {
            match self.validate(round, nodes, events).await {
                Ok(scores) => return Ok(scores),
                Err(error) => self.again(round, error, trial, events).await?,
            }
        }
    }

    /// Has nodes score the parameters, each for itself or as a sum.
    async fn validate(
        &mut self,
        round: u32,
        nodes: &[NodeId],
        events: Events<'_>,
    ) -> Result<Scores, Error> {
        if self.file.secagg.is_some() {
            let sum = Some(self.score_sum(round, nodes, events).await?);
            return Ok(Scores { sum, ..Scores::default() });
        }
        let of_nodes = self.job.validate(round, nodes, events).await?;
        Ok(Scores { of_nodes, sum: None })
    }

    /// The record of a round, and the error of its scores.
    pub(super) fn record(
        &self,
        round: u32,
        Scored { counted, scores, failed }: Scored,
        timing: RoundTiming,
        dropped: BTreeMap<NodeId, String>,
    ) -> (RoundRecord, Option<Error>) {
        let Counted { params_sha256, receipts, secagg } = counted;
        let trained = self.job.training_replies();
        let nodes: BTreeMap<NodeId, NodeRecord> = trained
            .iter()
            .map(|(node, reply)| {
                let receipt = receipts.get(node).map(|signed| Digest::of(signed));
                (node.clone(), node_record(reply, receipt))
            })
            .collect();
        let privacy = self.file.privacy.as_ref();
        let privacy = privacy.map(|args| args.record(round, &self.aggregator.numbers()));
        let mut record = RoundRecord {
            round,
            timing,
            nodes,
            dropped,
            params_sha256,
            evaluation: None,
            scored: BTreeMap::new(),
            secagg,
            scored_secagg: None,
            privacy,
        };
        scores.put(&mut record);
        (record, failed)
    }

    /// Notes which of the nodes that were asked are gone, and why.
    pub(crate) fn note_dropped(&self, asked: &[NodeId], dropped: &mut BTreeMap<NodeId, String>) {
        for (node, _, text) in self.job.refused() {
            if asked.contains(&node) {
                dropped.insert(node, text);
            }
        }
    }

    /// Warns about settings that are allowed but probably a mistake.
    pub(super) fn warn_of_odd_rounds(&mut self, trained: &TrainedRound, events: Events<'_>) {
        let idle = trained.answers().filter(|(_, reply)| reply.n_steps == 0);
        let idle: Vec<&str> = idle.map(|(node, _)| node.as_str()).collect();
        let idle = (!idle.is_empty()).then(|| {
            let nodes = idle.join(", ");
            format!("{nodes} made no step; check epochs, num_updates, batch_size and drop_last")
        });
        let rows: BTreeMap<&NodeId, u64> =
            trained.answers().map(|(node, reply)| (node, reply.n_samples)).collect();
        // The use of rows in an aggregator of the caller's own is not known.
        let aggregator = (!self.is_own).then_some(&self.file.aggregator);
        // Under noise of the aggregator all nodes weigh alike.
        let weighs_rows = |a: &&AggregatorArgs| a.weighs_rows() && self.file.privacy.is_none();
        let ruling =
            aggregator.filter(weighs_rows).and_then(|_| unheard(&rows).or_else(|| ruling(&rows)));
        let of_aggregator = aggregator.and_then(|aggregator| aggregator.warning(trained.n_nodes()));
        for warning in [idle, ruling, of_aggregator].into_iter().flatten() {
            if self.warned.insert(warning.clone()) {
                events(Event::Warning(warning));
            }
        }
    }

    /// Ends a round of the aggregator. Parameters that training may not write stay as they were,
    /// whatever nodes send.
    pub(super) fn finish_aggregation(&mut self, trained: &TrainedRound) -> Result<Params, Error> {
        let params = self.aggregator.finish()?;
        let aux = trained.replies.iter();
        let aux = aux.map(|(node, reply)| (node.clone(), reply.aux.clone())).collect();
        let aux = transpose(&aux).map_err(AggregateError::Params)?;
        self.aggregator.take_aux_vars(&aux)?;
        Ok(self.keep_frozen(&params).map_err(AggregateError::Params)?)
    }

    /// The same parameters, but for those that training may not write: these stay as they were.
    pub(crate) fn keep_frozen(&self, params: &Params) -> Result<Params, fedwasm_params::Error> {
        let global = self.job.params();
        let is_frozen = |name: &str| {
            let mut specs = self.job.declaration().model.iter();
            specs.any(|spec| spec.name == name && !spec.trainable)
        };
        let tensors = params.iter().map(|(name, tensor)| {
            let kept = global.tensor(name).filter(|_| is_frozen(name));
            (name.to_owned(), kept.unwrap_or(tensor).clone())
        });
        Params::new(tensors.collect())
    }
}

/// Names the nodes that count as one row beside others that do not: those that add noise tell no
/// number of rows.
fn unheard(rows: &BTreeMap<&NodeId, u64>) -> Option<String> {
    let one: Vec<&str> =
        rows.iter().filter(|(_, n)| **n == 1).map(|(node, _)| node.as_str()).collect();
    (!one.is_empty() && one.len() < rows.len()).then(|| {
        format!(
            "{} counts as one row, as nodes that add noise do, and hardly weighs in the mean beside \
             the others: with `dp_args` of type `local` all nodes weigh alike",
            one.join(", ")
        )
    })
}

/// Says which node has most of the rows, and so of the mean. Of two nodes one
/// always has half; nine tenths are worth a word.
fn ruling(rows: &BTreeMap<&NodeId, u64>) -> Option<String> {
    let all: f64 = rows.values().map(|n| *n as f64).sum();
    let most = if rows.len() == 2 { 0.9 } else { 0.5 };
    let (node, n) = rows.iter().max_by_key(|(_, n)| **n)?;
    let part = *n as f64 / all;
    (rows.len() > 1 && part > most).then(|| {
        format!(
            "{node} has {:.0} % of the rows, and so of the weight in the mean; a median or a \
             trimmed mean gives all nodes equal weight",
            part * 100.0
        )
    })
}

fn node_record(reply: &Reply, receipt: Option<Digest>) -> NodeRecord {
    let reply = reply.clone();
    NodeRecord {
        upload: Some(reply.upload),
        upload_aux: reply.upload_aux,
        receipt,
        n_samples: reply.n_samples,
        n_steps: reply.n_steps,
        train_loss: reply.train_loss,
        optimizer_args: reply.optimizer_args,
        device: reply.device,
        warnings: reply.warnings,
        evaluation: reply.evaluation,
        global_evaluation: None,
        timing: reply.timing,
        total_ms: reply.total_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    pub(super) fn a_node_that_has_most_of_the_rows_is_named() {
        let ids: [NodeId; 3] = ["a", "b", "c"].map(|id| id.parse().unwrap());
        let said = |rows: &[u64]| ruling(&ids.iter().zip(rows.iter().copied()).collect());
        let unheard = |rows: &[u64]| unheard(&ids.iter().zip(rows.iter().copied()).collect());
        assert!(unheard(&[1, 100, 1]).unwrap().starts_with("a, c counts as one row"));
        assert_eq!((unheard(&[1, 1, 1]), unheard(&[5, 6, 7])), (None, None));
        assert_eq!(said(&[5]), None);
        assert_eq!(said(&[50, 50]), None);
        assert_eq!(said(&[90, 10]), None);
        assert!(said(&[91, 9]).unwrap().starts_with("a has 91 % of the rows"));
        assert_eq!(said(&[50, 25, 25]), None);
        assert!(said(&[20, 60, 20]).unwrap().starts_with("b has 60 % of the rows"));
        assert!(said(&[1 << 48, 1, u64::MAX]).unwrap().starts_with("c has 100 %"));
    }
}
