//! From the trait of this crate to the exports of the contract.

use std::marker::PhantomData;
use std::sync::Once;

use crate::bindings::exports::fedwasm::training_plan::plan as wit;
use crate::bindings::fedwasm::training_plan::monitor::{self, Level};
use crate::bindings::fedwasm::training_plan::types::{Dtype, TensorSpec, Value};
use crate::optimizers::{KEEP_STATE, state};
use crate::proximal::MU;
use crate::scaffold::{GLOBAL, LOCAL, SCAFFOLD};
use crate::session::{self, Random};
use crate::training::Totals;
use crate::{
    Argument, Arguments, Data, Dependency, Optimizer, Parameter, PlanArguments, PlanError, Result,
    Scope, Training, TrainingPlan,
};

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
        let mut arguments = P::Arguments::announced();
        arguments.extend(P::Optimizer::arguments());
        arguments.extend(common());
        wit::Metadata {
            name: P::NAME.into(),
            version: P::VERSION.into(),
            task: P::TASK,
            arguments: arguments.into_iter().map(Argument::into_wit).collect(),
            dependencies: P::dependencies().into_iter().chain(announced::<P>()).collect(),
        }
    }

    fn declare(arguments: Vec<(String, Value)>) -> Result<wit::Declaration> {
        report_panics();
        let arguments = Arguments::new(arguments);
        let mut plan = model::<P>(&arguments)?;
        let data = plan.data();
        let model = specs(&mut plan);
        let called = |name: String, shape: &[u64], scope| TensorSpec {
            name,
            dtype: Dtype::Float32,
            shape: shape.to_vec(),
            trainable: true,
            scope,
        };
        let trained = trained(&mut plan);
        let (mut aux_in, mut aux_out, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        let corrected = |spec: &&TensorSpec| {
            spec.scope == Scope::Shared && trained.iter().any(|(name, _)| *name == spec.name)
        };
        if arguments.boolean(SCAFFOLD)? {
            for TensorSpec { name, shape, .. } in model.iter().filter(corrected) {
                let (global, local) = (format!("{GLOBAL}.{name}"), format!("{LOCAL}.{name}"));
                aux_in.push(called(global, shape, Scope::Shared));
                aux_in.push(called(local.clone(), shape, Scope::Local));
                aux_out.push(called(local, shape, Scope::Local));
            }
        }
        let rule = P::Optimizer::from_arguments(&arguments)?;
        if arguments.boolean(KEEP_STATE)? {
            let specs = state(&rule, &trained).into_iter();
            kept.extend(specs.map(|(name, shape)| called(name, &shape, Scope::Local)));
        }
        let Data { inputs, targets } = data;
        Ok(wit::Declaration { inputs, targets, model, aux_in, aux_out, state: kept })
    }

    fn init(arguments: Vec<(String, Value)>) -> Result<()> {
        report_panics();
        let mut plan = model::<P>(&Arguments::new(arguments))?;
        plan.init(&mut Random::new())?;
        session::write_parameters(&parameters(&mut plan))
    }

    fn train(arguments: Vec<(String, Value)>) -> Result<wit::Report> {
        report_panics();
        let arguments = Arguments::new(arguments);
        let mut plan = load::<P>(&arguments, true)?;
        let specs = specs(&mut plan);
        let shared: Vec<bool> = specs.iter().map(|spec| spec.scope == Scope::Shared).collect();
        let mut training = Training::new(&arguments, &mut plan, &shared)?;
        plan.train(&mut training)?;
        plan.postprocess()?;
        session::write_trained(&parameters(&mut plan))?;
        training.finish()
    }

    fn predict(arguments: Vec<(String, Value)>) -> Result<()> {
        report_panics();
        let mut plan = load::<P>(&Arguments::new(arguments), false)?;
        while let Some((batch, index, _)) = session::next_batch()? {
            session::emit(index, &plan.predict(batch)?)?;
        }
        Ok(())
    }

    fn validate(arguments: Vec<(String, Value)>) -> Result<wit::Report> {
        report_panics();
        let mut plan = load::<P>(&Arguments::new(arguments), false)?;
        let mut totals = Totals::default();
        while let Some((batch, _, rows)) = session::next_batch()? {
            for (name, value) in plan.metrics(&batch)? {
                check_metric::<P>(name)?;
                totals.add(name, value, rows);
            }
            totals.add("loss", plan.testing_step(batch)?, rows);
            totals.step(rows);
        }
        Ok(wit::Report { steps: 0, ..totals.report() })
    }
}

