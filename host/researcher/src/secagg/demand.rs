//! The demand of a round of which only the sum is to be known: its arguments, equal at all nodes, and
//! the coding that follows from them.

use std::collections::BTreeMap;

use fedwasm_privacy::{Coding, Numbers, Parties, VectorSpec, binding};
use fedwasm_protocol::{
    Digest, Mode, NodeId, RoundRequest, SECAGG_METRICS_MAX, SecaggArgs, SecaggScheme, seed,
};
use fedwasm_sandbox::{Declaration, Scope, TensorSpec};
use fedwasm_trust::Receipt;

use crate::{Error, Job};

/// A round that nodes are asked for, before its keys are agreed upon.
#[derive(Debug)]
pub(crate) struct Question {
    /// The round; 0 for the scores of what the first one starts from.
    pub(crate) round: u32,
    pub(crate) mode: Mode,
    /// The nodes.
    pub(crate) parties: Parties,
    /// The request to each, without its part about secure aggregation.
    pub(crate) requests: BTreeMap<NodeId, RoundRequest>,
    /// Whether all nodes weigh the same.
    pub(crate) equal_weights: bool,
    /// Whether these nodes, and no others, were asked for the same round before.
    pub(crate) is_fixed: bool,
}

impl Question {
    /// Any of the requests, as receipts have it: the facts that masks are bound to are equal in all.
    pub(crate) fn request(&self) -> Result<RoundRequest, Error> {
        let first = self.requests.values().next().map(Receipt::request);
        first.ok_or_else(|| Error::Internal { reason: "a round without a request".into() })
    }

    /// Plan, parameters and arguments: the run that must not be summed over two sets of nodes.
    pub(crate) fn run(&self) -> Result<Digest, Error> {
        let layout = fedwasm_privacy::Layout::default();
        Ok(binding(&self.request()?, &layout)?.run())
    }
}

/// The arguments that nodes are asked for, and how their vectors are read.
#[derive(Clone, Debug)]
pub(crate) struct Demand {
    pub(crate) args: SecaggArgs,
    pub(crate) coding: Coding,
    /// Statistics that are summed, if the round is about some.
    pub(crate) numbers: Option<Numbers>,
    /// How many nodes are asked.
    pub(crate) n_parties: usize,
}

impl Demand {
    /// Whether its keys serve many rounds, and so may have been forgotten.
    pub(crate) fn is_agreed(&self) -> bool {
        self.args.scheme == SecaggScheme::Masking
    }
}

impl Job {
    /// The demand of a round.
    ///
    /// * `sum_id` — the context or the setup.
    ///
    /// # Errors
    /// [`Error::Secagg`] if sums with these settings could be wrong.
    pub(crate) fn demand(&self, question: &Question, sum_id: Digest) -> Result<Demand, Error> {
        let settings = self
            .options
            .secagg
            .as_ref()
            .ok_or_else(|| Error::Internal { reason: "a sum without settings".into() })?;
        let Question { round, mode, parties, .. } = question;
        let rows = parties.iter().filter_map(|node| self.nodes.member(node));
        let is_of_seed = settings.servkey_id.is_some();
        let drawn = is_of_seed.then(|| seed::secagg_random(self.options.random_seed, *round));
        let args = SecaggArgs {
            scheme: settings.scheme,
            sum_id,
            min_parties: settings.min_parties,
            clip: settings.clip,
            bits: settings.bits,
            rows_max: rows.map(|member| member.n_rows).max().unwrap_or(1),
            equal_weights: question.equal_weights,
            metrics: self.metrics_of(*mode),
            metrics_clip: settings.metrics_clip,
            random: settings.random.or(drawn),
            servkey_id: settings.servkey_id.clone(),
            biprime_id: settings.biprime_id.clone(),
            shares: None,
        };
        let (params, aux) = specs(self.declaration(), *mode);
        let n_parties = parties.len();
        let coding = Coding::new(&args, n_parties, &params, &aux)?;
        let numbers = self.numbers(*mode)?;
        let coding = numbers.iter().try_fold(coding, Coding::with_numbers)?;
        Ok(Demand { args, coding, numbers, n_parties })
    }

    /// The names of the scores that are summed.
    fn metrics_of(&self, mode: Mode) -> Vec<String> {
        let is_scored = match mode {
            Mode::Train => self.options.training.test_on_local_updates,
            Mode::Validate => true,
            Mode::Scale | Mode::Statistics => false,
        };
        if !is_scored {
            return Vec::new();
        }
        let plan = self.training_plan().metadata();
        let mut names = fedwasm_training::score_names(plan, self.declaration());
        names.truncate(SECAGG_METRICS_MAX);
        names
    }
}

/// The tensors whose changes are summed: parameters, auxiliary variables.
pub(crate) fn specs(
    declaration: &Declaration,
    mode: Mode,
) -> (Vec<VectorSpec<'_>>, Vec<VectorSpec<'_>>) {
    let is_summed = |spec: &&TensorSpec| spec.trainable && spec.scope == Scope::Shared;
    match mode {
        Mode::Train => (
            declaration.model.iter().filter(is_summed).map(spec).collect(),
            declaration.aux_out.iter().map(spec).collect(),
        ),
        Mode::Validate | Mode::Scale | Mode::Statistics => (Vec::new(), Vec::new()),
    }
}

fn spec(TensorSpec { name, dtype, shape, .. }: &TensorSpec) -> VectorSpec<'_> {
    (name, *dtype, shape)
}

/// Checks that the parameters that training changes, and the auxiliary variables, have a mean.
///
/// # Errors
/// [`Error::Unsummable`] naming the first that has none.
pub(crate) fn check_plan(declaration: &Declaration) -> Result<(), Error> {
    use fedwasm_params::DType;
    let (params, aux) = specs(declaration, Mode::Train);
    let real = |dtype| matches!(dtype, DType::Float32 | DType::Float64);
    match params.iter().chain(&aux).find(|(_, dtype, _)| !real(*dtype)) {
        None => Ok(()),
        Some((name, dtype, _)) => Err(Error::Unsummable {
            reason: format!("`{name}` of the plan is {dtype}, which has no mean; float32 has one"),
        }),
    }
}
