//! Losses against PyTorch, operators, and mistakes.

use crate::torch_values::{assert_torch, torch};
use crate::*;

const TOLERANCE: f32 = 1e-6;

/// A loss and its gradient.
#[track_caller]
fn assert_loss(name: &str, loss: impl Fn(&Tensor, &Tensor) -> Tensor) {
    let scores = torch(&format!("{name}.scores")).tensor().requires_grad();
    let targets = torch(&format!("{name}.targets"));
    let is_whole = name.starts_with("cross_entropy") || targets.shape.len() < scores.rank();
    let targets = if is_whole { targets.whole() } else { targets.tensor() };
    let loss = loss(&scores, &targets);
    loss.backward().unwrap();
    assert_torch(&format!("{name}.loss"), &loss.reshape(&[1]), TOLERANCE);
    let gradient = scores.take_gradient().unwrap().unwrap();
    assert_torch(&format!("{name}.gradient"), &gradient, TOLERANCE);
}

#[test]
fn losses_are_those_of_pytorch() {
    assert_loss("cross_entropy", Tensor::cross_entropy);
    assert_loss("cross_entropy_large", Tensor::cross_entropy);
    assert_loss("cross_entropy", |scores, classes| scores.log_softmax(-1).nll(classes));
    assert_loss("binary_cross_entropy_classes", Tensor::bce_with_logits);
    assert_loss("binary_cross_entropy_reals", Tensor::bce_with_logits);
    // Right by far: a gradient of 1e-9 is beside the rounding of a probability of almost 1.
    let scores = torch("binary_cross_entropy_sure.scores").tensor();
    let loss = scores.bce_with_logits(&torch("binary_cross_entropy_sure.targets").whole());
    assert_torch("binary_cross_entropy_sure.loss", &loss.reshape(&[1]), TOLERANCE);
    assert_loss("mse", Tensor::mse);
    assert_loss("mae", Tensor::mae);
    assert_loss("huber", |x, y| x.huber(y, 0.75));
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.to_vec().unwrap()
}

#[test]
fn operators_mix_tensors_and_numbers() {
    let x = Tensor::from_slice(&[1.0f32, 3.0, -6.0], &[3]);
    assert_eq!(values(&(&x + 1.0)), values(&(1.0 + &x)));
    assert_eq!(values(&(&x - 1.0)), [0.0, 2.0, -7.0]);
    assert_eq!(values(&(1.0 - &x)), [0.0, -2.0, 7.0]);
    assert_eq!(values(&(&x * 2.0 + -&x)), values(&x));
    // A quotient, rounded once: 3 · (1 / 3) by two roundings is the same, 7 · (1 / 49) is not.
    assert_eq!(values(&(Tensor::full(&[1], 7.0) / 49.0)), [7.0f32 / 49.0]);
    assert_eq!(values(&(&x / 3.0)), [1.0f32 / 3.0, 1.0, -2.0]);
    assert_eq!(values(&(6.0 / &x)), [6.0, 2.0, -1.0]);
    assert_eq!(values(&(&x / &x.reshape(&[-1, 1]))).len(), 9);
    assert_eq!(values(&x.maximum(0.0)), [1.0, 3.0, 0.0]);
    assert_eq!(values(&x.gt(0.0).where_(&x, -1.0)), [1.0, 3.0, -1.0]);
    assert_eq!(x.ge(3.0).to_vec::<bool>().unwrap(), [false, true, false]);
}

#[test]
fn axes_are_counted_from_both_ends() {
    let x = Tensor::from_fn(&[2, 3, 4], |at| (100 * at[0] + 10 * at[1] + at[2]) as f32);
    assert_eq!(x.sum(&[-1]).shape(), [2, 3]);
    assert_eq!(x.mean_keep(&[0, -1]).shape(), [1, 3, 1]);
    assert_eq!((x.size(-1), x.size(0), x.size(3), x.size(-4)), (4, 2, 0, 0));
    assert_eq!(x.transpose(1, -1).shape(), [2, 4, 3]);
    assert_eq!(values(&x.select(1, 2).select(0, 1)), [120.0, 121.0, 122.0, 123.0]);
    assert_eq!(x.reshape(&[-1, 6]).shape(), [4, 6]);
    assert_eq!(x.unsqueeze(-1).shape(), [2, 3, 4, 1]);
    assert_eq!(x.unsqueeze(-1).squeeze(-1).shape(), [2, 3, 4]);
    let parts = x.split(&[1, 2], 1);
    assert_eq!(values(&Tensor::concat(&[&parts[0], &parts[1]], 1)), values(&x));
    assert_eq!(x.chunk(2, -1)[1].shape(), [2, 3, 2]);
    assert_eq!(Tensor::stack(&[&x, &x], -1).shape(), [2, 3, 4, 2]);
    assert_eq!(x.flatten(1).shape(), [2, 12]);
    assert_eq!(x.argmax(-1).to_vec::<i64>().unwrap(), [3; 6]);
}

#[test]
fn the_first_mistake_is_told_with_its_line() {
    let x = Tensor::ones(&[2, 3]);
    let wrong = x.matmul(&Tensor::ones(&[2, 3]));
    let line = line!() - 1;
    let after = (wrong.relu() + Tensor::ones(&[7])).sum(&[5]);
    assert_eq!((after.shape(), after.size(0), after.len()), (vec![], 0, 0));
    let error = after.backward().unwrap_err().to_string();
    assert!(
        error.contains(&format!("tests.rs:{line}: matmul of f32 [2, 3], f32 [2, 3]")),
        "{error}"
    );
    // Everything that is read from now on says so.
    assert_eq!(x.item().unwrap_err().to_string(), error);
}

