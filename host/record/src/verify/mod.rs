//! Recomputes a finished experiment from the uploads of its nodes: every aggregation again, and
//! every upload against the receipt that its node signed.

mod methods;
mod receipts;
mod sums;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fedwasm_aggregate::{AggregateError, Aggregator, Update, Updates, transpose};
use fedwasm_folder::Folder;
use fedwasm_params::{Params, mpk, to_safetensors};
use fedwasm_protocol::{Digest, Metrics, Mode, NodeId};
use fedwasm_trust::Roster;

use crate::history::{FINISHED, combine};
use crate::uploads::{MEMBERSHIP, RECEIPTS, UPLOAD_BYTES_MAX, UPLOADS, load};
use crate::{
    CentralArgs, Error, History, NOISE_SEED, NoiseSeed, RoundRecord, ScoreRecord, load_history,
};

use self::methods::{Methods, Noise, Unknown};
use self::receipts::{check_other_scores, check_receipt, roster};

const PARAMS: &str = "params.safetensors";
const SCORES_DIFFER: &str = "its scores do not match those of its nodes";

/// Parameters of each node, by its id.
type NodeParams = BTreeMap<NodeId, Params>;

/// The findings about an experiment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Rounds whose aggregation was computed again, with the same bytes.
    pub rounds: u32,
    /// Receipts that nodes signed, and that agree with the history.
    pub receipts: u32,
    /// Updates without a receipt.
    pub without_receipt: u32,
    /// The federation whose roster the receipts were checked with.
    pub federation: Option<String>,
    /// The plan.
    pub plan_sha256: Digest,
    /// The parameters that came of it.
    pub params_sha256: Digest,
}

/// Recomputes the experiment whose files are in `dir`.
///
/// # Errors
/// [`Error::Unverified`] naming the first round and part that does not hold; [`Error::NoUploads`],
/// [`Error::Io`].
pub fn verify_experiment(dir: &Path) -> Result<Verified, Error> {
    verify_with(dir, None)
}

/// The same, with the researcher's own aggregator in its initial state, where the history names
/// one.
///
/// # Errors
/// As [`verify_experiment`]; [`Error::OwnAggregator`] if the history names one of another name, and
/// [`Error::NoNoiseSeed`] if all that can be checked without the seed of its noise is right.
pub fn verify_with(dir: &Path, own: Option<Box<dyn Aggregator>>) -> Result<Verified, Error> {
    let again = Again::of(dir)?;
    again.check_start()?;
    let mut walk = Walk::from_start(&again, own)?;
    for (number, record) in (1..).zip(&again.history.rounds) {
        let done = walk.round(number, record);
        done.map_err(|reason| Error::Unverified { round: record.round, reason })?;
    }
    walk.end()
}

/// The files from which an experiment is computed again.
struct Again {
    history: History,
    folder: Folder,
    uploads: Folder,
    /// The roster with the keys of nodes that sign receipts; none if no node does.
    roster: Option<Roster>,
    /// The SHA-256 of the parameters that the first round started from.
    initial: Digest,
    /// Noise of the aggregator, and its seed if that is there.
    noise: Option<Noise>,
}

impl Again {
    fn of(dir: &Path) -> Result<Self, Error> {
        let history = load_history(dir)?;
        let folder = Folder::open(dir)?;
        let no_uploads = |reason| Error::NoUploads { dir: dir.to_owned(), reason };
        if history.is_local() {
            return Err(no_uploads(
                "this is a local run, which aggregates nothing\nhelp: `fedwasm local` with the \
                 same plan, data, arguments and seed gives the same bytes",
            ));
        }
        let (Some(initial), true) = (history.initial_sha256, folder.has(UPLOADS)) else {
            let reason = "the uploads of its nodes were not kept\nhelp: run the experiment with \
                          `keep_uploads = true`";
            return Err(no_uploads(reason));
        };
        let uploads = folder.folder(UPLOADS)?;
        let (roster, noise) = (roster(&folder)?, noise(dir, &history)?);
        Ok(Self { history, folder, uploads, roster, initial, noise })
    }

    /// The checks before the first round.
    fn check_start(&self) -> Result<(), Error> {
        let Self { history, folder, roster, .. } = self;
        let wrong = |reason: String| Error::Unverified { round: 0, reason };
        let mut of_nodes = history.rounds.iter().flat_map(|record| record.nodes.values());
        if roster.is_none() && of_nodes.any(|of_node| of_node.receipt.is_some()) {
            let text = format!("{RECEIPTS}/{MEMBERSHIP} is missing: the history names receipts");
            return Err(wrong(text));
        }
        let (done, rounds) = (history.rounds.len(), history.rounds_max);
        if history.status == FINISHED && done as u64 != u64::from(rounds) {
            return Err(wrong(format!("the history is finished with {done} of {rounds} rounds")));
        }
        if let Some(sum) = &history.scales_secagg {
            self.sum((0, Mode::Scale), sum, &self.initial).map_err(wrong)?;
        }
        let Some(ScoreRecord { evaluation, nodes, secagg }) = &history.initial else {
            return Ok(());
        };
        if let Some(sum) = secagg {
            let of = (&self.initial, evaluation.as_ref());
            return self.check_scored_sum(0, sum, of).map_err(wrong);
        }
        if combine(&nodes.values().collect::<Vec<_>>()) != *evaluation {
            return Err(wrong(SCORES_DIFFER.into()));
        }
        let Some(roster) = roster else { return Ok(()) };
        let of = (0, &self.initial);
        check_other_scores(folder, roster, history, of, nodes).map_err(wrong)
    }
}

