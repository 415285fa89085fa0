//! From the trait of this crate to the exports of the contract.

use std::marker::PhantomData;
use std::sync::Once;

use crate::bindings::exports::fedwasm::training_plan::plan as wit;
use crate::bindings::fedwasm::training_plan::monitor::Level;
use crate::bindings::fedwasm::training_plan::types::{Dtype, TensorSpec, Value};
use crate::training::{self, GLOBAL, LOCAL, SCAFFOLD, Stepper, Totals};
use crate::{
    Argument, Arguments, Data, Dependency, Optimizer, Parameter, PlanArguments, PlanError, Random,
    Result, Scope, Training, TrainingPlan, engine, imports,
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
        begin();
        let mut arguments = P::Arguments::announced();
        if P::takes_steps() {
            arguments.extend(of_steps::<P>());
        }
        P::metadata(wit::Metadata {
            name: P::NAME.into(),
            version: P::VERSION.into(),
            task: P::TASK.into_wit(),
            arguments: arguments.into_iter().map(Argument::into_wit).collect(),
            dependencies: P::dependencies().into_iter().chain(announced::<P>()).collect(),
        })
    }

    fn declare(arguments: Vec<(String, Value)>) -> Result<wit::Declaration> {
        begin();
        let arguments = given::<P>(arguments);
        let model = Model::<P>::new(&arguments)?;
        let Data { inputs, targets } = model.plan.data();
        let (mut aux_in, mut aux_out) = (Vec::new(), Vec::new());
        if arguments.boolean(SCAFFOLD)? {
            for (name, parameter) in model.corrected() {
                let (global, local) = (format!("{GLOBAL}.{name}"), format!("{LOCAL}.{name}"));
                let shape = parameter.shape();
                aux_in.push(spec(global, &shape, Scope::Shared));
                aux_in.push(spec(local.clone(), &shape, Scope::Local));
                aux_out.push(spec(local, &shape, Scope::Local));
            }
        }
        let state = Stepper::state::<P::Optimizer>(&arguments, &model.trained())?;
        let state = state.into_iter().map(|(name, shape)| spec(name, &shape, Scope::Local));
        engine::check()?;
        let (model, state) = (model.specs(), state.collect());
        Ok(wit::Declaration { inputs, targets, model, aux_in, aux_out, state })
    }

    fn init(arguments: Vec<(String, Value)>) -> Result<()> {
        begin();
        let mut model = Model::<P>::new(&Arguments::new(arguments))?;
        model.plan.init(&mut Random::new())?;
        model.save(|_| true)
    }

    fn train(arguments: Vec<(String, Value)>) -> Result<wit::Report> {
        begin();
        engine::set_training(true);
        let arguments = given::<P>(arguments);
        let mut model = Model::<P>::load(&arguments)?;
        let only = |parameters: Vec<(String, Parameter)>| {
            parameters.into_iter().map(|(_, parameter)| parameter).collect()
        };
        let (trained, corrected) = (only(model.trained()), only(model.corrected()));
        let data = model.plan.data();
        let mut training = Training::new::<P::Optimizer>(&arguments, data, trained, corrected)?;
        model.plan.train(&mut training)?;
        model.plan.postprocess()?;
        // The host keeps frozen ones, and in training takes no others.
        model.save(|parameter| !parameter.is_frozen())?;
        let mut report = training.finish()?;
        if !P::takes_steps() {
            report.metrics.retain(|(name, _)| !name.starts_with("optimizer."));
        }
        Ok(report)
    }

    fn predict(arguments: Vec<(String, Value)>) -> Result<()> {
        begin();
        let mut model = Model::<P>::load(&Arguments::new(arguments))?;
        engine::set_recording(false);
        let data = model.plan.data();
        while let Some((batch, index)) = data.next()? {
            let scores = model.plan.predict(&batch)?;
            engine::emit(index, scores.checked()?)?;
        }
        Ok(())
    }

    fn validate(arguments: Vec<(String, Value)>) -> Result<wit::Report> {
        begin();
        let mut model = Model::<P>::load(&Arguments::new(arguments))?;
        engine::set_recording(false);
        let data = model.plan.data();
        let mut totals = Totals::default();
        let announced = P::metric_names();
        while let Some((batch, _)) = data.next()? {
            for (name, value) in model.plan.named_metrics(&batch)? {
                check_metric(&announced, &name)?;
                totals.add(&name, value, batch.rows());
            }
            if let Some(loss) = model.plan.testing_loss(&batch)? {
                totals.add("loss", loss.item()?, batch.rows());
            }
            totals.step(batch.rows());
        }
        Ok(wit::Report { steps: 0, ..totals.report() })
    }
}

