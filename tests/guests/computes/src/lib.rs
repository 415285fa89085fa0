//! A plan on the raw bindings of contract 0.2: it trains a small network with tensors of the host,
//! or does to them what `model.deed` names. A deed that ends otherwise than it must is an error
//! with its words.

#[allow(clippy::all, unsafe_code, missing_docs, unreachable_pub, reason = "generated")]
mod bindings;
mod deeds;
#[path = "../../../../plugins/sdk/src/runtime.rs"]
pub mod runtime;

use bindings::exports::fedwasm::training_plan::plan;
use bindings::fedwasm::training_plan::compute::{self, ComputeError, Optimizer, Sgd, TensorId};
use bindings::fedwasm::training_plan::store::Slot;
use bindings::fedwasm::training_plan::types::{
    Arguments, DataSpec, Dtype, PlanError, Scope, TensorSpec, Value, ValueKind,
};
use fedwasm_compute::{Binary, ClassLoss, Op, Reduction, Unary};

/// Parameters: weight and bias of each layer.
const MODEL: [&str; 4] = ["hidden.weight", "hidden.bias", "output.weight", "output.bias"];

/// Their sizes.
fn shapes(arguments: &Arguments) -> [Vec<u32>; 4] {
    [vec![16, whole(arguments, "model.features") as u32], vec![16], vec![2, 16], vec![2]]
}

struct Computes;

bindings::export_world!(Computes);

/// What the host refused, as an error of the plan.
fn refused(error: ComputeError) -> PlanError {
    PlanError::Internal(match error {
        ComputeError::Access(error) => format!("access: {}", error.name()),
        ComputeError::Mistake(text) | ComputeError::BadData(text) => text,
    })
}

/// Applies an operation.
fn apply(op: Op, inputs: &[TensorId]) -> Result<TensorId, ComputeError> {
    let mut bytes = Vec::new();
    op.write(&mut bytes);
    compute::apply(&bytes, inputs)
}

fn text(arguments: &Arguments, name: &str) -> String {
    let value = arguments.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    if let Some(Value::Text(text)) = value { text.clone() } else { String::new() }
}

fn whole(arguments: &Arguments, name: &str) -> u64 {
    let value = arguments.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    if let Some(Value::Integer(n)) = value { *n as u64 } else { 0 }
}

/// Loads all parameters, with gradients.
fn load() -> Result<Vec<TensorId>, ComputeError> {
    (0..MODEL.len() as u32)
        .map(|index| {
            let id = compute::load(Slot::Model, index)?;
            compute::want_gradient(id, true)?;
            Ok(id)
        })
        .collect()
}

/// Multiples of 1/8 from -7/16 to 7/16, each as likely, from three bits of a mask.
fn eighths(sizes: &[u32]) -> Result<TensorId, ComputeError> {
    let mut sum = None;
    for share in [0.5, 0.25, 0.125] {
        let mask = compute::keep_mask(sizes, 0.5)?;
        let bit = apply(Op::Cast(fedwasm_compute::Dtype::F32), &[mask])?;
        let part = apply(Op::Unary(Unary::MulScalar(share)), &[bit])?;
        sum = Some(match sum {
            None => apply(Op::Unary(Unary::AddScalar(-0.4375)), &[part])?,
            Some(sum) => apply(Op::Binary(Binary::Add), &[sum, part])?,
        });
    }
    Ok(sum.unwrap_or(TensorId::MAX))
}

fn scores(model: &[TensorId], x: TensorId) -> Result<TensorId, ComputeError> {
    let hidden = apply(Op::Linear, &[x, model[0], model[1]])?;
    let hidden = apply(Op::Unary(Unary::Relu), &[hidden])?;
    apply(Op::Linear, &[hidden, model[2], model[3]])
}

