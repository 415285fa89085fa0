//! The contract suite: the promises that every training plan must keep, tested on a few rows.
//!
//! It calls the plan as a round does, in the same sandbox, and compares the results. A check
//! says passed, failed, why it does not apply, or on which failed one it depends. Nothing here reads a
//! clock or draws randomness of its own: the same plan, rows and seed give the same verdicts.

mod checks;
mod elements;
mod gradient;
mod law;
mod rows;
mod writes;

use fedwasm_artifact::Component;
use fedwasm_params::{Params, Tensor};
use fedwasm_protocol::{Arguments, NodeId, ValueKind, prefix, seed};
use fedwasm_sandbox::{
    Argument, Cancel, DataFacts, Default, Described, Error, FaultKind, Limits, Outcome, Profile,
    Sandbox, Session, Start, TensorSpec,
};
use serde::Serialize;

use rows::SomeRows;
pub use rows::{DrawnInputs, ROWS_MAX, TestRows};

/// The default rows of a batch in a check.
const BATCH_ROWS: usize = 32;
/// The most tables whose lines are tried as the range of drawn inputs.
const TABLES_MAX: usize = 8;

/// The input of the suite.
#[derive(Clone, Debug)]
pub struct SuiteOptions {
    /// The plan.
    pub component: Component,
    /// Another build of it, which must give the same bytes.
    pub twin: Option<Component>,
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
    /// The plan has nothing to check here, or nothing that can be checked; why.
    NotApplicable(String),
    /// A check that it depends on failed; which.
    NotRun(String),
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
    /// How the rows were drawn; none of a dataset.
    drawn: Option<DrawnInputs>,
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
        let drawn = rows.is_none().then_some(DrawnInputs::Reals);
        let rows = rows.map_or_else(|| draw(&session, &options, DrawnInputs::Reals), Ok)?;
        let mut suite = Self { options, session, rows, drawn, cancel: cancel.clone() };
        if suite.drawn.is_some() && suite.refuses_rows()? {
            suite.draw_whole_numbers()?;
        }
        Ok(suite)
    }

    /// Draws whole numbers that the plan takes, such as numbers of entries of a table, and leaves
    /// the rows as they are if it takes none. No declaration has the range of an input, but a table
    /// is a declared parameter with a line for each number.
    fn draw_whole_numbers(&mut self) -> Result<(), crate::Error> {
        let reals = self.rows.clone();
        let tables = self.session.declaration().model.iter();
        let mut lines: Vec<u64> = tables
            .filter_map(|spec| match spec.shape[..] {
                [lines, _] if lines > 2 => Some(lines),
                _ => None,
            })
            .collect();
        lines.sort_unstable_by(|a, b| b.cmp(a));
        lines.dedup();
        lines.truncate(TABLES_MAX);
        for n in lines.into_iter().chain([2]) {
            let inputs = DrawnInputs::WholeBelow(n);
            self.rows = draw(&self.session, &self.options, inputs)?;
            if !self.refuses_rows()? {
                self.drawn = Some(inputs);
                return Ok(());
            }
        }
        self.rows = reals;
        Ok(())
    }

    /// Whether the plan says that its rows are wrong. Other faults are for the checks to find.
    fn refuses_rows(&self) -> Result<bool, crate::Error> {
        match self.train(self.options.random_seed, &[self.n_rows()]) {
            Err(Error::Fault(fault)) => Ok(fault.kind == FaultKind::BadData),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(false),
        }
    }

    /// The plan.
    pub fn plan(&self) -> &Described {
        self.session.described()
    }

    /// How the rows were drawn; none if they are of a dataset.
    pub fn drawn(&self) -> Option<DrawnInputs> {
        self.drawn
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
        let mut done: Vec<Check> = Vec::new();
        let of_twin = self.options.twin.is_some().then_some(checks::TWIN);
        for (name, check, depends_on) in checks::ALL.iter().copied().chain(of_twin) {
            let verdict = match first_cause(&done, depends_on) {
                Some(cause) => CheckVerdict::NotRun(cause),
                None => self.verdict(check)?,
            };
            let check = Check { name, verdict };
            each(&check);
            done.push(check);
        }
        Ok(done)
    }

    fn verdict(&self, check: checks::Run) -> Result<CheckVerdict, crate::Error> {
        match check(self) {
            Ok(verdict) => Ok(verdict),
            Err(Error::Fault(fault)) => {
                let what = format!("the plan {}: {}", fault.kind, fault.detail);
                let is_of_rows = self.drawn.is_some() && fault.kind == FaultKind::BadData;
                let hint = "; the rows are random; give real rows with --data and --target";
                Ok(CheckVerdict::Failed(what + if is_of_rows { hint } else { "" }))
            }
            Err(error) => Err(error.into()),
        }
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
        self.train_on(session, model, random_seed, self.rows.loader(batches))
    }

    fn train_on(
        &self,
        session: &Session,
        model: Params,
        random_seed: u64,
        rows: SomeRows,
    ) -> Result<Outcome, Error> {
        let aux_in = zeros(&session.declaration().aux_in)?;
        let start = Start { model, aux_in, ..Start::default() };
        session.train(start, plan_seed(random_seed), Box::new(rows), Box::new(drop), &self.cancel)
    }

    fn predict(&self, model: Params, batches: &[usize]) -> Result<Outcome, Error> {
        self.predict_in(&self.session, model, batches)
    }

    fn predict_in(
        &self,
        session: &Session,
        model: Params,
        batches: &[usize],
    ) -> Result<Outcome, Error> {
        let loader = Box::new(self.rows.loader(batches));
        session.predict(model, [0; 32], loader, &self.cancel)
    }

    fn validate(&self, model: Params, batches: &[usize]) -> Result<Outcome, Error> {
        self.validate_on(model, self.rows.loader(batches))
    }

    fn validate_on(&self, model: Params, rows: SomeRows) -> Result<Outcome, Error> {
        self.session.validate(model, [0; 32], Box::new(rows), &self.cancel)
    }

    /// A session of the same plan with other arguments or in another profile.
    fn other(&self, profile: Profile, given: Arguments) -> Result<Session, Error> {
        self.session_of(&self.options.component, profile, given)
    }

    fn session_of(
        &self,
        component: &Component,
        profile: Profile,
        given: Arguments,
    ) -> Result<Session, Error> {
        let Self { options, .. } = self;
        let sandbox = options.sandbox.with_profile(profile);
        session(&sandbox.describe(component, options.limits.clone())?, options, given)
    }

    /// Batches of the usual size over all rows; the last is short.
    fn batches(&self) -> Vec<usize> {
        let n = self.rows.len();
        (0..n).step_by(BATCH_ROWS).map(|at| BATCH_ROWS.min(n - at)).collect()
    }

    /// One batch of at most 16 rows.
    fn one_batch(&self) -> [usize; 1] {
        [gradient::ROWS.min(self.rows.len())]
    }

    fn argument(&self, name: &str, kind: ValueKind) -> Option<&Argument> {
        let mut arguments = self.plan().metadata().arguments.iter();
        arguments.find(|argument| argument.name == name && argument.kind == kind)
    }
}

/// The name of the failed check because of which one that depends on these is not run.
fn first_cause(done: &[Check], depends_on: &[&str]) -> Option<String> {
    let causes = done.iter().filter(|check| depends_on.contains(&check.name));
    let mut causes = causes.filter_map(|check| match &check.verdict {
        CheckVerdict::Failed(_) => Some(check.name.to_owned()),
        CheckVerdict::NotRun(cause) => Some(cause.clone()),
        _ => None,
    });
    causes.next()
}

fn draw(
    session: &Session,
    options: &SuiteOptions,
    inputs: DrawnInputs,
) -> Result<TestRows, crate::Error> {
    let n_classes = n_classes(session).unwrap_or(2);
    TestRows::synthetic(session.declaration(), inputs, n_classes, options.random_seed)
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
