//! Every loss against PyTorch and finite differences, and what it says of wrong input.

use super::{binary_cross_entropy, cross_entropy, huber, mae, mse};
use crate::finite_differences::{assert_gradient, uniform};
use crate::torch_values::{assert_torch, torch};
use crate::{Result, Targets, Tensor};

type Loss = fn(&Tensor, &Targets) -> Result<(f32, Tensor)>;

const TOLERANCE: f32 = 1e-6;

fn huber_three_quarters(outputs: &Tensor, targets: &Targets) -> Result<(f32, Tensor)> {
    huber(outputs, targets, 0.75)
}

fn classes(tensor: &Tensor) -> Targets {
    Targets::Classes(tensor.data().iter().map(|class| *class as i64).collect())
}

#[test]
fn losses_are_those_of_pytorch() {
    let cases: [(&str, Loss); 7] = [
        ("cross_entropy", cross_entropy),
        ("cross_entropy_large", cross_entropy),
        ("binary_cross_entropy_classes", binary_cross_entropy),
        ("binary_cross_entropy_reals", binary_cross_entropy),
        ("mse", mse),
        ("mae", mae),
        ("huber", huber_three_quarters),
    ];
    for (name, loss) in cases {
        let targets = torch(&format!("{name}.targets"));
        let is_classes = targets.shape().len() == 1;
        let targets = if is_classes { classes(&targets) } else { Targets::Reals(targets) };
        let (loss, gradient) = loss(&torch(&format!("{name}.scores")), &targets).unwrap();
        let loss = Tensor::new(&[1], vec![loss]).unwrap();
        assert_torch(&format!("{name}.loss"), &loss, TOLERANCE);
        assert_torch(&format!("{name}.gradient"), &gradient, TOLERANCE);
    }
}

/// What is left where scores are right by far is small, but not 0.
#[test]
fn losses_of_sure_scores_keep_their_digits() {
    let name = "binary_cross_entropy_sure";
    let targets = classes(&torch(&format!("{name}.targets")));
    let scores = torch(&format!("{name}.scores"));
    let (loss, gradient) = binary_cross_entropy(&scores, &targets).unwrap();
    assert_torch(&format!("{name}.loss"), &Tensor::new(&[1], vec![loss]).unwrap(), TOLERANCE);
    // Differences to 1: float32 has none below 6e-8.
    let expected = torch(&format!("{name}.gradient"));
    let mut pairs = gradient.data().iter().zip(expected.data());
    assert!(pairs.all(|(got, expected)| (got - expected).abs() <= 6e-8), "{gradient:?}");
}

#[test]
fn gradients_are_slopes() {
    let scores = Tensor::new(&[5, 4], uniform(1, 20)).unwrap();
    // Errors that are nowhere near 0 or the delta, where a slope jumps.
    let jumps = [0.3, -0.4, 1.2, -1.5];
    let apart = scores.data().iter().zip(jumps.iter().cycle()).map(|(score, by)| score + by);
    let reals = Targets::Reals(Tensor::new(&[5, 4], apart.collect()).unwrap());
    let shares = uniform(2, 20).into_iter().map(f32::abs).collect();
    let shares = Targets::Reals(Tensor::new(&[5, 4], shares).unwrap());
    let cases: [(&str, Loss, Targets); 5] = [
        ("cross entropy", cross_entropy, Targets::Classes(vec![0, 3, 1, 2, 3])),
        ("binary cross entropy", binary_cross_entropy, shares),
        ("mse", mse, reals.clone()),
        ("mae", mae, reals.clone()),
        ("huber", huber_three_quarters, reals),
    ];
    for (name, loss, targets) in cases {
        // Of the sum, whose slopes are not as small as those of the mean.
        let sum = |data: &[f32]| {
            let scores = Tensor::new(&[5, 4], data.to_vec()).unwrap();
            20.0 * f64::from(loss(&scores, &targets).unwrap().0)
        };
        let (_, gradient) = loss(&scores, &targets).unwrap();
        let gradient: Vec<f32> = gradient.data().iter().map(|slope| 20.0 * slope).collect();
        assert_gradient(name, scores.data(), &gradient, sum);
    }
}