/// One pass over the batches; returns steps, rows and the last loss.
fn train() -> Result<(u64, u64, f64), ComputeError> {
    let model = load()?;
    let kept = model.iter().map(|id| {
        let momentum = apply(Op::Unary(Unary::MulScalar(0.0)), &[compute::detach(*id)?])?;
        compute::keep(momentum)?;
        Ok(momentum)
    });
    let kept = kept.collect::<Result<Vec<_>, ComputeError>>()?;
    let rule = Optimizer::Sgd(Sgd { momentum: 0.9, nesterov: false, weight_decay: 0.01 });
    let loss_of = ClassLoss { is_log: false, ignored: None, reduction: Reduction::Mean };
    let (mut steps, mut rows, mut last) = (0, 0, 0.0);
    while let Some(batch) = compute::next()? {
        let scores = scores(&model, batch.inputs[0])?;
        let loss = apply(Op::ClassLoss(loss_of), &[scores, batch.targets[0]])?;
        last = compute::item(loss)?;
        compute::backward(loss)?;
        compute::clip_by_norm(&model, 1.0)?;
        (steps, rows) = (steps + 1, rows + u64::from(batch.rows));
        compute::step(rule, 0.05, steps, &model, &kept)?;
    }
    for (index, id) in model.iter().enumerate() {
        compute::save(Slot::Model, index as u32, *id)?;
    }
    Ok((steps, rows, last))
}

impl plan::Guest for Computes {
    fn describe() -> plan::Metadata {
        let argument = |name: &str, kind, default| plan::Argument {
            name: name.into(),
            kind,
            default,
            doc: "of the guest".into(),
        };
        let value = plan::Default::Value;
        plan::Metadata {
            name: "computes".into(),
            version: "0.1.0".into(),
            task: plan::Task::Classification,
            arguments: vec![
                argument("model.features", ValueKind::Integer, plan::Default::InputColumns),
                argument("model.deed", ValueKind::Text, value(Value::Text("none".into()))),
                argument("model.n", ValueKind::Integer, value(Value::Integer(0))),
            ],
            dependencies: Vec::new(),
        }
    }

    fn declare(arguments: Arguments) -> Result<plan::Declaration, PlanError> {
        if text(&arguments, "model.deed") == "closed" {
            deeds::all_closed()?;
        }
        let spec = |(name, sizes): (&str, Vec<u32>)| TensorSpec {
            name: name.into(),
            dtype: Dtype::Float32,
            shape: sizes.into_iter().map(u64::from).collect(),
            trainable: true,
            scope: Scope::Shared,
        };
        let data = |name: &str, dtype, shape: &[u64]| DataSpec {
            name: name.into(),
            dtype,
            shape: shape.to_vec(),
        };
        let state = TensorSpec { dtype: Dtype::Int64, ..spec(("number", vec![1])) };
        Ok(plan::Declaration {
            inputs: vec![data("inputs", Dtype::Float32, &[whole(&arguments, "model.features")])],
            targets: vec![data("targets", Dtype::Int64, &[])],
            model: MODEL.into_iter().zip(shapes(&arguments)).map(spec).collect(),
            aux_in: Vec::new(),
            aux_out: Vec::new(),
            state: vec![state, TensorSpec { dtype: Dtype::Int8, ..spec(("small", vec![1])) }],
        })
    }

    fn init(arguments: Arguments) -> Result<(), PlanError> {
        for (index, sizes) in shapes(&arguments).into_iter().enumerate() {
            let value = eighths(&sizes).map_err(refused)?;
            compute::save(Slot::Model, index as u32, value).map_err(refused)?;
        }
        Ok(())
    }

    fn train(arguments: Arguments) -> Result<plan::Report, PlanError> {
        let deed = text(&arguments, "model.deed");
        deeds::run(&deed, whole(&arguments, "model.n"))?;
        let (steps, rows, loss) = train().map_err(refused)?;
        Ok(plan::Report { steps, rows, metrics: vec![("loss".into(), loss)] })
    }

    fn predict(_: Arguments) -> Result<(), PlanError> {
        let model = load().map_err(refused)?;
        while let Some(batch) = compute::next().map_err(refused)? {
            let scores = scores(&model, batch.inputs[0]).map_err(refused)?;
            compute::emit(batch.index, scores).map_err(refused)?;
        }
        Ok(())
    }

    fn validate(_: Arguments) -> Result<plan::Report, PlanError> {
        let model = load().map_err(refused)?;
        let loss_of = ClassLoss { is_log: false, ignored: None, reduction: Reduction::Sum };
        let (mut rows, mut sum) = (0, 0.0);
        while let Some(batch) = compute::next().map_err(refused)? {
            let scores = scores(&model, batch.inputs[0]).map_err(refused)?;
            let loss =
                apply(Op::ClassLoss(loss_of), &[scores, batch.targets[0]]).map_err(refused)?;
            sum += compute::item(loss).map_err(refused)?;
            rows += u64::from(batch.rows);
        }
        Ok(plan::Report {
            steps: 0,
            rows,
            metrics: vec![("loss".into(), sum / rows.max(1) as f64)],
        })
    }
}