/// The arguments of the optimizer, and of aggregators that correct its steps.
fn of_steps<P: TrainingPlan>() -> Vec<Argument> {
    let mut arguments = P::Optimizer::arguments();
    arguments.extend(training::arguments());
    arguments
}

/// The arguments of a call; those of steps have their defaults where none are taken.
fn given<P: TrainingPlan>(mut given: Vec<(String, Value)>) -> Arguments {
    if !P::takes_steps() {
        let of_steps = of_steps::<P>().into_iter().map(Argument::into_wit);
        given.extend(of_steps.filter_map(|argument| match argument.default {
            wit::Default::Value(value) => Some((argument.name, value)),
            _ => None,
        }));
    }
    Arguments::new(given)
}

/// A plan and its parameters by name.
struct Model<P> {
    plan: P,
    parameters: Vec<(String, Parameter)>,
}

impl<P: TrainingPlan> Model<P> {
    fn new(arguments: &Arguments) -> Result<Self> {
        let plan = P::model(&P::Arguments::read(arguments)?);
        // What the model is made of may have noted why it cannot be.
        engine::check()?;
        let plan = plan?;
        let parameters = plan.parameters();
        for (nth, (name, _)) in parameters.iter().enumerate() {
            if parameters[..nth].iter().any(|(known, _)| known == name) {
                return Err(PlanError::Internal(format!("two parameters are called `{name}`")));
            }
        }
        Ok(Self { plan, parameters })
    }

    fn load(arguments: &Arguments) -> Result<Self> {
        let model = Self::new(arguments)?;
        for (index, (_, parameter)) in model.parameters.iter().enumerate() {
            parameter.load(index)?;
        }
        Ok(model)
    }

    fn save(&self, which: impl Fn(&Parameter) -> bool) -> Result<()> {
        engine::check()?;
        let all = self.parameters.iter().enumerate();
        for (index, (_, parameter)) in all.filter(|(_, (_, parameter))| which(parameter)) {
            parameter.save(index)?;
        }
        Ok(())
    }

    fn scope(name: &str, parameter: &Parameter) -> Scope {
        if parameter.is_local() { Scope::Local } else { P::scope(name) }
    }

    fn specs(&self) -> Vec<TensorSpec> {
        let spec = |(name, parameter): &(String, Parameter)| TensorSpec {
            trainable: !parameter.is_frozen(),
            ..spec(name.clone(), &parameter.shape(), Self::scope(name, parameter))
        };
        self.parameters.iter().map(spec).collect()
    }

    /// Those that the optimizer moves.
    fn trained(&self) -> Vec<(String, Parameter)> {
        let trained = self.parameters.iter().filter(|(_, parameter)| parameter.is_trained());
        trained.cloned().collect()
    }

    /// Those that SCAFFOLD has control variates of: all that training changes and the researcher sees.
    /// The aggregator cannot know which of them are buffers; theirs stay 0.
    fn corrected(&self) -> Vec<(String, Parameter)> {
        let mut corrected = self.parameters.clone();
        corrected.retain(|(name, parameter)| {
            !parameter.is_frozen() && Self::scope(name, parameter) == Scope::Shared
        });
        corrected
    }
}

fn spec(name: String, shape: &[usize], scope: Scope) -> TensorSpec {
    let shape = shape.iter().map(|size| *size as u64).collect();
    TensorSpec { name, dtype: Dtype::Float32, shape, trainable: true, scope }
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
    P::metric_names().into_iter().map(|name| Dependency::HostFeature(format!("metric/{name}")))
}

/// Refuses a metric that would be mistaken for another one, or that the host would leave out.
fn check_metric(announced: &[String], name: &str) -> Result<()> {
    let text = if OF_HOST.contains(&name) {
        format!("the metric `{name}` is reported anyway; give yours another name")
    } else if announced.iter().all(|known| known != name) {
        format!("the metric `{name}` is not announced; add it to `const METRICS`")
    } else {
        return Ok(());
    };
    Err(PlanError::Unsupported(text))
}

/// Begins an export. A panic ends in a trap that says nothing; its message goes to the host's log
/// first.
fn begin() {
    static ONCE: Once = Once::new();
    engine::reset();
    if cfg!(target_arch = "wasm32") {
        ONCE.call_once(|| {
            std::panic::set_hook(Box::new(|info| imports::log(Level::Error, &info.to_string())));
        });
    }
}