#[test]
fn wrong_input_is_an_error_that_says_what_is_wrong() {
    let zeros = |shape: &[usize]| Tensor::zeros(shape).unwrap();
    let reals = |shape: &[usize]| Targets::Reals(zeros(shape));
    let half = Targets::Reals(Tensor::new(&[1, 1], vec![1.5]).unwrap());
    let nan = Targets::Reals(Tensor::new(&[1, 1], vec![f32::NAN]).unwrap());
    let classes = Targets::Classes;
    let cases: [(Result<(f32, Tensor)>, &str); 16] = [
        (cross_entropy(&zeros(&[2, 3]), &classes(vec![0])), "2 rows of scores, 1 classes"),
        (cross_entropy(&zeros(&[2, 3]), &classes(vec![0, 3])), "class 3 is not in 0..3"),
        (cross_entropy(&zeros(&[1, 3]), &classes(vec![i64::MIN])), "is not in 0..3"),
        (cross_entropy(&zeros(&[1, 3]), &reals(&[1, 3])), "targets are not class indices"),
        (cross_entropy(&zeros(&[1, 3]), &Targets::Absent), "targets are not class indices"),
        (cross_entropy(&zeros(&[3]), &classes(vec![0])), "shape [3] is not [rows, columns]"),
        (cross_entropy(&zeros(&[0, 3]), &classes(vec![])), "there are no rows"),
        (cross_entropy(&zeros(&[1, 0]), &classes(vec![0])), "class 0 is not in 0..0"),
        (
            mse(&zeros(&[2, 1]), &reals(&[2, 2])),
            "targets of shape [2, 2] for outputs of shape [2, 1]",
        ),
        (mae(&zeros(&[2, 2]), &classes(vec![0, 1])), "targets of shape [2, 1] for outputs of"),
        (huber_three_quarters(&zeros(&[0, 1]), &reals(&[0, 1])), "there are no rows"),
        (mse(&zeros(&[1, 1]), &Targets::Absent), "there are no targets"),
        (binary_cross_entropy(&zeros(&[1, 1]), &half), "target 1.5 is not between 0 and 1"),
        (binary_cross_entropy(&zeros(&[1, 1]), &nan), "target NaN is not between 0 and 1"),
        (binary_cross_entropy(&zeros(&[1, 1]), &classes(vec![2])), "target 2 is not between"),
        (huber(&zeros(&[1, 1]), &reals(&[1, 1]), -1.0), "huber: delta is -1, expected more than 0"),
    ];
    for (nth, (result, text)) in cases.into_iter().enumerate() {
        let error = result.expect_err(text).to_string();
        assert!(error.contains(text), "case {nth}: {error}");
    }
}

/// Losses of far-out scores are finite where float32 can hold them, and never a panic.
#[test]
fn extreme_scores() {
    let scores = Tensor::new(&[4, 1], vec![1e30, -1e30, 1e30, -1e30]).unwrap();
    let targets = Targets::Classes(vec![1, 0, 0, 1]);
    let (loss, gradient) = binary_cross_entropy(&scores, &targets).unwrap();
    assert_eq!((loss, gradient.data()), (5e29, &[0.0, 0.0, 0.25, -0.25][..]));
    let (loss, gradient) = mae(&scores, &targets).unwrap();
    assert_eq!((loss, gradient.data()), (1e30, &[0.25, -0.25, 0.25, -0.25][..]));
    assert!(huber(&scores, &targets, 1.0).unwrap().0.is_finite());
    assert!(mse(&scores, &targets).unwrap().0.is_infinite());
    let scores = Tensor::new(&[2, 2], vec![1e30, -1e30, 1e30, 1e30]).unwrap();
    let (loss, gradient) = cross_entropy(&scores, &Targets::Classes(vec![1, 0])).unwrap();
    assert_eq!((loss, gradient.data()), (1e30, &[0.5, -0.5, -0.25, 0.25][..]));
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let scores = Tensor::new(&[1, 1], vec![bad]).unwrap();
        for loss in [cross_entropy, binary_cross_entropy, mse, mae, huber_three_quarters] {
            let _ = loss(&scores, &Targets::Classes(vec![0])).unwrap();
        }
    }
}
