//! Sums over rows whose target is a mask: a class for each voxel (or pixel), 0 for the background.

use serde::{Deserialize, Serialize};

use super::classes::{ClassCounts, ROWS_MAX, SUMMED_CLASSES_MAX};
use super::{table, text};
use crate::{Metric, Metrics};

/// Sums over rows whose target is a mask. With one score a voxel there are two classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskSums {
    /// Rows.
    pub rows: u64,
    /// Scores a voxel.
    pub columns: usize,
    /// How many voxels are of a class, how many are said to be, and how many are both.
    #[serde(with = "text")]
    table: Vec<Vec<u64>>,
}

impl MaskSums {
    /// No rows of a plan with so many scores a voxel.
    pub fn new(columns: usize) -> Self {
        Self { rows: 0, columns, table: vec![vec![0; columns.max(2)]; 3] }
    }

    /// How many classes there are, the background among them.
    pub fn n_classes(&self) -> usize {
        self.columns.max(2)
    }

    /// Counts a voxel of `class`, said to be of the class `said`; both are below
    /// [`MaskSums::n_classes`].
    pub fn count(&mut self, class: usize, said: usize) {
        let is_right = class == said;
        for (counts, class, n) in [(0, class, 1), (1, said, 1), (2, class, u64::from(is_right))] {
            if let Some(count) = self.table.get_mut(counts).and_then(|row| row.get_mut(class)) {
                *count += n;
            }
        }
    }

    pub(super) fn join(&mut self, other: &Self) {
        self.rows = self.rows.saturating_add(other.rows);
        table::add(&mut self.table, &other.table);
    }

    /// The voxels of all classes in order.
    pub fn classes(&self) -> Vec<ClassCounts> {
        let at = |row: usize, class: usize| {
            self.table.get(row).and_then(|row| row.get(class)).copied().unwrap_or_default()
        };
        let of = |class| ClassCounts { are: at(0, class), said: at(1, class), both: at(2, class) };
        (0..self.n_classes()).map(of).collect()
    }

    /// `dice` and `iou`: the means over the classes but the background that have voxels, or were said
    /// to have some; none if there is no such class. All voxels of all rows count alike: the values
    /// are those of one long row.
    pub(super) fn metrics(&self) -> Metrics {
        let classes = self.classes().into_iter().skip(1);
        let there: Vec<ClassCounts> = classes.filter(|one| one.are > 0 || one.said > 0).collect();
        if there.is_empty() {
            return Metrics::new();
        }
        let mean =
            |of: fn(&ClassCounts) -> f64| there.iter().map(of).sum::<f64>() / there.len() as f64;
        [(Metric::Dice, mean(ClassCounts::f1_score)), (Metric::Iou, mean(ClassCounts::iou))]
            .map(|(metric, value)| (metric.key().to_owned(), value))
            .into()
    }

    /// Whether they can be sums of rows of equally many voxels, of few enough classes.
    pub(super) fn is_sound(&self) -> bool {
        let (rows, k) = (self.rows, self.n_classes());
        let is_bounded = (1..=ROWS_MAX).contains(&rows) && self.columns > 0;
        if !is_bounded || k > SUMMED_CLASSES_MAX || self.table.len() != 3 {
            return false;
        }
        let total = |row: &Vec<u64>| table::total(std::slice::from_ref(row));
        let is_part = |class: &ClassCounts| class.both <= class.are.min(class.said);
        self.table.iter().all(|row| row.len() == k)
            && total(&self.table[0]) == total(&self.table[1])
            && total(&self.table[0])
                .is_some_and(|n| (rows..=ROWS_MAX).contains(&n) && n % rows == 0)
            && self.classes().iter().all(is_part)
    }
}