/// An experiment that is computed again, round after round.
struct Walk<'a> {
    again: &'a Again,
    own: Option<Box<dyn Aggregator>>,
    methods: Methods,
    /// The part that is not known, and the rounds since it was needed.
    unknown: Option<(Unknown, u32)>,
    /// The parameters that the next round starts from, unless an aggregator was unknown.
    global: Params,
    /// Those of the round that the history keeps as the best.
    best: Option<Params>,
    found: Verified,
}

impl<'a> Walk<'a> {
    fn from_start(again: &'a Again, own: Option<Box<dyn Aggregator>>) -> Result<Self, Error> {
        let global = load(&again.uploads, &again.initial);
        let global = global.map_err(|reason| Error::Unverified { round: 0, reason })?;
        let found = Verified {
            rounds: 0,
            receipts: 0,
            without_receipt: 0,
            federation: again.roster.as_ref().map(|roster| roster.federation.to_string()),
            params_sha256: again.initial,
            plan_sha256: again.history.plan.sha256,
        };
        let methods = Methods::of(again.noise.clone(), again.history.is_of_sums());
        Ok(Self { again, own, methods, unknown: None, global, best: None, found })
    }

    /// Checks the round in place `number`, and computes it again.
    fn round(&mut self, number: u32, record: &RoundRecord) -> Result<(), String> {
        let Again { history, folder, roster, .. } = self.again;
        if record.round != number {
            return Err(format!("the history has it at position {number}"));
        }
        let of_round = self.of_round(record)?;
        if let Some(roster) = roster {
            let of = (record.round, &record.params_sha256);
            check_other_scores(folder, roster, history, of, &record.scored)?;
        }
        self.again.check_global_scores(record)?;
        let arguments = history.arguments_in(number);
        let is_known = self.methods.go_on(arguments.get("aggregator"), &mut self.own)?;
        if let (false, None, Some(part)) = (is_known, &self.unknown, self.methods.unknown()) {
            self.unknown = Some((part, 0));
        }
        match (&mut self.unknown, &mut self.methods.aggregator) {
            (None, Some(aggregator)) => {
                self.global = of_round.model(&mut **aggregator, history, &self.global)?;
                let bytes = to_safetensors(&self.global).map_err(|error| error.to_string())?;
                let (again, said) = (Digest::of(&bytes), record.params_sha256);
                if again != said {
                    return Err(format!("its updates give {again}, the history names {said}"));
                }
                self.found.rounds += 1;
                check_privacy(self.again.noise.as_ref(), record, Some(aggregator.numbers()))?;
            }
            // The result of this round cannot be made again, and the next round starts from it.
            (Some((_, rounds)), _) => {
                *rounds += 1;
                check_privacy(self.again.noise.as_ref(), record, None)?;
            }
            (None, None) => return Err("the history names no aggregator".into()),
        }
        self.found.params_sha256 = record.params_sha256;
        if let Some(best) = history.best.as_ref().filter(|best| best.at == u64::from(number)) {
            let scores = record.evaluation.as_ref();
            let value = scores.and_then(|scores| scores.metrics.get(&best.metric));
            if best.params_sha256 != record.params_sha256 || value != Some(&best.value) {
                return Err("the history keeps it as the best with another score or model".into());
            }
            self.best = Some(self.global.clone());
        }
        Ok(())
    }

    /// The updates of a round, and their auxiliary variables; receipts are checked beside them.
    fn updates(&mut self, record: &RoundRecord) -> Result<(Updates, NodeParams), String> {
        let Again { history, folder, uploads, roster, .. } = self.again;
        let (mut updates, mut aux) = (Updates::new(), BTreeMap::new());
        for (node, of_node) in &record.nodes {
            let of = |reason: String| format!("{node}: {reason}");
            let upload = of_node.upload.ok_or_else(|| of("the upload is missing".into()))?;
            let params = load(uploads, &upload).map_err(of)?;
            let of_aux = of_node.upload_aux.map(|digest| load(uploads, &digest).map_err(of));
            updates.insert(node.clone(), Update { n_samples: of_node.n_samples, params });
            aux.insert(node.clone(), of_aux.transpose()?.unwrap_or_default());
            let before = &self.found.params_sha256;
            let has_receipt = match roster {
                Some(roster) => {
                    check_receipt(folder, roster, history, record, node, before).map_err(of)?
                }
                None => false,
            };
            match has_receipt {
                true => self.found.receipts += 1,
                false => self.found.without_receipt += 1,
            }
        }
        Ok((updates, aux))
    }

