//! Which rows of a dataset are held out: what a split needs of its columns.

use fedwasm_dataset::Dataset;
use fedwasm_protocol::{DataArgs, Split};
use fedwasm_sandbox::Described;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::Error;
use crate::blocks::{BlockSplit, Held};
use crate::examples::{read, target_class};
use crate::layout::Layout;
use crate::shuffle::split;
use crate::sides::{Side, by_time, grouped, stratified};

/// Checks that both parts have rows, the held-out one if it is wanted.
pub(crate) fn check_parts(n_rows: u64, n_test: u64, test_ratio: f64) -> Result<(), Error> {
    let parts = [("train on", n_rows - n_test, true), ("score", n_test, test_ratio > 0.0)];
    match parts.into_iter().find(|(_, left, wanted)| *wanted && *left == 0) {
        Some((part, ..)) => Err(Error::EmptyPart { rows: n_rows, test_ratio, part }),
        None => Ok(()),
    }
}

/// The side of each row of a dataset that fits into memory.
pub(crate) fn sides(
    plan: &Described,
    dataset: &Dataset,
    data: &DataArgs,
    layout: &Layout,
    BlockSplit { seed, held }: BlockSplit,
) -> Result<Vec<Side>, Error> {
    let sides = match &data.split {
        Split::Random => {
            let n_rows = dataset.n_rows() as usize;
            let test = match held {
                Held::Share(share) => split(n_rows, share, &mut ChaCha20Rng::from_seed(seed)).1,
                Held::Fold(fold) => fold.split_by(n_rows, seed)?.1,
            };
            let mut sides = vec![Side::Train; n_rows];
            test.into_iter().for_each(|row| sides[row] = Side::HeldOut);
            return Ok(sides);
        }
        Split::Stratified => {
            let target = target_class(layout).ok_or(Error::SplitTarget)?;
            stratified(&classes(plan, dataset, layout.fields[target])?, held, seed)
        }
        Split::Group(column) => grouped(&dataset.keys(column)?, column, held, seed)?,
        Split::Time(column) => by_time(&numbers(plan, dataset, column)?, column, held)?,
    };
    let n_test = sides.iter().filter(|side| **side == Side::HeldOut).count() as u64;
    match held {
        Held::Share(share) => check_parts(sides.len() as u64, n_test, share)?,
        Held::Fold(_) => {}
    }
    Ok(sides)
}

/// The values of a column, one a row.
fn numbers(plan: &Described, dataset: &Dataset, column: &str) -> Result<Vec<f64>, Error> {
    let field = dataset.position(column)?;
    if dataset.fields()[field].width() != 1 {
        return Err(Error::SplitColumn { column: column.to_owned() });
    }
    let mut numbers = Vec::new();
    for block in 0..dataset.n_blocks() {
        let block = read(plan, dataset, block, &[field])?;
        block.columns[0].each(0..block.n_rows, |value| numbers.push(value));
    }
    match numbers.iter().all(|value| value.is_finite()) {
        true => Ok(numbers),
        false => Err(Error::SplitColumn { column: column.to_owned() }),
    }
}

/// The classes of the target. One that is none has a stratum of its own: it is refused when its row
/// is converted.
fn classes(plan: &Described, dataset: &Dataset, field: usize) -> Result<Vec<i64>, Error> {
    let column = dataset.fields()[field].name.clone();
    Ok(numbers(plan, dataset, &column)?.into_iter().map(|class| class as i64).collect())
}
