//! What is wrong with an operation: its name, its inputs and the rule that they break.

use alloc::vec::Vec;
use core::fmt;

use crate::shape::{Dtype, Kind};
use crate::work::OPERATION_MAX;

/// A rule of the library that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// So many inputs, in words.
    Inputs(&'static str),
    /// What number of axes, in words.
    Rank(&'static str),
    /// What elements, in words.
    Dtype(&'static str),
    /// The two dtypes are not one.
    Dtypes(Dtype, Dtype),
    /// The axis is not one of `rank`.
    Axis {
        /// Counted from 0.
        axis: usize,
        /// How many there are.
        rank: usize,
    },
    /// Sizes differ, and neither is 1.
    Broadcast,
    /// Which sizes must fit, in words.
    Sizes(&'static str),
    /// What an attribute of the operation must be, in words.
    Attribute(&'static str),
    /// More elements than a tensor can have.
    TooLarge,
    /// An index or class is not below `size`.
    Index {
        /// As it is in the tensor.
        index: i64,
        /// One more than the largest that would do.
        size: usize,
    },
    /// No derivative of this operation is known.
    NoDerivative,
    /// There is no tensor of this number: it never was one, was released, or was of another batch.
    NoTensor(u32),
    /// The operation would take more than the session's bytes.
    Memory {
        /// Bytes with the operation.
        needed: usize,
        /// The bound.
        most: usize,
    },
    /// All numbers for tensors were given out.
    Exhausted,
    /// The tape will read the elements; they can be changed after `backward` or in the next batch.
    InUse,
    /// The operation would be more work than the session's bound.
    Work {
        /// Units with the operation.
        needed: u64,
        /// The bound.
        most: u64,
    },
    /// The operation alone is more work than one may be.
    Operation {
        /// Its units.
        units: u64,
    },
    /// The session was told to stop.
    Stopped,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Inputs(text) | Self::Rank(text) | Self::Dtype(text) => {
                write!(f, "expected {text}")
            }
            Self::Dtypes(a, b) => write!(f, "{a} and {b} are not the same dtype"),
            Self::Axis { axis, rank } => write!(f, "axis {axis} is not below {rank}"),
            Self::Broadcast => f.write_str("sizes differ and neither is 1"),
            Self::Sizes(text) | Self::Attribute(text) => f.write_str(text),
            Self::TooLarge => f.write_str("a tensor has at most 2^28 elements"),
            Self::Index { index, size } => write!(f, "index {index} is not in 0..{size}"),
            Self::NoDerivative => f.write_str("it has no derivative"),
            Self::NoTensor(id) => write!(f, "there is no tensor {id}"),
            Self::Memory { needed, most } => {
                write!(f, "it takes {needed} bytes with the others, the limit is {most}")
            }
            Self::Exhausted => f.write_str("all numbers of tensors were given out"),
            Self::Work { needed, most } => {
                write!(f, "it is {needed} units of work with what was done, the limit is {most}")
            }
            Self::Operation { units } => {
                write!(f, "it is {units} units of work, one operation may be {OPERATION_MAX}")
            }
            Self::Stopped => f.write_str("it was told to stop"),
            Self::InUse => f.write_str("the tape still reads it; call backward first"),
        }
    }
}

/// Why an operation was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The operation's name.
    pub op: &'static str,
    /// Dtypes and shapes of its inputs, as far as they are known.
    pub inputs: Vec<Kind>,
    /// What they break.
    pub rule: Rule,
}

impl Mistake {
    /// Inputs that a message shows.
    const SHOWN_MAX: usize = 8;

    /// The mistake of an operation on these inputs.
    pub(crate) fn new(op: &'static str, inputs: &[Kind], rule: Rule) -> Self {
        let shown = &inputs[..inputs.len().min(Self::SHOWN_MAX)];
        Self { op, inputs: shown.to_vec(), rule }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.op)?;
        for (nth, kind) in self.inputs.iter().enumerate() {
            write!(f, "{}{kind}", if nth == 0 { " of " } else { ", " })?;
        }
        write!(f, ": {}", self.rule)
    }
}

impl core::error::Error for Mistake {}
