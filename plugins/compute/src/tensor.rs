//! Tensors: a kind, and elements in a buffer that is shared until it is written.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::error::Rule;
use crate::kernels::Float;
use crate::shape::{Dtype, Kind, Shape};

/// Elements that start at a multiple of 64 bytes, so that no vector of them crosses a line of the
/// cache.
#[derive(Debug)]
pub(crate) struct Aligned<T> {
    elements: Vec<T>,
    start: usize,
}

/// What elements are aligned to, in bytes.
const LINE: usize = 64;

impl<T: Copy + Default> Aligned<T> {
    fn new(len: usize) -> Self {
        let elements = vec![T::default(); len + LINE / size_of::<T>()];
        let offset = elements.as_ptr().align_offset(LINE);
        let start = if offset < LINE / size_of::<T>() { offset } else { 0 };
        Self { elements, start }
    }

    fn get(&self, len: usize) -> &[T] {
        &self.elements[self.start..self.start + len]
    }

    fn get_mut(&mut self, len: usize) -> &mut [T] {
        &mut self.elements[self.start..self.start + len]
    }

    fn capacity(&self) -> usize {
        self.elements.len() - LINE / size_of::<T>()
    }
}

/// Elements of one dtype.
#[derive(Debug)]
pub(crate) enum Elements {
    F32(Aligned<f32>),
    F64(Aligned<f64>),
    I64(Aligned<i64>),
    Bool(Aligned<bool>),
}

/// Room for at least as many elements as the tensor has. Its bytes are taken off a count when it
/// goes.
#[derive(Debug)]
pub(crate) struct Buffer {
    elements: Elements,
    meter: Option<Arc<AtomicUsize>>,
}

impl Buffer {
    /// Adds its bytes to `meter`.
    pub(crate) fn new(dtype: Dtype, capacity: usize, meter: Option<Arc<AtomicUsize>>) -> Self {
        let elements = match dtype {
            Dtype::F32 => Elements::F32(Aligned::new(capacity)),
            Dtype::F64 => Elements::F64(Aligned::new(capacity)),
            Dtype::I64 => Elements::I64(Aligned::new(capacity)),
            Dtype::Bool => Elements::Bool(Aligned::new(capacity)),
        };
        let buffer = Self { elements, meter };
        if let Some(meter) = &buffer.meter {
            meter.fetch_add(buffer.bytes(), Ordering::Relaxed);
        }
        buffer
    }

    pub(crate) fn dtype(&self) -> Dtype {
        match self.elements {
            Elements::F32(_) => Dtype::F32,
            Elements::F64(_) => Dtype::F64,
            Elements::I64(_) => Dtype::I64,
            Elements::Bool(_) => Dtype::Bool,
        }
    }

    /// For how many elements there is room.
    pub(crate) fn capacity(&self) -> usize {
        match &self.elements {
            Elements::F32(elements) => elements.capacity(),
            Elements::F64(elements) => elements.capacity(),
            Elements::I64(elements) => elements.capacity(),
            Elements::Bool(elements) => elements.capacity(),
        }
    }

    /// Bytes of the room.
    pub(crate) fn bytes(&self) -> usize {
        Self::bytes_of(self.dtype(), self.capacity())
    }

    /// Bytes of a room for so many.
    pub(crate) fn bytes_of(dtype: Dtype, capacity: usize) -> usize {
        capacity * dtype.size() + LINE
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(meter) = &self.meter {
            meter.fetch_sub(self.bytes(), Ordering::Relaxed);
        }
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
    impl Sealed for i64 {}
    impl Sealed for bool {}
}

/// A type that elements have.
pub trait Element: Copy + Default + PartialEq + Send + Sync + 'static + sealed::Sealed {
    /// Its name.
    const DTYPE: Dtype;
    /// The elements of a buffer of this type.
    #[doc(hidden)]
    fn of(tensor: &Tensor) -> Option<&[Self]>;
    /// As [`of`](Self::of), to be written.
    #[doc(hidden)]
    fn of_mut(tensor: &mut Tensor) -> Option<&mut [Self]>;
}

macro_rules! element {
    ($($type:ident $variant:ident;)*) => {$(
        impl Element for $type {
            const DTYPE: Dtype = Dtype::$variant;

            fn of(tensor: &Tensor) -> Option<&[Self]> {
                match &tensor.data.elements {
                    Elements::$variant(elements) => Some(elements.get(tensor.kind.shape.len())),
                    _ => None,
                }
            }

            fn of_mut(tensor: &mut Tensor) -> Option<&mut [Self]> {
                let len = tensor.kind.shape.len();
                // There are no weak ones: nothing can add a user meanwhile.
                if Arc::strong_count(&tensor.data) != 1 {
                    let meter = tensor.data.meter.clone();
                    let mut copy = Buffer::new(tensor.kind.dtype, len, meter);
                    if let Elements::$variant(elements) = &mut copy.elements {
                        elements.get_mut(len).copy_from_slice(Self::of(tensor)?);
                    }
                    tensor.data = Arc::new(copy);
                }
                match &mut Arc::get_mut(&mut tensor.data)?.elements {
                    Elements::$variant(elements) => Some(elements.get_mut(len)),
                    _ => None,
                }
            }
        }
    )*};
}

