//! From the trait of this crate to the exports of the contract.

use std::marker::PhantomData;
use std::sync::Once;

use crate::bindings::exports::fedwasm::training_plan::plan as wit;
use crate::bindings::fedwasm::training_plan::monitor::{self, Level};
use crate::bindings::fedwasm::training_plan::types::{Dtype, TensorSpec, Value};
use crate::proximal::{MU, Proximal};
use crate::scaffold::{GLOBAL, LOCAL, SCAFFOLD, Scaffold};
use crate::session::{self, Random};
use crate::{Argument, Arguments, Data, Parameter, PlanError, Result, Scope, Sgd, TrainingPlan};

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
        let arguments = P::arguments().into_iter().chain(Sgd::arguments()).chain(aggregator());
        wit::Metadata {
            name: P::NAME.into(),
            version: P::VERSION.into(),
            task: P::TASK,
            arguments: arguments.map(Argument::into_wit).collect(),
            dependencies: P::dependencies(),
        }
    }

    fn declare(arguments: Vec<(String, Value)>) -> Result<wit::Declaration> {
        report_panics();
        let arguments = Arguments::new(arguments);
        let mut plan = P::model(&arguments)?;
        let data = plan.data();
        let model = specs(&mut plan);
        let called = |prefix: &str, spec: &TensorSpec, scope| TensorSpec {
            name: format!("{prefix}.{}", spec.name),
            scope,
            ..spec.clone()
        };
        let (mut aux_in, mut aux_out) = (Vec::new(), Vec::new());
        if arguments.boolean(SCAFFOLD)? {
            for spec in model.iter().filter(|spec| spec.scope == Scope::Shared) {
                aux_in.push(called(GLOBAL, spec, Scope::Shared));
                aux_in.push(called(LOCAL, spec, Scope::Local));
                aux_out.push(called(LOCAL, spec, Scope::Local));
            }
        }
        let state = P::optimizer(&arguments)?.state_name();
        let state = state.map_or(Vec::new(), |name| {
            model.iter().map(|spec| called(name, spec, Scope::Local)).collect()
        });
        let Data { inputs, targets } = data;
        Ok(wit::Declaration { inputs, targets, model, aux_in, aux_out, state })
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
        let keeps_state = optimizer.state_name().is_some();
        if keeps_state {
            session::read_state(optimizer.buffers(&parameters(&mut plan)))?;
        }
        let proximal = Proximal::new(&arguments, &parameters(&mut plan))?;
        let specs = specs(&mut plan);
        let shared: Vec<bool> = specs.iter().map(|spec| spec.scope == Scope::Shared).collect();
        let mut scaffold = Scaffold::new(&arguments, &parameters(&mut plan), &shared)?;
        let mut totals = Totals::default();
        while let Some((batch, rows)) = session::next_batch()? {
            let loss = plan.training_step(&batch)?;
            if !loss.is_finite() {
                let step = totals.steps + 1;
                return Err(PlanError::NonFinite(format!("the loss of step {step} is {loss}")));
            }
            let mut parameters = parameters(&mut plan);
            if let Some(proximal) = &proximal {
                proximal.correct(&mut parameters);
            }
            if let Some(scaffold) = &mut scaffold {
                scaffold.correct(&mut parameters);
            }
            optimizer.step(&mut parameters);
            totals.add("loss", loss, rows);
            totals.step(rows);
            // A full monitor is no reason to stop training.
            let _ = monitor::scalars(&[("loss".into(), f64::from(loss))]);
        }
        session::write_parameters(&parameters(&mut plan))?;
        if keeps_state {
            session::write_state(optimizer.buffers(&parameters(&mut plan)))?;
        }
        if let Some(scaffold) = scaffold {
            scaffold.finish()?;
        }
        let mut report = totals.report();
        report.metrics.push(("optimizer.lr".into(), f64::from(optimizer.lr())));
        Ok(report)
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
            totals.add("loss", plan.testing_step(&batch)?, rows);
            for (name, value) in plan.metrics(&batch)? {
                totals.add(name, value, rows);
            }
            totals.step(rows);
        }
        Ok(wit::Report { steps: 0, ..totals.report() })
    }
}

/// What the SDK itself understands of an aggregator's arguments.
fn aggregator() -> Vec<Argument> {
    let mu = "weight of the proximal term, at least 0";
    let scaffold = "whether gradients are corrected by control variates";
    vec![Argument::real(MU, 0.0, mu), Argument::boolean(SCAFFOLD, false, scaffold)]
}

/// Sums over batches, weighted by rows, in the order of first occurrence.
#[derive(Default)]
struct Totals {
    steps: u64,
    rows: u64,
    sums: Vec<(&'static str, f64)>,
}

impl Totals {
    fn add(&mut self, name: &'static str, mean: f32, rows: u32) {
        let term = f64::from(mean) * f64::from(rows);
        match self.sums.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += term,
            None => self.sums.push((name, term)),
        }
    }

    fn step(&mut self, rows: u32) {
        self.steps += 1;
        self.rows += u64::from(rows);
    }

    fn report(&self) -> wit::Report {
        let mean = |(name, sum): &(&str, f64)| ((*name).into(), sum / self.rows as f64);
        let metrics = self.sums.iter().map(mean).collect();
        wit::Report { steps: self.steps, rows: self.rows, metrics }
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
            let full = format!("{layer_name}.{name}");
            specs.push(TensorSpec {
                name: full.clone(),
                dtype: Dtype::Float32,
                shape: parameter.value.shape().iter().map(|axis| *axis as u64).collect(),
                trainable: true,
                scope: P::scope(&full),
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
