//! The contract suite: the promises that every training plan must keep, tested on a few rows.
//!
//! It calls the plan as a round does, in the same sandbox, and compares the results. A check
//! says passed, failed, or why it does not apply. Nothing here reads a clock or draws randomness of
//! its own: the same plan, rows and seed give the same verdicts.

mod checks;
mod gradient;
mod rows;

use fedwasm_artifact::Component;
use fedwasm_params::{Params, Tensor};
use fedwasm_protocol::{Arguments, NodeId, ValueKind, prefix, seed};
use fedwasm_sandbox::{
    Argument, Cancel, DataFacts, Default, Described, Error, FaultKind, Limits, Outcome, Profile,
    Sandbox, Session, Start, TensorSpec,
};
use serde::Serialize;

pub use rows::{ROWS_MAX, TestRows};

/// The default rows of a batch in a check.
const BATCH_ROWS: usize = 32;

/// The input of the suite.
#[derive(Clone, Debug)]
pub struct SuiteOptions {
    /// The plan.
    pub component: Component,
    /// Where it runs.
    pub sandbox: Sandbox,
    /// Within which limits.
    pub limits: Limits,
    /// Arguments that are given.
    pub arguments: Arguments,
    /// The facts about the data; without rows, those that random rows must match.
    pub facts: DataFacts,
    /// Where all randomness comes from.
    pub random_seed: u64,
}

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", content = "detail", rename_all = "kebab-case")]
pub enum CheckVerdict {
    /// The promise is kept; with the observation.
    Passed(String),
    /// The promise is broken; with the observation and the cure.
    Failed(String),
    /// The promise is kept, but the observation deserves a look.
    Warned(String),
    /// The plan has nothing to check here; why.
    NotApplicable(String),
}

/// One check, done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The promise that it tests.
    pub name: &'static str,
    /// How it ended.
    #[serde(flatten)]
    pub verdict: CheckVerdict,
}

/// A plan and the rows that it is tried on. Its calls block.
#[derive(Debug)]
pub struct Suite {
    options: SuiteOptions,
    session: Session,
    rows: TestRows,
    /// Whether the rows are drawn, of no dataset.
    is_drawn: bool,
    cancel: Cancel,
}

impl Suite {
    /// Asks the plan for its shapes, and makes rows of them where none are given.
    ///
    /// # Errors
    /// Any [`crate::Error`]: a plan that does not come this far cannot be tried.
    pub fn new(
        options: SuiteOptions,
        rows: Option<TestRows>,
        cancel: &Cancel,
    ) -> Result<Self, crate::Error> {
        let plan = options.sandbox.describe(&options.component, options.limits.clone())?;
        let session = session(&plan, &options, Arguments::new())?;
        let is_drawn = rows.is_none();
        let rows = match rows {
            Some(rows) => rows,
            None => {
                let n_classes = n_classes(&session).unwrap_or(2);
                TestRows::synthetic(session.declaration(), n_classes, options.random_seed)?
            }
        };
        Ok(Self { options, session, rows, is_drawn, cancel: cancel.clone() })
    }

    /// The plan.
    pub fn plan(&self) -> &Described {
        self.session.described()
    }

    /// How many rows it is tried on.
    pub fn n_rows(&self) -> usize {
        self.rows.len()
    }

    /// Runs all checks, and tells `each` of every one.
    ///
    /// # Errors
    /// [`crate::Error`] if the plan could not be run, which is not its fault.
    pub fn run(&self, mut each: impl FnMut(&Check)) -> Result<Vec<Check>, crate::Error> {
        let mut done = Vec::new();
        for (name, check) in checks::ALL.iter().copied() {
            let verdict = match check(self) {
                Ok(verdict) => verdict,
                Err(Error::Fault(fault)) => {
                    let what = format!("the plan {}: {}", fault.kind, fault.detail);
                    let is_of_rows = self.is_drawn && fault.kind == FaultKind::BadData;
                    let hint = "; the rows are random; give real rows with --data and --target";
                    CheckVerdict::Failed(what + if is_of_rows { hint } else { "" })
                }
                Err(error) => return Err(error.into()),
            };
            let check = Check { name, verdict };
            each(&check);
            done.push(check);
        }
        Ok(done)
    }

