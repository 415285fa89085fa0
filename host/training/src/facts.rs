//! The facts of a dataset from which a plan derives arguments.

use fedwasm_dataset::{Dataset, Error as DataError};
use fedwasm_protocol::{Arguments, DataArgs};
use fedwasm_sandbox::{Argument, DataFacts, Default, Metadata};

use crate::Error;
use crate::examples::{of_inputs, ruled};
use crate::layout::Chosen;
use crate::rows::CLASS_MAX;

/// The facts of rows without targets: classes cannot be counted, so a plan that asks for them needs
/// the argument.
///
/// # Errors
/// [`Error::Dataset`].
pub(crate) fn input_facts(dataset: &Dataset, data: &DataArgs) -> Result<DataFacts, Error> {
    let dataset = &ruled(dataset, &of_inputs(data))?;
    let chosen = Chosen::inputs(dataset, data)?;
    Ok(DataFacts { n_inputs: Some(chosen.n_inputs(dataset)), n_classes: None })
}

/// Returns the facts from which a plan derives the arguments that are not `given`. Classes
/// are counted only for a plan that asks for them: the largest class of the
/// first target plus one, and at least two, since nothing can be learned from one class alone.
///
/// # Errors
/// [`Error::Dataset`], also if classes are asked for and the target has none.
pub fn facts(
    dataset: &Dataset,
    data: &DataArgs,
    metadata: &Metadata,
    given: &Arguments,
) -> Result<DataFacts, Error> {
    let dataset = &ruled(dataset, data)?;
    let chosen = Chosen::new(dataset, data)?;
    let asks = |argument: &Argument| {
        argument.default == Default::TargetClasses && !given.contains_key(&argument.name)
    };
    let n_classes = match (metadata.arguments.iter().any(asks), chosen.targets.first()) {
        (true, Some(target)) => {
            Some(data.n_classes().map_or_else(|| n_classes(dataset, *target), Ok)?)
        }
        _ => None,
    };
    Ok(DataFacts { n_inputs: Some(chosen.n_inputs(dataset)), n_classes })
}

fn n_classes(dataset: &Dataset, target: usize) -> Result<usize, Error> {
    let (mut largest, field) = (0.0f64, &dataset.fields()[target]);
    for block in 0..dataset.n_blocks() {
        let block = dataset.read(block, &[target])?;
        let width = field.width();
        for row in 0..block.n_rows {
            let mut wrong = None;
            block.columns[0].each(row * width..(row + 1) * width, |class| {
                if class.fract() != 0.0 || !(0.0..=CLASS_MAX).contains(&class) {
                    wrong = Some(class);
                }
                largest = largest.max(class);
            });
            if let Some(got) = wrong {
                let (path, place) = (dataset.path().to_owned(), block.place(row));
                let column = field.name.clone();
                return Err(DataError::NotAClass { path, place, column, got }.into());
            }
        }
    }
    Ok((largest as usize + 1).max(2))
}
