//! Predictions for rows, with or without targets.

use fedwasm_dataset::Dataset;
use fedwasm_params::{DType, Params};
use fedwasm_protocol::{Arguments, DataArgs};
use fedwasm_sandbox::{Cancel, Declaration, Described, Task};

use crate::examples::Examples;
use crate::facts::input_facts;
use crate::foreign_params::fitted;
use crate::loader::TestLoader;
use crate::metrics::predicted_class;
use crate::report::bad;
use crate::round::session;
use crate::score::pieces;
use crate::{Error, Preprocessing};

/// The meaning of the numbers that a plan predicts for a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Scores of classes: one is the probability of class 1, several are logits.
    Classes,
    /// Values of the targets.
    Reals,
    /// Numbers that the host cannot interpret.
    Other,
}

/// Predictions of some rows, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    /// What they mean.
    pub meaning: Meaning,
    /// Numbers a row, at least 1.
    pub n_columns: usize,
    /// All of them, row-major; float32 as the plan gives them.
    pub scores: Vec<f64>,
}

impl Predictions {
    /// The scores of each row.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        self.scores.chunks_exact(self.n_columns.max(1))
    }

    /// The class of each row, as metrics see it: the one with the largest score, the first of
    /// equals; with one score a row, class 1 above 0.5.
    pub fn classes(&self) -> impl Iterator<Item = i64> {
        self.rows().map(|row| predicted_class(row) as i64)
    }

    /// The number of classes that scores are for.
    pub fn n_classes(&self) -> usize {
        self.n_columns.max(2)
    }
}

/// The probability of each class, from the scores of a row: the softmax of several, or the only
/// one, which is the probability of class 1. None if they give none: a single one that is not
/// between 0 and 1, or one that is not finite.
pub fn probabilities(scores: &[f64]) -> Option<Vec<f64>> {
    match scores {
        [one] => (0.0..=1.0).contains(one).then(|| vec![1.0 - one, *one]),
        _ => {
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let powers: Vec<f64> = scores.iter().map(|score| libm::exp(score - largest)).collect();
            let sum: f64 = powers.iter().sum();
            let shares: Vec<f64> = powers.iter().map(|power| power / sum).collect();
            shares.iter().all(|share| share.is_finite()).then_some(shares)
        }
    }
}

/// Computes predictions for all rows of a dataset, which needs the inputs of `data` alone, scaled
/// as `preprocessing` says. They come piece by piece, in the order of rows, all with as many numbers
/// a row; each is passed to `take`.
///
/// # Errors
/// Any [`Error`], and those of `take`.
pub fn predict<E: From<Error>>(
    plan: &Described,
    (model, params): (&Arguments, &Params),
    (dataset, data): (&Dataset, &DataArgs),
    preprocessing: Option<&Preprocessing>,
    cancel: &Cancel,
    mut take: impl FnMut(Predictions) -> Result<(), E>,
) -> Result<(), E> {
    let facts = input_facts(dataset, data)?;
    let session = session(plan, model, &facts)?;
    let declaration = session.declaration();
    let examples = Examples::read_inputs(dataset, data, plan, declaration, preprocessing)?;
    let params = fitted(declaration, params.clone());
    let params = params.map_err(|source| Error::Tensors { what: "the parameters", source })?;
    let meaning = meaning(plan, declaration);
    let mut known = None;
    for piece in pieces(&examples.test, declaration) {
        let given = piece.n_rows();
        let loader = Box::new(TestLoader::of(piece, 0));
        // The seed of scores: predictions are those that were scored.
        let said = session.predict(params.clone(), [0; 32], loader, cancel).map_err(Error::from)?;
        let mut all = Predictions { meaning, n_columns: known.unwrap_or(0), scores: Vec::new() };
        for scores in &said.predictions {
            let n_columns = scores.shape().last().map_or(1, |n| *n as usize).max(1);
            let was = *known.get_or_insert(n_columns);
            if n_columns != was {
                let text =
                    format!("its predictions have {was} numbers a row, and then {n_columns}");
                return Err(bad(plan, text).into());
            }
            all.n_columns = n_columns;
            all.scores.extend(scores.floats().unwrap_or_default());
        }
        let got = all.rows().len() as u64;
        if got != given || said.rows != given {
            return Err(bad(plan, format!("it predicts {got} rows of {given}")).into());
        }
        take(all)?;
    }
    Ok(())
}

/// As the host's metrics see it: scores of classes where the only target is a class.
fn meaning(plan: &Described, declaration: &Declaration) -> Meaning {
    match &declaration.targets[..] {
        _ if matches!(plan.metadata().task, Task::Other(_)) => Meaning::Other,
        [target] if target.dtype == DType::Int64 && target.shape.is_empty() => Meaning::Classes,
        [] => Meaning::Other,
        targets if targets.iter().all(|target| target.dtype == DType::Float32) => Meaning::Reals,
        _ => Meaning::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // scipy.special.softmax([1., 2., 4.])
    #[test]
    fn several_scores_are_logits() {
        let got = probabilities(&[1.0, 2.0, 4.0]).unwrap();
        let expected =
            [0.042_010_066_134_066_05, 0.114_195_199_384_594_49, 0.843_794_734_481_339_5];
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-15, "{got}");
        }
        assert_eq!(probabilities(&[1e300, 0.0]).unwrap(), [1.0, 0.0]);
        assert_eq!(probabilities(&[f64::NAN, 0.0]), None);
        assert_eq!(probabilities(&[f64::INFINITY, 0.0]), None);
    }

    #[test]
    fn one_score_is_the_probability_of_class_1() {
        assert_eq!(probabilities(&[0.25]), Some(vec![0.75, 0.25]));
        assert_eq!(probabilities(&[1.0]), Some(vec![0.0, 1.0]));
        for wrong in [-0.1, 1.1, f64::NAN] {
            assert_eq!(probabilities(&[wrong]), None);
        }
    }
}