element! { f32 F32; f64 F64; i64 I64; bool Bool; }

/// Elements of a kind, in row-major order. A clone shares them until one of the two is written.
#[derive(Clone, Debug)]
pub struct Tensor {
    kind: Kind,
    data: Arc<Buffer>,
}

impl Tensor {
    /// Returns the tensor of this shape with these elements.
    ///
    /// # Errors
    /// [`Rule::Sizes`] if there are more or fewer elements than the shape has, and those of
    /// [`Shape::new`].
    pub fn new<T: Element>(sizes: &[usize], elements: &[T]) -> Result<Self, Rule> {
        let shape = Shape::new(sizes)?;
        if shape.len() != elements.len() {
            return Err(Rule::Sizes("there must be as many elements as the shape has"));
        }
        let mut tensor = Self::zeros(Kind { dtype: T::DTYPE, shape });
        if let Some(to) = T::of_mut(&mut tensor) {
            to.copy_from_slice(elements);
        }
        Ok(tensor)
    }

    /// Returns a tensor of zeros, or of false.
    #[must_use]
    pub fn zeros(kind: Kind) -> Self {
        Self { kind, data: Arc::new(Buffer::new(kind.dtype, kind.shape.len(), None)) }
    }

    /// A tensor in a buffer of its dtype with room for it.
    pub(crate) fn in_buffer(kind: Kind, data: Arc<Buffer>) -> Self {
        debug_assert!(data.dtype() == kind.dtype && data.capacity() >= kind.shape.len());
        Self { kind, data }
    }

    /// Whether no other tensor shares the elements.
    pub(crate) fn is_unique(&self) -> bool {
        // There are no weak ones.
        Arc::strong_count(&self.data) == 1
    }

    /// Overwrites the elements with those of a tensor of the same kind.
    pub(crate) fn copy_from(&mut self, from: &Self) -> Result<(), Rule> {
        fn copy<T: Element>(to: &mut Tensor, from: &Tensor) -> Result<(), Rule> {
            to.elements_mut::<T>()?.copy_from_slice(from.elements::<T>()?);
            Ok(())
        }
        if self.kind != from.kind {
            return Err(Rule::Sizes("both must be of one kind"));
        }
        match self.dtype() {
            Dtype::F32 => copy::<f32>(self, from),
            Dtype::F64 => copy::<f64>(self, from),
            Dtype::I64 => copy::<i64>(self, from),
            Dtype::Bool => copy::<bool>(self, from),
        }
    }

    pub(crate) fn into_buffer(self) -> Arc<Buffer> {
        self.data
    }

    /// The same elements under another shape of as many.
    pub(crate) fn reshaped(&self, shape: Shape) -> Self {
        debug_assert_eq!(shape.len(), self.kind.shape.len());
        Self { kind: Kind { shape, ..self.kind }, data: Arc::clone(&self.data) }
    }

    /// Dtype and shape.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The sizes of the axes.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.kind.shape
    }

    /// The type of the elements.
    #[must_use]
    pub fn dtype(&self) -> Dtype {
        self.kind.dtype
    }

    /// The elements, if they are of this type.
    #[must_use]
    pub fn get<T: Element>(&self) -> Option<&[T]> {
        T::of(self)
    }

    /// The elements to be written, if they are of this type; copied first if they are shared.
    pub fn get_mut<T: Element>(&mut self) -> Option<&mut [T]> {
        T::of_mut(self)
    }

    /// As [`get`](Self::get), or the rule that is broken.
    pub(crate) fn elements<T: Element>(&self) -> Result<&[T], Rule> {
        T::of(self).ok_or(Rule::Dtypes(self.dtype(), T::DTYPE))
    }

    /// As [`get_mut`](Self::get_mut), or the rule that is broken.
    pub(crate) fn elements_mut<T: Element>(&mut self) -> Result<&mut [T], Rule> {
        let dtype = self.dtype();
        T::of_mut(self).ok_or(Rule::Dtypes(dtype, T::DTYPE))
    }

    /// The only element as float64, if there is only one: int64 to nearest, bool as 0 or 1.
    #[must_use]
    pub fn item(&self) -> Option<f64> {
        if self.kind.shape.len() != 1 {
            return None;
        }
        match self.dtype() {
            Dtype::F32 => self.get::<f32>()?.first().map(|x| x.to_f64()),
            Dtype::F64 => self.get::<f64>()?.first().copied(),
            Dtype::I64 => self.get::<i64>()?.first().map(|x| *x as f64),
            Dtype::Bool => self.get::<bool>()?.first().map(|x| f64::from(u8::from(*x))),
        }
    }
}
