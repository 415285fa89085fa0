//! Shapes: the sizes of a tensor's axes, bounded so that no product of some of them overflows.

use core::fmt;

use crate::error::Rule;

/// The most axes that a tensor has.
pub const RANK_MAX: usize = 8;

/// The most elements that a tensor has, also where axes of size 0 are counted as 1: 2 GiB of
/// float64, so that the same shapes are possible in every home, WebAssembly's 32 bits included.
pub const ELEMENTS_MAX: usize = 1 << 28;

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary64.
    F64,
    /// Signed integers of 64 bits: indices and classes.
    I64,
    /// True or false.
    Bool,
}

impl Dtype {
    /// Bytes of an element.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F64 | Self::I64 => 8,
            Self::Bool => 1,
        }
    }

    /// Whether it is a floating-point type: only these have gradients.
    #[must_use]
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64)
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::I64 => "i64",
            Self::Bool => "bool",
        })
    }
}

/// The sizes of a tensor's axes; elements are in row-major order.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    rank: u8,
    /// Zero from `rank` on, so that equal shapes are equal.
    axes: [u32; RANK_MAX],
}

impl Shape {
    /// The shape of a single number: no axes, one element.
    pub const SCALAR: Self = Self { rank: 0, axes: [0; RANK_MAX] };

    /// Returns the shape with these sizes.
    ///
    /// # Errors
    /// [`Rule::Rank`] with more than [`RANK_MAX`] axes, [`Rule::TooLarge`] beyond [`ELEMENTS_MAX`].
    pub fn new(sizes: &[usize]) -> Result<Self, Rule> {
        let mut shape = Self { rank: sizes.len() as u8, axes: [0; RANK_MAX] };
        if sizes.len() > RANK_MAX {
            return Err(Rule::Rank("at most 8 axes"));
        }
        let mut elements = 1usize;
        for (axis, size) in shape.axes.iter_mut().zip(sizes) {
            let product = elements.checked_mul((*size).max(1));
            elements = product.filter(|n| *n <= ELEMENTS_MAX).ok_or(Rule::TooLarge)?;
            *axis = *size as u32;
        }
        Ok(shape)
    }

    /// How many axes.
    #[must_use]
    pub fn rank(&self) -> usize {
        usize::from(self.rank)
    }

    /// The sizes of the axes.
    pub fn sizes(&self) -> impl DoubleEndedIterator<Item = usize> + ExactSizeIterator + Clone + '_ {
        self.axes[..self.rank()].iter().map(|size| *size as usize)
    }

    /// The size of an axis; 1 where there is none.
    #[must_use]
    pub fn size(&self, axis: usize) -> usize {
        if axis < self.rank() { self.axes[axis] as usize } else { 1 }
    }

    /// The size of an axis counted from the end (0 is the last); 1 where there is none.
    #[must_use]
    pub fn size_from_end(&self, axis: usize) -> usize {
        if axis < self.rank() { self.axes[self.rank() - 1 - axis] as usize } else { 1 }
    }

    /// How many elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sizes().product()
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many elements the axes of a range have together.
    pub(crate) fn len_of(&self, axes: core::ops::Range<usize>) -> usize {
        axes.map(|axis| self.size(axis)).product()
    }

    /// The sizes in a fixed array; those from `rank` on are 0.
    pub(crate) fn array(&self) -> [usize; RANK_MAX] {
        self.axes.map(|size| size as usize)
    }

    /// The same with another size of one axis.
    pub(crate) fn with(&self, axis: usize, size: usize) -> Result<Self, Rule> {
        let mut sizes = self.array();
        *sizes.get_mut(axis).ok_or(Rule::Axis { axis, rank: self.rank() })? = size;
        Self::new(&sizes[..self.rank()])
    }

    /// The axis, if there is one.
    pub(crate) fn check_axis(&self, axis: usize) -> Result<usize, Rule> {
        let rank = self.rank();
        if axis < rank { Ok(axis) } else { Err(Rule::Axis { axis, rank }) }
    }

    /// Elements from one index to the next, of each axis.
    pub(crate) fn strides(&self) -> [usize; RANK_MAX] {
        let (mut strides, mut stride) = ([0; RANK_MAX], 1);
        for axis in (0..self.rank()).rev() {
            strides[axis] = stride;
            stride *= self.size(axis);
        }
        strides
    }

    /// The shape that both are repeated to, as NumPy does: axes are compared from the last one on,
    /// and a size of 1, or no axis, fits any size.
    ///
    /// # Errors
    /// [`Rule::Broadcast`] if two sizes differ and neither is 1, [`Rule::TooLarge`].
    pub fn broadcast(&self, other: &Self) -> Result<Self, Rule> {
        if self == other {
            return Ok(*self);
        }
        let rank = self.rank().max(other.rank());
        let mut sizes = [0; RANK_MAX];
        for axis in 0..rank {
            let (a, b) = (self.size_from_end(axis), other.size_from_end(axis));
            sizes[rank - 1 - axis] = match (a, b) {
                (a, b) if a == b => a,
                (1, b) => b,
                (a, 1) => a,
                _ => return Err(Rule::Broadcast),
            };
        }
        Self::new(&sizes[..rank])
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_list().entries(self.sizes()).finish()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Dtype and shape: all that is known of a tensor before it is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    /// The type of the elements.
    pub dtype: Dtype,
    /// The sizes of the axes.
    pub shape: Shape,
}

