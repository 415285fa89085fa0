//! This node's part in secure sums: keys are agreed upon, the result of a round is masked before it
//! leaves, and what unmasks a sum is revealed once. Keys live in memory and die with the process;
//! the use of a pad is on the disk before anything leaves.

pub(crate) mod journal;
mod part;
mod rules;
mod summer;
mod sums;

pub(crate) use self::journal::Rows;
pub(crate) use self::part::{Again, Masked, Part};
pub(crate) use self::rules::{Demand, SumRules, check_scheme, summed};
pub(crate) use self::summer::Summer;
pub(crate) use self::sums::Sums;