#[test]
fn a_mistake_in_a_chain_names_the_layer_and_the_line_of_the_plan() {
    engine::set_training(true);
    let inner = Sequential::new().then("output", Linear::new(3, 1));
    let network = Sequential::new().then("hidden", Linear::new(2, 4)).then("inner", inner);
    for (_, parameter) in network.parameters() {
        parameter.set(&Tensor::ones(&parameter.shape()));
    }
    let y = network.forward(&Tensor::ones(&[5, 2]));
    let line = line!() - 1;
    let error = y.item().unwrap_err().to_string();
    let place = format!("tests.rs:{line}: in `inner.output`: linear of f32 [5, 4]");
    assert!(error.contains(&place), "{error}");
}

/// What is wrong with the tensors that `f` makes.
fn mistake(f: impl FnOnce() -> Tensor) -> String {
    engine::reset();
    f().to_vec::<f32>().unwrap_err().to_string()
}

#[test]
fn mistakes_say_what_is_wrong() {
    let x = || Tensor::ones(&[2, 3]);
    let wrongs = [
        (mistake(|| x().sum(&[2])), "axis 2 is not below 2"),
        (mistake(|| x().sum(&[-3])), "an axis counted from the end"),
        (mistake(|| x().reshape(&[-1, 4])), "one size may be -1"),
        (mistake(|| x().reshape(&[-1, -1])), "one size may be -1"),
        (mistake(|| x().reshape(&[-2, 3])), "one size may be -1"),
        (mistake(|| x().squeeze(0)), "reshape of f32 [2, 3]"),
        (mistake(|| x() + Tensor::range(3)), "i64 [3]: expected f32 or f64"),
        (mistake(|| Tensor::from_slice(&[1.0f32], &[2])), "1 elements in shape [2]"),
        (mistake(|| Tensor::concat(&[], 0)), "one or more"),
        (mistake(|| Linear::new(2, 3).forward(&x())), "has no value while the model is built"),
        (mistake(|| x().split(&[1, 1], 1).remove(0)), "the parts must cover the axis"),
        (mistake(|| x().cross_entropy(&Batch::new(x(), x()).target("y"))), "no target `y`"),
    ];
    for (got, wanted) in wrongs {
        assert!(got.contains(wanted) && got.contains("tests.rs:"), "{got}, not {wanted}");
    }
    let classes = || Tensor::from_slice(&[0i64, 9], &[2]);
    engine::reset();
    let error = x().cross_entropy(&classes()).item().unwrap_err();
    assert!(matches!(&error, PlanError::BadData(text) if text.contains("9 is not in 0..3")));
    engine::reset();
    let error = x().to_vec::<i64>().unwrap_err().to_string();
    assert!(error.contains("elements are f32, i64 was asked for"), "{error}");
    let _ = Linear::new(0, 3);
    let error = engine::check().unwrap_err();
    assert!(matches!(&error, PlanError::InvalidArgument(text) if text.contains("[3, 0]")));
}

#[test]
fn tensors_outlive_batches_and_go_with_their_handles() {
    let data = Data::classes(&[2]);
    let (kept, gone) = (Tensor::full(&[2], 7.0), Tensor::zeros(&[3]));
    assert!(data.next().unwrap().is_none());
    drop(gone);
    assert!(data.next().unwrap().is_none());
    assert_eq!(values(&kept), [7.0, 7.0]);
    // More than wait to be released at once.
    for _ in 0..100 {
        let _ = &kept + 1.0;
    }
    assert_eq!(values(&(kept + 1.0)), [8.0, 8.0]);
}

#[test]
fn what_is_kept_and_replaced_in_each_batch_takes_no_more_memory() {
    let data = Data::classes(&[2]);
    let mut sum = Tensor::zeros(&[1000]);
    let mut bytes = Vec::new();
    for _ in 0..200 {
        data.next().unwrap();
        sum = sum + 1.0;
        bytes.push(engine::bytes());
    }
    // As many as wait to be released at most.
    assert!(bytes.iter().all(|bytes| *bytes < 40 * 6000), "{bytes:?}");
    assert_eq!(values(&sum), [200.0; 1000]);
}

#[test]
fn nothing_is_recorded_without_gradients() {
    let x = Tensor::ones(&[1]).requires_grad();
    let constant = no_grad(|| no_grad(|| &x * 3.0) * 2.0);
    (&x * constant + x.detach()).backward().unwrap();
    assert_eq!(values(&x.take_gradient().unwrap().unwrap()), [6.0]);
}

#[test]
fn a_tensor_of_an_earlier_call_is_refused_and_releases_nothing() {
    let old = Tensor::ones(&[1]);
    engine::reset();
    // It has the number that the other one had.
    let new = Tensor::full(&[1], 3.0);
    let error = (&old + 1.0).item().unwrap_err().to_string();
    assert!(error.contains("a tensor of an earlier call of the plan, which has ended"), "{error}");
    assert!(crate::native::take_mistake().is_some());
    drop(old);
    assert_eq!((&new + 1.0).item().unwrap(), 4.0);
}