    /// The files of the result match the result of the last round, or of the best.
    fn end(self) -> Result<Verified, Error> {
        let Self { again, unknown, global, best, mut found, .. } = self;
        let wrong = |reason: String| {
            let round = again.history.rounds.last().map_or(0, |record| record.round);
            Error::Unverified { round, reason }
        };
        let receipts = found.receipts;
        match unknown {
            Some((Unknown::Own(name), rounds)) => {
                return Err(Error::OwnAggregator { name, rounds, receipts });
            }
            Some((Unknown::Noise, rounds)) => {
                return Err(Error::NoNoiseSeed { file: NOISE_SEED, rounds, receipts });
            }
            None => {}
        }
        let result = match (&again.history.best, best) {
            (None, _) => global,
            (Some(record), Some(best)) => {
                found.params_sha256 = record.params_sha256;
                best
            }
            (Some(record), None) => {
                let text = format!("the history keeps round {} as the best", record.at);
                return Err(wrong(text + ", which it does not have"));
            }
        };
        let (of_file, made) = (again.folder.read(PARAMS, UPLOAD_BYTES_MAX)?, found.params_sha256);
        if Digest::of(&of_file) != made {
            return Err(wrong(format!("{PARAMS} does not match the result of its rounds, {made}")));
        }
        let mpk = again.folder.read("params.mpk", UPLOAD_BYTES_MAX)?;
        match mpk::read_params(&mpk) {
            // Its order is its own.
            Ok(params) if same_tensors(&params, &result) => Ok(found),
            _ => Err(wrong("params.mpk does not match the result of its rounds".into())),
        }
    }
}

/// Noise of the aggregator, by the history, and its seed if the directory has it.
fn noise(dir: &Path, history: &History) -> Result<Option<(CentralArgs, Option<NoiseSeed>)>, Error> {
    let wrong = |reason: String| Error::Unverified { round: 0, reason };
    let section = history.arguments.get("privacy").filter(|section| !section.is_null());
    let Some(section) = section.cloned() else { return Ok(None) };
    let args: CentralArgs = serde_json::from_value(section)
        .map_err(|error| wrong(format!("the history's [privacy]: {error}")))?;
    let seed = NoiseSeed::read(dir)?;
    match &seed {
        Some(seed) if history.noise_sha256 != Some(seed.commitment()) => {
            Err(wrong(format!("{NOISE_SEED} holds the seed of another experiment")))
        }
        _ => Ok(Some((args, seed))),
    }
}

/// The privacy of a round follows from the arguments of the history, and from the numbers of the
/// aggregator if they are known.
fn check_privacy(
    noise: Option<&Noise>,
    record: &RoundRecord,
    numbers: Option<Metrics>,
) -> Result<(), String> {
    let expected = noise.map(|(args, _)| {
        // An adaptive clip follows from noise.
        let said = record.privacy.filter(|_| numbers.is_none() && args.adaptive.is_some());
        let said = said.map(|said| Metrics::from([("clip".to_owned(), said.clip)]));
        args.record(record.round, &said.or(numbers).unwrap_or_default())
    });
    match record.privacy == expected {
        true => Ok(()),
        false => Err("clip, noise multiplier or epsilon do not follow from [privacy]".into()),
    }
}

/// The aggregator's result of a round.
fn aggregated(
    aggregator: &mut dyn Aggregator,
    history: &History,
    global: &Params,
    updates: &Updates,
    aux: &NodeParams,
) -> Result<Params, AggregateError> {
    let again = aggregator.aggregate(global, updates)?;
    aggregator.take_aux_vars(&transpose(aux)?)?;
    Ok(frozen(history, global, &again)?)
}

/// The scores of a round are those of its nodes, put together.
fn check_scores(record: &RoundRecord) -> Result<(), String> {
    let all: Vec<_> = record.scores().into_values().collect();
    // An older history has none of the nodes that scored and did not train.
    let missing = record.evaluation.as_ref().is_some_and(|evaluation| {
        let rows: u64 = all.iter().map(|one| one.n_rows).sum();
        rows != evaluation.n_rows
    });
    match missing || combine(&all) == record.evaluation {
        true => Ok(()),
        false => Err(SCORES_DIFFER.into()),
    }
}

fn same_tensors(a: &Params, b: &Params) -> bool {
    a.iter().count() == b.iter().count() && a.iter().all(|(name, t)| b.tensor(name) == Some(t))
}

/// Parameters that training may not write stay as they were.
pub(crate) fn frozen(
    history: &History,
    global: &Params,
    again: &Params,
) -> Result<Params, fedwasm_params::Error> {
    let names: BTreeSet<&str> = history.frozen.iter().map(String::as_str).collect();
    let tensors = again.iter().map(|(name, tensor)| {
        let kept = global.tensor(name).filter(|_| names.contains(name));
        (name.to_owned(), kept.unwrap_or(tensor).clone())
    });
    Params::new(tensors.collect())
}