    /// The initial parameters from a seed.
    fn init(&self, random_seed: u64) -> Result<Params, Error> {
        self.session.init(seed::init(random_seed), &self.cancel)
    }

    /// Trains from the initial parameters on batches of so many rows, in order.
    fn train(&self, random_seed: u64, batches: &[usize]) -> Result<Outcome, Error> {
        self.train_in(&self.session, self.init(self.options.random_seed)?, random_seed, batches)
    }

    fn train_in(
        &self,
        session: &Session,
        model: Params,
        random_seed: u64,
        batches: &[usize],
    ) -> Result<Outcome, Error> {
        let aux_in = zeros(&session.declaration().aux_in)?;
        let start = Start { model, aux_in, ..Start::default() };
        let loader = Box::new(self.rows.loader(batches));
        session.train(start, plan_seed(random_seed), loader, Box::new(drop), &self.cancel)
    }

    fn predict(&self, model: Params, batches: &[usize]) -> Result<Outcome, Error> {
        let loader = Box::new(self.rows.loader(batches));
        self.session.predict(model, [0; 32], loader, &self.cancel)
    }

    fn validate(&self, model: Params, batches: &[usize]) -> Result<Outcome, Error> {
        let loader = Box::new(self.rows.loader(batches));
        self.session.validate(model, [0; 32], loader, &self.cancel)
    }

    /// A session of the same plan with other arguments or in another profile.
    fn other(&self, profile: Profile, given: Arguments) -> Result<Session, Error> {
        let Self { options, .. } = self;
        let sandbox = options.sandbox.with_profile(profile);
        session(&sandbox.describe(&options.component, options.limits.clone())?, options, given)
    }

    /// Batches of the usual size over all rows; the last is short.
    fn batches(&self) -> Vec<usize> {
        let n = self.rows.len();
        (0..n).step_by(BATCH_ROWS).map(|at| BATCH_ROWS.min(n - at)).collect()
    }

    /// One batch of at most 16 rows: enough for a gradient.
    fn one_batch(&self) -> [usize; 1] {
        [gradient::ROWS.min(self.rows.len())]
    }

    fn argument(&self, name: &str, kind: ValueKind) -> Option<&Argument> {
        let mut arguments = self.plan().metadata().arguments.iter();
        arguments.find(|argument| argument.name == name && argument.kind == kind)
    }
}

fn session(plan: &Described, options: &SuiteOptions, more: Arguments) -> Result<Session, Error> {
    let mut given = options.arguments.clone();
    given.extend(more);
    plan.session(plan.metadata().arguments(&given, &options.facts, &prefix::ALL)?)
}

/// The number of classes, where the plan has an argument for it.
fn n_classes(session: &Session) -> Option<u64> {
    let arguments = &session.described().metadata().arguments;
    let argument = arguments.iter().find(|argument| argument.default == Default::TargetClasses)?;
    match session.arguments().get(&argument.name)? {
        fedwasm_protocol::Value::Integer(n) => u64::try_from(*n).ok(),
        _ => None,
    }
}

fn plan_seed(random_seed: u64) -> [u8; 32] {
    // As the local job has it; the fallback cannot happen, "local" being an id.
    let node: Result<NodeId, _> = "local".parse();
    node.map_or([0; 32], |node| seed::plan(random_seed, 1, &node))
}

fn zeros(specs: &[TensorSpec]) -> Result<Params, Error> {
    let zero =
        |spec: &TensorSpec| Ok((spec.name.clone(), Tensor::zeros(spec.dtype, spec.shape.clone())?));
    let tensors: Result<Vec<_>, fedwasm_params::Error> = specs.iter().map(zero).collect();
    let params = tensors.and_then(Params::new);
    params.map_err(|error| Error::Loader { reason: error.to_string() })
}
