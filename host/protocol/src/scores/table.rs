//! Tables of counts.

/// Adds the counts of `other` at their places; further ones are left out.
pub(super) fn add(table: &mut [Vec<u64>], other: &[Vec<u64>]) {
    for (row, other) in table.iter_mut().zip(other) {
        for (count, other) in row.iter_mut().zip(other) {
            *count = count.saturating_add(*other);
        }
    }
}

/// The sum of all counts; none beyond 2^64.
pub(super) fn total(table: &[Vec<u64>]) -> Option<u64> {
    table.iter().flatten().try_fold(0u64, |sum, count| sum.checked_add(*count))
}
