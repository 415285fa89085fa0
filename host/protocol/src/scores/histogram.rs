//! Counts of rows by their probability of class 1, in bins that are the same at all nodes.

use std::sync::LazyLock;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ranking::{Group, Ranking};

/// Bins between 0 and 1 that are equally wide; deciles are whole numbers of them.
const EVEN: usize = 200;
/// The first and the last bin are halved until 2^-30: scores of sure models lie there.
const HALVINGS: std::ops::RangeInclusive<i32> = 8..=30;
/// The bins of a histogram.
pub const SCORE_BINS: usize = EVEN + 2 * 23;

/// The inner edges in ascending order; a bin has its upper edge and not its lower one.
static EDGES: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let powers = || HALVINGS.map(|n| 2f64.powi(-n));
    let even = (1..EVEN).map(|n| n as f64 / EVEN as f64);
    powers().rev().chain(even).chain(powers().map(|power| 1.0 - power)).collect()
});

/// Rows by their probability of class 1: in 200 bins of equal width, of which the first and the last are
/// split at 2^-8 to 2^-30, and at 1 minus these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram(Vec<Group>);

impl Default for Histogram {
    fn default() -> Self {
        Self(vec![Group::default(); SCORE_BINS])
    }
}

impl Histogram {
    /// Adds a row.
    ///
    /// * `score` — in [0, 1]; others count as the nearer end.
    pub fn add(&mut self, score: f64, is_positive: bool) {
        let group = &mut self.0[EDGES.partition_point(|edge| *edge < score)];
        match is_positive {
            true => group.positives += 1,
            false => group.others += 1,
        }
    }

    /// Adds the rows of another.
    pub(super) fn join(&mut self, other: &Self) {
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            own.others = own.others.saturating_add(other.others);
            own.positives = own.positives.saturating_add(other.positives);
        }
    }

    /// Areas under curves, with the error of the bins.
    pub fn ranking(&self) -> Ranking {
        Ranking::of(self.0.iter().rev().copied())
    }

    /// The rows of each bin, in ascending order of scores.
    pub fn groups(&self) -> &[Group] {
        &self.0
    }

    /// All rows; none if they are too many to count.
    pub(super) fn total(&self) -> Option<Group> {
        self.0.iter().try_fold(Group::default(), |sum, group| {
            Some(Group {
                others: sum.others.checked_add(group.others)?,
                positives: sum.positives.checked_add(group.positives)?,
            })
        })
    }
}

/// The bins with rows as one text, `BIN:OTHERS/POSITIVES` in ascending order.
impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let filled = self.0.iter().enumerate().filter(|(_, group)| **group != Group::default());
        let text = filled.map(|(bin, group)| format!("{bin}:{}/{}", group.others, group.positives));
        to.serialize_str(&text.collect::<Vec<_>>().join(" "))
    }
}

impl<'de> Deserialize<'de> for Histogram {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        parse(&text)
            .ok_or_else(|| serde::de::Error::custom("a histogram has `BIN:OTHERS/POSITIVES`"))
    }
}

fn parse(text: &str) -> Option<Histogram> {
    let mut histogram = Histogram::default();
    let mut next = 0;
    for part in text.split_ascii_whitespace() {
        let (bin, rows) = part.split_once(':')?;
        let (others, positives) = rows.split_once('/')?;
        let bin: usize = bin.parse().ok()?;
        let group = histogram.0.get_mut(bin).filter(|_| bin >= next)?;
        *group = Group { others: others.parse().ok()?, positives: positives.parse().ok()? };
        next = bin + 1;
    }
    Some(histogram)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_ascend_and_belong_to_the_bin_below() {
        assert_eq!(EDGES.len() + 1, SCORE_BINS);
        assert!(EDGES.windows(2).all(|pair| pair[0] < pair[1]));
        let bin = |score: f64| {
            let mut histogram = Histogram::default();
            histogram.add(score, true);
            histogram.0.iter().position(|group| group.positives == 1).unwrap()
        };
        assert_eq!(
            (bin(0.0), bin(-3.0), bin(1.0), bin(7.0)),
            (0, 0, SCORE_BINS - 1, SCORE_BINS - 1)
        );
        assert_eq!((bin(0.5), bin(0.500_1)), (22 + EVEN / 2, 23 + EVEN / 2));
        for (nth, edge) in EDGES.iter().enumerate() {
            assert_eq!((bin(*edge), bin(edge.next_up())), (nth, nth + 1), "{edge}");
        }
    }

    #[test]
    fn texts_come_back_and_others_are_refused() {
        let mut histogram = Histogram::default();
        for (score, is_positive) in [(0.2, true), (0.2, false), (0.9, true)] {
            histogram.add(score, is_positive);
        }
        let text = serde_json::to_string(&histogram).unwrap();
        assert_eq!(text, "\"62:1/1 202:0/1\"");
        assert_eq!(serde_json::from_str::<Histogram>(&text).unwrap(), histogram);
        assert_eq!(parse(""), Some(Histogram::default()));
        for wrong in [
            "1:2",
            "246:1/1",
            "3:1/1 3:1/1",
            "4:1/1 3:1/1",
            "1:-1/2",
            "1:1/99999999999999999999",
            "x",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
