//! Softmax cross entropy.

use fedwasm_kernels::{elementwise, math, reduction};

use crate::{PlanError, Result, Targets, Tensor};

/// Returns the mean over rows of `-log softmax(scores)[class]` and its gradient with respect to
/// `scores`, shape [rows, classes], as `torch.nn.functional.cross_entropy`. A row's exponentials
/// are summed in ascending class, the losses of the rows in float64 in ascending row.
///
/// # Errors
/// [`PlanError::BadData`] if `targets` are not one class index in 0..classes for each row.
pub fn cross_entropy(scores: &Tensor, targets: &Targets) -> Result<(f32, Tensor)> {
    let (rows, n_classes) = scores.rows_and_columns()?;
    let classes = targets.classes()?;
    if rows == 0 {
        return Err(PlanError::BadData("there are no rows to take a loss of".into()));
    }
    if classes.len() != rows {
        let text = format!("{rows} rows of scores, {} classes", classes.len());
        return Err(PlanError::BadData(text));
    }
    let class_of = |class: &i64| {
        let wrong = || PlanError::BadData(format!("class {class} is not in 0..{n_classes}"));
        usize::try_from(*class).ok().filter(|class| *class < n_classes).ok_or_else(wrong)
    };
    // Before anything else, so that there is at least one score a row.
    let classes: Vec<usize> = classes.iter().map(class_of).collect::<Result<_>>()?;
    let mut gradient = scores.clone();
    let mut total = 0.0f64;
    let share = 1.0 / rows as f32;
    // The largest score is taken off first, so that exp stays in range.
    for line in gradient.data_mut().chunks_exact_mut(n_classes) {
        let largest = reduction::max(line);
        line.iter_mut().for_each(|score| *score -= largest);
    }
    let shifted = gradient.clone();
    elementwise::exp(gradient.data_mut());
    let lines = shifted.data().chunks_exact(n_classes);
    let gradients = gradient.data_mut().chunks_exact_mut(n_classes);
    for ((line, gradient), class) in lines.zip(gradients).zip(classes) {
        let sum: f32 = gradient.iter().sum();
        total += f64::from(math::ln(sum) - line[class]);
        let factor = share / sum;
        gradient.iter_mut().for_each(|exp| *exp *= factor);
        gradient[class] -= share;
    }
    Ok(((total / rows as f64) as f32, gradient))
}

#[cfg(test)]
mod tests {
    use super::*;

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
