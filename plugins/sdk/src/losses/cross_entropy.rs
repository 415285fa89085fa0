//! Softmax cross entropy.

use crate::{PlanError, Result, Targets, Tensor};

/// Returns the mean over rows of `-log softmax(scores)[class]` and its
/// gradient with respect to `scores`, shape [rows, classes], as
/// `torch.nn.functional.cross_entropy`. Row losses are summed in float64 in
/// ascending row.
///
/// # Errors
/// [`PlanError::BadData`] if `targets` are not one class index in
/// 0..classes for each row.
pub fn cross_entropy(scores: &Tensor, targets: &Targets) -> Result<(f32, Tensor)> {
    let (rows, n_classes) = scores.rows_and_columns()?;
    let classes = targets.classes()?;
    if classes.len() != rows || rows == 0 {
        return Err(PlanError::BadData(format!(
            "{rows} rows of scores, {} classes",
            classes.len()
        )));
    }
    let mut gradient = Tensor::zeros(scores.shape())?;
    let mut total = 0.0f64;
    let share = 1.0 / rows as f32;
    let lines = scores.data().chunks_exact(n_classes);
    let gradients = gradient.data_mut().chunks_exact_mut(n_classes);
    for ((line, gradient), class) in lines.zip(gradients).zip(classes) {
        let Some(at_class) = usize::try_from(*class).ok().filter(|class| *class < n_classes) else {
            let range = format!("class {class} is not in 0..{n_classes}");
            return Err(PlanError::BadData(range));
        };
        // The largest score is taken off first, so that exp stays in range.
        let largest = line.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut sum = 0.0;
        for (g, score) in gradient.iter_mut().zip(line) {
            *g = (score - largest).exp();
            sum += *g;
        }
        total += f64::from(sum.ln() - (line[at_class] - largest));
        for g in gradient.iter_mut() {
            *g = *g / sum * share;
        }
        gradient[at_class] -= share;
    }
    Ok(((total / rows as f64) as f32, gradient))
}

#[cfg(test)]
mod tests {
    use super::*;

    // The numbers, from NumPy in float64:
    // s = np.array([[1., 2., 3.], [0.5, -1., 0.25]])
    // p = np.exp(s) / np.exp(s).sum(1, keepdims=True)
    // loss = -np.log(p[[0, 1], [2, 1]]).mean(); g = (p - np.eye(3)[[2, 1]]) / 2
    #[test]
    fn value_and_gradient_equal_numpy() {
        let scores = Tensor::new(&[2, 3], vec![1.0, 2.0, 3.0, 0.5, -1.0, 0.25]).unwrap();
        let (loss, gradient) = cross_entropy(&scores, &Targets::Classes(vec![2, 1])).unwrap();
        let expected = [0.0450153, 0.1223642, -0.1673795, 0.2497589, -0.4442713, 0.1945124];
        assert!((loss - 1.300_859_1).abs() < 1e-6, "{loss}");
        for (got, expected) in gradient.data().iter().zip(expected) {
            assert!((got - expected).abs() < 1e-6, "{got} {expected}");
        }
    }

    #[test]
    fn large_scores_stay_finite() {
        let scores = Tensor::new(&[1, 2], vec![1000.0, -1000.0]).unwrap();
        let (loss, gradient) = cross_entropy(&scores, &Targets::Classes(vec![1])).unwrap();
        assert_eq!(loss, 2000.0);
        assert_eq!(gradient.data(), [1.0, -1.0]);
    }

    #[test]
    fn class_out_of_range_is_an_error() {
        let scores = Tensor::zeros(&[1, 2]).unwrap();
        for class in [-1, 2] {
            let error = cross_entropy(&scores, &Targets::Classes(vec![class])).unwrap_err();
            assert!(error.to_string().contains("not in 0..2"), "{error}");
        }
    }
}