impl Kind {
    /// Bytes of all elements.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.shape.len() * self.dtype.size()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} {}", self.dtype, self.shape)
    }
}

/// A set of axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Axes(u8);

impl Axes {
    /// All of them, however many there are.
    pub const ALL: Self = Self(u8::MAX);

    /// The set of these.
    ///
    /// # Errors
    /// [`Rule::Axis`] if one is not below [`RANK_MAX`].
    pub fn new(axes: &[usize]) -> Result<Self, Rule> {
        let mut set = 0;
        for axis in axes {
            if *axis >= RANK_MAX {
                return Err(Rule::Axis { axis: *axis, rank: RANK_MAX });
            }
            set |= 1 << axis;
        }
        Ok(Self(set))
    }

    /// The set from its bits, the lowest for axis 0.
    #[must_use]
    pub fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// A bit for each axis, the lowest for axis 0.
    #[must_use]
    pub fn bits(self) -> u8 {
        self.0
    }

    /// Whether `axis` is one of them.
    #[must_use]
    pub fn contains(self, axis: usize) -> bool {
        axis < RANK_MAX && self.0 & 1 << axis != 0
    }

    /// Whether all of them are axes of `shape`; [`ALL`](Self::ALL) are, of every shape.
    pub(crate) fn check(self, shape: &Shape) -> Result<Self, Rule> {
        let rank = shape.rank();
        let beyond = (rank..RANK_MAX).find(|axis| self.contains(*axis));
        match beyond {
            Some(axis) if self != Self::ALL => Err(Rule::Axis { axis, rank }),
            _ => Ok(self),
        }
    }

    /// `shape` without these axes, or with size 1 for them.
    pub(crate) fn reduced(self, shape: &Shape, keep: bool) -> Result<Shape, Rule> {
        let (mut sizes, mut rank) = ([0; RANK_MAX], 0);
        for (axis, size) in shape.sizes().enumerate() {
            if !self.contains(axis) || keep {
                sizes[rank] = if self.contains(axis) { 1 } else { size };
                rank += 1;
            }
        }
        Shape::new(&sizes[..rank])
    }

    /// How many elements of `shape` are reduced to one.
    pub(crate) fn count(self, shape: &Shape) -> usize {
        let reduced = shape.sizes().enumerate().filter(|(axis, _)| self.contains(*axis));
        reduced.map(|(_, size)| size).product()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_bounded_also_beside_an_empty_axis() {
        assert_eq!(Shape::new(&[usize::MAX, 2]).unwrap_err(), Rule::TooLarge);
        assert_eq!(Shape::new(&[0, usize::MAX]).unwrap_err(), Rule::TooLarge);
        assert_eq!(Shape::new(&[1 << 14, 1 << 14]).unwrap().len(), ELEMENTS_MAX);
        assert_eq!(Shape::new(&[1 << 14, 1 << 14, 2]).unwrap_err(), Rule::TooLarge);
        assert_eq!(Shape::new(&[1; 9]).unwrap_err(), Rule::Rank("at most 8 axes"));
        assert_eq!(Shape::new(&[]).unwrap(), Shape::SCALAR);
    }

    #[test]
    fn broadcasting_is_that_of_numpy() {
        let shape = |sizes: &[usize]| Shape::new(sizes).unwrap();
        let broadcast = |a: &[usize], b: &[usize]| shape(a).broadcast(&shape(b));
        assert_eq!(broadcast(&[2, 1, 4], &[3, 1]).unwrap(), shape(&[2, 3, 4]));
        assert_eq!(broadcast(&[], &[0]).unwrap(), shape(&[0]));
        assert_eq!(broadcast(&[1], &[0]).unwrap(), shape(&[0]));
        assert_eq!(broadcast(&[2], &[3]).unwrap_err(), Rule::Broadcast);
        assert_eq!(broadcast(&[2], &[0]).unwrap_err(), Rule::Broadcast);
        assert_eq!(broadcast(&[1 << 20, 1], &[1 << 20]).unwrap_err(), Rule::TooLarge);
    }
}