/// What the SDK itself understands, whatever the plan and its optimizer.
fn common() -> Vec<Argument> {
    let keep = "whether what the optimizer keeps goes on from round to round, at the node";
    let mu = "weight of the proximal term, at least 0";
    let scaffold = "whether gradients are corrected by control variates";
    vec![
        Argument::with_default::<bool, _>(KEEP_STATE, false, keep),
        Argument::with_default::<f64, _>(MU, 0.0, mu),
        Argument::with_default::<bool, _>(SCAFFOLD, false, scaffold),
    ]
}

/// What the host reports by itself, and the SDK's mean loss.
const OF_HOST: [&str; 8] = [
    "loss",
    "accuracy",
    "precision",
    "recall",
    "f1_score",
    "mean_square_error",
    "mean_absolute_error",
    "explained_variance",
];

/// The plan's own metrics, as the contract announces them: the host lets no other name out.
fn announced<P: TrainingPlan>() -> impl Iterator<Item = Dependency> {
    P::METRICS.iter().map(|name| Dependency::HostFeature(format!("metric/{name}")))
}

/// Refuses a metric that would be mistaken for another one, or that the host would leave out.
fn check_metric<P: TrainingPlan>(name: &str) -> Result<()> {
    let text = if OF_HOST.contains(&name) {
        format!("the metric `{name}` is reported anyway; give yours another name")
    } else if !P::METRICS.contains(&name) {
        format!("the metric `{name}` is not announced; add it to `const METRICS`")
    } else {
        return Ok(());
    };
    Err(PlanError::Unsupported(text))
}

fn model<P: TrainingPlan>(arguments: &Arguments) -> Result<P> {
    P::model(&P::Arguments::read(arguments)?)
}

fn load<P: TrainingPlan>(arguments: &Arguments, is_training: bool) -> Result<P> {
    let mut plan = model::<P>(arguments)?;
    session::read_parameters(&mut parameters(&mut plan))?;
    for (_, layer) in plan.layers() {
        layer.set_training(is_training);
    }
    Ok(plan)
}

pub(crate) fn parameters<P: TrainingPlan>(plan: &mut P) -> Vec<&mut Parameter> {
    plan.parameters().into_iter().map(|(_, parameter)| parameter).collect()
}

fn specs<P: TrainingPlan>(plan: &mut P) -> Vec<TensorSpec> {
    let spec = |(name, parameter): (String, &mut Parameter)| TensorSpec {
        dtype: Dtype::Float32,
        shape: parameter.value.shape().iter().map(|axis| *axis as u64).collect(),
        trainable: !parameter.is_frozen,
        scope: if parameter.is_local { Scope::Local } else { P::scope(&name) },
        name,
    };
    plan.parameters().into_iter().map(spec).collect()
}

/// Names and shapes of the parameters that the optimizer moves.
fn trained<P: TrainingPlan>(plan: &mut P) -> Vec<(String, Vec<u64>)> {
    let is_trained: Vec<bool> = parameters(plan).iter().map(|p| p.is_trained()).collect();
    let specs = specs(plan).into_iter().zip(is_trained);
    let trained = specs.filter(|(_, is_trained)| *is_trained);
    trained.map(|(spec, _)| (spec.name, spec.shape)).collect()
}

/// A panic ends in a trap that says nothing; its message goes to the host's
/// log first.
fn report_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|info| monitor::log(Level::Error, &info.to_string())));
    });
}
