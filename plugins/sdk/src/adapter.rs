//! From the trait of this crate to the exports of the contract.

use std::marker::PhantomData;
use std::sync::Once;

use crate::bindings::exports::fedwasm::training_plan::plan as wit;
use crate::bindings::fedwasm::training_plan::monitor::{self, Level};
use crate::bindings::fedwasm::training_plan::types::{Dtype, TensorSpec, Value};
use crate::session::{self, Random};
use crate::{Arguments, Parameter, PlanError, Result, Scope, Sgd, TrainingPlan};

/// The crate that a plan is made from; implemented by [`crate::export!`].
pub trait Package {
    /// Its name.
    const NAME: &'static str;
    /// Its semantic version.
    const VERSION: &'static str;
}

/// Offers a plan as the component's exports.
#[derive(Debug)]
pub struct Adapter<P>(PhantomData<P>);

impl<P: TrainingPlan + Package> wit::Guest for Adapter<P> {
    fn describe() -> wit::Metadata {
        report_panics();
        let arguments = P::arguments().into_iter().chain(Sgd::arguments());
        wit::Metadata {
            name: P::NAME.into(),
            version: P::VERSION.into(),
            task: P::TASK,
            arguments: arguments.map(crate::Argument::into_wit).collect(),
            dependencies: P::dependencies(),
        }
    }

    fn declare(arguments: Vec<(String, Value)>) -> Result<wit::Declaration> {
        report_panics();
        let mut plan = P::model(&Arguments::new(arguments))?;
        let data = plan.data();
        Ok(wit::Declaration {
            inputs: data.inputs,
            targets: data.targets,
            model: specs(&mut plan),
            aux_in: Vec::new(),
            aux_out: Vec::new(),
            state: Vec::new(),
        })
    }

    fn init(arguments: Vec<(String, Value)>) -> Result<()> {
        report_panics();
        let mut plan = P::model(&Arguments::new(arguments))?;
        let mut random = Random::new();
        for (_, layer) in plan.layers() {
            layer.init(&mut random)?;
        }
        session::write_parameters(&parameters(&mut plan))
    }

    fn train(arguments: Vec<(String, Value)>) -> Result<wit::Report> {
        report_panics();
        let arguments = Arguments::new(arguments);
        let mut plan = load::<P>(&arguments)?;
        let mut optimizer = P::optimizer(&arguments)?;
        let mut totals = Totals::default();
        while let Some((batch, rows)) = session::next_batch()? {
            let loss = plan.training_step(&batch)?;
            if !loss.is_finite() {
                let step = totals.steps + 1;
                return Err(PlanError::NonFinite(format!("the loss of step {step} is {loss}")));
            }
            optimizer.step(&mut parameters(&mut plan));
            totals.add(loss, rows);
            // A full monitor is no reason to stop training.
            let _ = monitor::scalars(&[("loss".into(), f64::from(loss))]);
        }
        session::write_parameters(&parameters(&mut plan))?;
        Ok(totals.report())
    }

    fn predict(arguments: Vec<(String, Value)>) -> Result<()> {
        report_panics();
        let mut plan = load::<P>(&Arguments::new(arguments))?;
        while let Some((index, inputs)) = session::next_inputs()? {
            session::emit(index, &plan.predict(&inputs)?)?;
        }
        Ok(())
    }

    fn validate(arguments: Vec<(String, Value)>) -> Result<wit::Report> {
        report_panics();
        let mut plan = load::<P>(&Arguments::new(arguments))?;
        let mut totals = Totals::default();
        while let Some((batch, rows)) = session::next_batch()? {
            totals.add(plan.testing_step(&batch)?, rows);
        }
        Ok(wit::Report { steps: 0, ..totals.report() })
    }
}

/// Sums over batches.
#[derive(Default)]
struct Totals {
    steps: u64,
    rows: u64,
    loss: f64,
}

impl Totals {
    fn add(&mut self, mean_loss: f32, rows: u32) {
        self.steps += 1;
        self.rows += u64::from(rows);
        self.loss += f64::from(mean_loss) * f64::from(rows);
    }

    fn report(&self) -> wit::Report {
        let loss = (self.rows > 0).then(|| ("loss".into(), self.loss / self.rows as f64));
        wit::Report { steps: self.steps, rows: self.rows, metrics: loss.into_iter().collect() }
    }
}

fn load<P: TrainingPlan>(arguments: &Arguments) -> Result<P> {
    let mut plan = P::model(arguments)?;
    session::read_parameters(&mut parameters(&mut plan))?;
    Ok(plan)
}

fn parameters<P: TrainingPlan>(plan: &mut P) -> Vec<&mut Parameter> {
    let layers = plan.layers().into_iter();
    layers.flat_map(|(_, layer)| layer.parameters()).map(|(_, parameter)| parameter).collect()
}

fn specs<P: TrainingPlan>(plan: &mut P) -> Vec<TensorSpec> {
    let mut specs = Vec::new();
    for (layer_name, layer) in plan.layers() {
        for (name, parameter) in layer.parameters() {
            specs.push(TensorSpec {
                name: format!("{layer_name}.{name}"),
                dtype: Dtype::Float32,
                shape: parameter.value.shape().iter().map(|axis| *axis as u64).collect(),
                trainable: true,
                scope: Scope::Shared,
            });
        }
    }
    specs
}

/// A panic ends in a trap that says nothing; its message goes to the host's
/// log first.
fn report_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|info| monitor::log(Level::Error, &info.to_string())));
    });
}
